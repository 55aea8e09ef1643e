"""Files of transcripts, scored behind the page: a queue, progress, results.

In: an uploaded file's name and bytes. Out: a `Batch` that grows. One is scored at a time, in the order they came; each is seen by
whoever sent it alone. Everything is in memory: results are gone an hour after they are ready, when they are deleted, or when the
service stops.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.evalyaks.scoring.score import Assessment
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import ReadTranscripts
from windvane.serve.speaking import Busy, Speaking

KINDS = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".md")  # no Parquet: a small file may unfold to any size
AT_ONCE = 4  # a person's batches that are not finished
KEPT, SECONDS = 50, 3600
STEP = 16  # transcripts between two looks at the clock
log = logging.getLogger("windvane")


@dataclass(slots=True)
class Batch:
    """`state`: waiting, scoring, done, failed (`problem` says why)."""

    key: str
    owner: str | None
    name: str
    read: ReadTranscripts
    given: list[Assessment] = field(default_factory=list)
    state: Literal["waiting", "scoring", "done", "failed", "stopped"] = "waiting"
    problem: str | None = None
    seconds: float = 0.0
    ended: float | None = None

    @property
    def told(self) -> dict[str, Any]:
        """For the page."""
        statuses = [a.status for a in self.given]
        return {
            "batch": self.key,
            "name": self.name,
            "state": self.state,
            "problem": self.problem,
            "rows": self.read.rows,
            "to_score": len(self.read.records),
            "done": len(self.given),
            "scored": statuses.count("scored"),
            "abstained": statuses.count("abstained"),
            "invalid": statuses.count("invalid"),
            "not_read": len(self.read.quarantined),
            "candidates": len({r.candidate for r in self.read.records if r.candidate}),
            "review": sum(bool(a.review) for a in self.given),
            "transcripts_per_hour": round(3600 * len(self.given) / self.seconds)
            if self.seconds and self.given
            else None,
        }


class Batches:
    """May be called from several threads."""

    def __init__(self, speaking: Speaking) -> None:
        self.speaking = speaking
        self._found: dict[str, Batch] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "batches")

    def add(self, owner: str | None, name: str, data: bytes, part: int | None) -> Batch:
        """Read the file and queue it. `UserError` where it cannot be read; `Busy` where too many wait."""
        with self._lock:
            self._forget()
            open_ = [b for b in self._found.values() if b.owner == owner and b.state in ("waiting", "scoring")]
            if len(open_) >= AT_ONCE:
                raise Busy("several of your batches are not finished yet; wait for one, or delete it")
        batch = Batch(secrets.token_urlsafe(16), owner, Path(name).name[:200] or "file", _read(name, data, part))
        with self._lock:
            self._found[batch.key] = batch
        self._pool.submit(self._score, batch)
        return batch

    def get(self, owner: str | None, key: str) -> Batch:
        """`KeyError` where it is not there, or not this person's."""
        with self._lock:
            self._forget()
            batch = self._found[key]
        if batch.owner != owner:
            raise KeyError(key)
        return batch

    def delete(self, owner: str | None, key: str) -> None:
        batch = self.get(owner, key)
        with self._lock:
            self._found.pop(key, None)
            batch.state = "stopped"

    def close(self) -> None:
        with self._lock:
            for batch in self._found.values():
                batch.state = "stopped"
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _score(self, batch: Batch) -> None:
        if batch.state == "stopped":
            return
        batch.state = "scoring"
        start = time.perf_counter()
        try:
            records = batch.read.records
            for i in range(0, len(records), STEP):
                if batch.state == "stopped":
                    return
                batch.given += self.speaking.assess(records[i : i + STEP])
                batch.seconds = time.perf_counter() - start
            batch.state = "done"
        except UserError as error:
            batch.state, batch.problem = "failed", str(error)
        except Exception:
            log.exception("a batch failed")
            batch.state, batch.problem = "failed", "the scorer failed; the log of the service says how"
        finally:
            batch.ended = time.monotonic()

    def _forget(self) -> None:
        old = [k for k, b in self._found.items() if b.ended is not None and b.ended < time.monotonic() - SECONDS]
        ended = [k for k, b in self._found.items() if b.ended is not None and k not in old]
        for key in old + ended[: max(0, len(self._found) - len(old) - KEPT + 1)]:
            self._found.pop(key)


def _read(name: str, data: bytes, part: int | None) -> ReadTranscripts:
    """Through a file of its own that is gone afterwards, so that messages name it as it was sent."""
    plain = Path(name).name
    if Path(plain).suffix.lower() not in KINDS:
        raise UserError(f"{plain[:80] or 'the file'}: unknown kind of file; known: {', '.join(KINDS)}")
    safe = "".join(c if c.isalnum() or c in "._- " else "_" for c in plain)[-80:]
    with tempfile.TemporaryDirectory(prefix="windvane-") as folder:
        path = Path(folder) / safe
        path.write_bytes(data)
        try:
            return read_transcripts([path], part)
        except UserError as error:
            raise UserError(str(error).replace(str(path), safe)) from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{safe}: cannot be read ({type(error).__name__}); save it as CSV or JSONL") from None
