"""The queue that raters work through: two a record, apart, then a word between them on what they saw otherwise.

In: records with planned bands, raters' reviews. Out: what a rater sees next, reviews in `reviews.jsonl` (one line each, on disk before
it is acknowledged), agreement, disputes, the settled records. What is counted is evalyaks/writing/review.py's and
evalyaks/evaluation/rater_agreement.py's;
here is who may see what: nobody sees another's review of a record that is not reviewed by two, nor any dispute while they have records
left to review, and a review stands once the second one is there. The planned bands are shown, as in EvalYaks (arXiv 2408.12226, section
4.1.3), whose teachers said whether a record matched them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.schema import decode, encode
from windvane.evalyaks.evaluation.rater_agreement import review_agreement
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.writing.plan import plans
from windvane.evalyaks.writing.program import write
from windvane.evalyaks.writing.review import (
    CONSENSUS,
    RATERS,
    Review,
    check_review,
    latest,
    next_record,
    settle,
    settled_records,
)
from windvane.serve.vote_log import Ledger

IN_HAND = 1800.0  # seconds that a record stays with the rater who was shown it
PRACTICE = 2  # records a part of the practice queue
PRACTICE_ABOUT = "a practice queue: a programme wrote these conversations; name your own with --queue FILE"


class Late(Exception):
    """Not in this order; the line says why."""


class Validation:
    """May be called from several threads."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self.records, self.about = _queue(files)
        self.known = {r.id: r for r in self.records}
        self.ledger = Ledger(folder / "reviews.jsonl")
        self.reviews = [
            decode(Review, row, f"{self.ledger.path}: row {n}") for n, row in enumerate(self.ledger.rows, 1)
        ]
        self._hands: dict[str, tuple[str, float]] = {}  # rater -> (record, since)
        self._lock = threading.RLock()

    def next(self, rater: str, only: str | None = None) -> dict[str, Any]:
        """The record to look at (one's own earlier one where `only` names it), or None; and how far this rater is."""
        with self._lock:
            now = time.monotonic()
            self._hands = {name: (r, at) for name, (r, at) in self._hands.items() if at > now - IN_HAND}
            held = self._hands.get(rater)
            if only is not None:
                record = self.known.get(only) if rater in latest(self.reviews).get(only, {}) else None
            elif held is not None and held[0] in {r.id for r in self._open(rater)}:
                record = self.known[held[0]]
            else:
                others = [r for name, (r, _) in self._hands.items() if name != rater]
                record = next_record(self.records, self.reviews, rater, others)
            if record is not None and only is None:
                self._hands[rater] = (record.id, now)
            return {"record": _shown(record) if record else None, **self.progress(rater)}

    def progress(self, rater: str) -> dict[str, Any]:
        own = [r for r in _last(self.reviews) if r.rater == rater and r.record in self.known]
        return {"reviewed": len(own), "left": len(self._open(rater)), "records": len(self.records)}

    def own(self, rater: str) -> list[dict[str, Any]]:
        """This rater's reviews, the latest first; `final` where the second rater's is there."""
        with self._lock:
            told = latest(self.reviews)
            mine = [own[rater] for record, own in told.items() if rater in own and record in self.known]
            newest = sorted(mine, key=lambda r: -r.time)
            return [{**encode(r), "final": len(_raters(told[r.record])) >= RATERS} for r in newest]

    def add(self, review: Review) -> None:
        """Keep it. `UserError` where it says nothing usable; `Late` (with its reason) where it comes too late."""
        with self._lock:
            record = self._record(review.record)
            if review.rater == CONSENSUS:
                raise UserError(f"rater {CONSENSUS}: that name stands for what two raters settle; take another")
            check_review(review, record)
            seen = _raters(latest(self.reviews).get(record.id, {}))
            if len(seen) >= RATERS:
                mine = (
                    "both reviews of this record are there, so yours stands"
                    if review.rater in seen
                    else "two others reviewed it"
                )
                raise Late(mine)
            self._keep(review)
            if self._hands.get(review.rater, ("",))[0] == record.id:
                self._hands.pop(review.rater)

    def settle(self, rater: str, review: Review) -> None:
        """What the two of a disputed record agreed on in the end, told by one of them."""
        with self._lock:
            record = self._record(review.record)
            check_review(review, record)
            [found] = settle([record], self.reviews)
            if found.outcome != "disputed":
                raise Late(f"this record is {found.outcome}, not disputed")
            if rater not in {r.rater for r in found.reviews}:
                raise Late("one of the two who reviewed the record tells what they agreed on")
            self._keep(review)

    def disputes(self, rater: str) -> list[dict[str, Any]]:
        """Disputed records with both reviews. `Late` while this rater has records left."""
        with self._lock:
            left = len(self._open(rater))
            if left:
                raise Late(f"review the {left} records that are left first; then disputes are shown")
            found = [s for s in settle(self.records, self.reviews) if s.outcome == "disputed"]
            return [{"record": _shown(s.record), "reviews": [encode(r) for r in s.reviews]} for s in found]

    def agreement(self) -> dict[str, Any]:
        """How far raters agree, over all records that two have reviewed; no record and no rater's word is in it."""
        with self._lock:
            found = review_agreement(self.records, self.reviews)
            for told in found["criteria"].values():
                told.pop("pairs")
            outcomes = Counter(s.outcome for s in settle(self.records, self.reviews))
            return {**found, "outcomes": dict(outcomes), "raters": len({r.rater for r in self.reviews} - {CONSENSUS})}

    def settled(self) -> list[Transcript]:
        with self._lock:
            return settled_records(settle(self.records, self.reviews))

    def close(self) -> None:
        self.ledger.close()

    def _open(self, rater: str) -> list[Transcript]:
        told = latest(self.reviews)
        return [
            r
            for r in self.records
            if rater not in told.get(r.id, {})
            and CONSENSUS not in told.get(r.id, {})
            and len(told.get(r.id, {})) < RATERS
        ]

    def _record(self, key: str) -> Transcript:
        if key not in self.known:
            raise UserError(f"record {key[:40]}: not in the queue")
        return self.known[key]

    def _keep(self, review: Review) -> None:
        self.ledger.add(encode(review))
        self.reviews.append(review)


