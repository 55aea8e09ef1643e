"""Values become a system message; two models answer under it side by side; what people vote is kept.

In: chosen values or one's own words; chats; votes. Out: the system message as it is written (by a template, or by a writer model in the
words of `janus/value_prompts.py`); two streams whose sides nobody is told; `votes.jsonl` and `pairs.jsonl`. Left and right are drawn anew
for each turn, and a turn goes on from the answer that was preferred, for both models: so every decided vote is a preference pair with
one prompt, which a vote over two conversations that have parted is not. Departure from arXiv 2405.17977, whose 14 raters saw two
models' single answers: several turns.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.engines.streaming import Streamer
from windvane.janus.bench.votes import VOTES
from windvane.janus.value_prompts import Value, read_system, system_messages
from windvane.serve.vote_log import Ledger

SIDES = ("left", "right")
LEAST, MOST = 60, 200  # words asked of a writer model
KEPT_TURNS, KEPT_SECONDS = 500, 3600
MOST_STREAMS = 16  # answers at a time: each holds a thread while it waits for its model, and the other rooms need some


def template_message(values: Sequence[Value]) -> str:
    """A system message without a model: what each value says, one after the other."""
    parts = ["You are the assistant of one person, and in every answer you keep to what this person values."]
    for v in values:
        told = v.description.strip()
        head = f"{v.dimension.replace('_', ' ').capitalize()}: {v.preference.strip().rstrip('.')}."
        parts.append(f"{head} {told}" if told and told != v.preference else head)
    return " ".join(parts)


def written(
    values: Sequence[Value],
    topic: str,
    writer: Streamer | None,
    template: Callable[[Sequence[Value]], str] = template_message,
) -> Iterator[dict[str, Any]]:
    """Events: text as it grows; the last says whether the message passes the collection's own checks."""
    seed = secrets.randbits(63)
    if writer is None:
        text = template(values)
        for word in text.split(" "):
            yield {"text": word + " "}
        yield {"done": True, "message": text, "remark": None}
        return
    asked = system_messages(topic or "(any request)", values, LEAST, MOST)
    found = ""
    for piece in writer.stream(asked, seed):
        found = piece.text if piece.whole else found + piece.text
        yield {"whole": piece.text} if piece.whole else {"text": piece.text}
    message, reason = read_system(found, topic, LEAST, MOST)
    yield {"done": True, "message": message or found.strip(), "remark": reason}


@dataclass(slots=True)
class Turn:
    """One question put to both models. `order[i]`: which model (0 is A) is on side i."""

    prompt: Prompt
    values: tuple[Value, ...]
    order: tuple[int, int]
    born: float
    texts: dict[int, str] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    voted: bool = False


