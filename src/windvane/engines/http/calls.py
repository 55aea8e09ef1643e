"""One call and its answer, and the journal that keeps answers as they arrive.

In: calls (a row's name, a chat, how to sample). Out: answers by the hash of what was asked of which model, each a unit of its own in a
`store.Journal`, so a call that had succeeded is not repeated after a kill. Rows given up stand beside them with their reason; they are
tried again by the next process. Attempts that may have been billed are kept too, so that a budget holds over resumes (a kill can leave
the calls then under way uncounted).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.core.records import Message, content_id
from windvane.core.schema import decode, encode
from windvane.engines.http.budget import Usage
from windvane.runs.store import Journal


@dataclass(frozen=True, slots=True)
class Call:
    """`row` names what the answer is for. `labels`: how many of the first token's likeliest alternatives to ask for (0: none);
    `ids`: ask for sampled token ids and their log-probabilities."""

    row: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    labels: int = 0
    ids: bool = False

    def key(self, url: str, model: str) -> str:
        return content_id([url, model, encode(self)])


@dataclass(frozen=True, slots=True)
class Answer:
    """`finish` is "stop" or "length". `token_ids` (closing stop token included where the server counts it), `logps` (nats, one a
    token) and `top` (token text -> log-probability of the first token) are empty where the server does not offer them."""

    text: str
    finish: str
    token_ids: tuple[int, ...] = ()
    prompt_token_ids: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    top: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A row without an answer, and why; `attempts` sent for it."""

    row: str
    reason: str
    attempts: int


class Calls:
    """The journal at `final` with the suffix .journal: one process at a time (the run folder's lock sees to it)."""

    def __init__(self, final: Path) -> None:
        self._journal = Journal(final)
        self._lock = threading.Lock()
        self._where: dict[str, tuple[int, int]] = {}
        self._failed: dict[str, Failed] = {}
        self.used: list[tuple[Usage, bool]] = []  # (usage, lost) of earlier processes
        self._number = len(self._journal.done)
        at = 0
        with self._journal.path.open("rb") as file:  # what Journal left standing is whole
            for line in file:
                self._note(json.loads(line.partition(b"\t")[2])["rows"][0], at, len(line), opening=True)
                at += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def get(self, key: str) -> Answer | None:
        """The answer to a call made before; read from disk, so that a long run is not held in memory."""
        with self._lock:
            if key not in self._where:
                return None
            at, length = self._where[key]
            with self._journal.path.open("rb") as file:
                file.seek(at)
                line = file.read(length)
        return decode(Answer, json.loads(line.partition(b"\t")[2])["rows"][0]["answer"], str(self._journal.path))

    def add(self, key: str, call: Call, answer: Answer, usage: Usage) -> None:
        self._append({"id": key, "row": call.row, "answer": encode(answer), "usage": encode(usage)})

    def lose(self, key: str, call: Call, usage: Usage) -> None:
        """An attempt without an answer that may have been billed."""
        self._append({"id": key, "row": call.row, "lost": encode(usage)})

    def fail(self, key: str, failed: Failed) -> None:
        self._append({"id": key, **encode(failed)})

    def failures(self) -> list[Failed]:
        """Rows whose last word is a failure, in the order of their names."""
        with self._lock:
            return sorted(self._failed.values(), key=lambda f: f.row)

    def close(self) -> None:
        self._journal.close()

    def _append(self, row: dict[str, Any]) -> None:
        with self._lock:
            at = self._journal.path.stat().st_size
            self._number += 1
            self._journal.add(f"{self._number:08d}", [row])
            self._note(row, at, self._journal.path.stat().st_size - at)

    def _note(self, row: dict[str, Any], at: int, length: int, opening: bool = False) -> None:
        if "reason" in row:
            self._failed[row["id"]] = Failed(row["row"], row["reason"], row["attempts"])
        elif "answer" in row:
            self._where[row["id"]] = (at, length)
            self._failed.pop(row["id"], None)
        if opening and "reason" not in row:
            self.used.append((decode(Usage, row.get("usage") or row["lost"]), "lost" in row))