def review_of(
    record: str, rater: str, off: Mapping[str, float], turns: Sequence[tuple[str, str]] | None, comment: str
) -> Review:
    """As it comes over the wire."""
    edited = None if turns is None else tuple(Turn(role, text) for role, text in turns)
    return Review(record, rater.strip(), dict(off), edited, comment.strip(), time.time())


def _queue(files: Sequence[Path]) -> tuple[list[Transcript], str]:
    """Records with planned bands, each once."""
    if not files:
        made = [write(plan) for plan in plans(PRACTICE)]
        return list({r.id: r for r in made}.values()), PRACTICE_ABOUT
    read = read_transcripts(files)
    planned = [r for r in read.records if r.scores]
    if not planned:
        raise UserError(f"--queue {files[0]}: no transcript has bands to validate; give records with scores")
    left = [f"{len(read.quarantined)} rows not read"] if read.quarantined else []
    left += [f"{len(read.records) - len(planned)} without bands"] if len(planned) < len(read.records) else []
    names = ", ".join(p.name for p in files)
    return list({r.id: r for r in planned}.values()), names + (f" (left out: {', '.join(left)})" if left else "")


def _shown(record: Transcript) -> dict[str, Any]:
    found = encode(record)
    return {k: found[k] for k in ("id", "part", "turns", "scores", "context", "setting")}


def _raters(own: Mapping[str, Review]) -> set[str]:
    return set(own) - {CONSENSUS}


def _last(reviews: Sequence[Review]) -> list[Review]:
    return [r for own in latest(reviews).values() for r in own.values()]