class Composer:
    """`models`: two names and how each is opened, at first use. `streaming`: answers at the moment. May be called from several threads."""

    def __init__(self, folder: Path, models: Sequence[tuple[str, Callable[[], Streamer]]]) -> None:
        self.names = [name for name, _ in models]
        self._open = [opener for _, opener in models]
        self._streamers: dict[int, Streamer] = {}
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._turns: dict[str, Turn] = {}
        self.streaming = 0
        self.votes = Ledger(folder / "votes.jsonl")
        self.pairs = Ledger(folder / "pairs.jsonl")
        there = {row.get("vote_id") for row in self.pairs.rows}
        for row in self.votes.rows:  # a kill between the two files
            pair = pair_of(row)
            if pair is not None and row["id"] not in there:
                self.pairs.add(pair)

    def begin(self, system: str, messages: Sequence[Message], values: Sequence[Value]) -> str:
        """A new turn's id."""
        head = (Message("system", system.strip()),) if system.strip() else ()
        order = (0, 1) if secrets.randbits(1) else (1, 0)
        turn = Turn(Prompt.of((*head, *messages)), tuple(values), order, time.monotonic())
        key = secrets.token_urlsafe(12)
        with self._lock:
            old = [k for k, t in self._turns.items() if t.born < turn.born - KEPT_SECONDS]
            for k in old + list(self._turns)[: max(0, len(self._turns) - len(old) - KEPT_TURNS + 1)]:
                self._turns.pop(k, None)
            self._turns[key] = turn
        return key

    def turn(self, key: str) -> Turn:
        """`KeyError` where it is not known (any more)."""
        with self._lock:
            return self._turns[key]

    def streamer(self, model: int) -> Streamer:
        with self._opening:
            if model not in self._streamers:
                self._streamers[model] = self._open[model]()
            return self._streamers[model]

    def answer(self, turn: Turn, side: int) -> Iterator[dict[str, Any]]:
        """Events of one side. A side that failed or was broken off may be asked again."""
        model = turn.order[side]
        with self._lock:
            if side in turn.begun:
                raise UserError("this side is being answered already")
            turn.begun.add(side)
            self.streaming += 1
        try:
            text = ""
            seed = secrets.randbits(63)
            for piece in self.streamer(model).stream(turn.prompt.messages, seed):
                text = piece.text if piece.whole else text + piece.text
                yield {"whole": piece.text} if piece.whole else {"text": piece.text}
                if piece.finish:
                    turn.texts[model], turn.finishes[model] = text, piece.finish
                    yield {"done": True, "finish": piece.finish, "empty": not text.strip()}
        finally:
            with self._lock:
                self.streaming -= 1
                if model not in turn.texts:
                    turn.begun.discard(side)

    def vote(self, key: str, turn: Turn, choice: str, voter: str | None) -> dict[str, Any]:
        """Keep it and tell who was who. `UserError` before both answers are there and for a second vote."""
        with self._lock:
            if len(turn.texts) < 2:
                raise UserError("both answers must be there before a vote")
            if turn.voted:
                raise UserError("this turn has a vote already")
            turn.voted = True
        row = {
            "id": key,
            "instance": turn.prompt.id,
            "vote": _seen_from_a(choice, turn.order),
            "model": self.names[0],
            "opponent": self.names[1],
            "left": "model" if turn.order[0] == 0 else "opponent",
            "prompt": [{"role": m.role, "content": m.content} for m in turn.prompt.messages],
            "answer": turn.texts[0],
            "opponent_answer": turn.texts[1],
            "finish": [turn.finishes[0], turn.finishes[1]],
            "values": list(turn.values),
            "voter": voter,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        try:
            self.votes.add(row)
        except OSError:
            turn.voted = False
            raise
        pair = pair_of(row)
        if pair is not None:
            self.pairs.add(pair)
        best = SIDES.index(choice) if choice in SIDES else 0
        return {
            "models": {side: self.names[turn.order[i]] for i, side in enumerate(SIDES)},
            "goes_on": SIDES[best],
            "answer": turn.texts[turn.order[best]],
            "pair": pair is not None,
            "votes": self.counts(),
        }

    def counts(self) -> dict[str, int]:
        """Votes by kind, as model A sees them."""
        return {vote: sum(row.get("vote") == vote for row in self.votes.rows) for vote in VOTES}

    def close(self) -> None:
        self.votes.close()
        self.pairs.close()


def pair_of(vote: dict[str, Any]) -> dict[str, Any] | None:
    """A vote as a training row (TRL's conversational preferences); None where nothing was preferred, the answers are equal or one is
    empty."""
    answers = (vote["answer"], vote["opponent_answer"])
    if vote["vote"] not in ("win", "lose") or answers[0] == answers[1] or not all(a.strip() for a in answers):
        return None
    best, worst = answers if vote["vote"] == "win" else answers[::-1]
    return {
        "prompt": vote["prompt"],
        "chosen": [{"role": "assistant", "content": best}],
        "rejected": [{"role": "assistant", "content": worst}],
        "vote_id": vote["id"],
    }


def _seen_from_a(choice: str, order: tuple[int, int]) -> str:
    if choice not in SIDES:
        return choice
    return "win" if order[SIDES.index(choice)] == 0 else "lose"
