"""Do people agree that a conversation shows the bands it was written for? Two raters a record, apart, then a word between them.

In: records with planned bands, raters' reviews. Out: which record a rater sees next, what became of each record, how far raters agree, and
the records with the bands that people settled on. EvalYaks (arXiv 2408.12226, section 4.1.3): two of three teachers judged each record
(match, which criterion is off, how to change it), and met over what they saw otherwise; conversations were edited to fit, scores were not,
and no agreement is reported. Here both may be done, and every step is a line of a file that is only ever added to.

A review agrees; or names the criteria that are off, each with the band that fits; or gives the turns as they should read. A rater's later
review of a record replaces the earlier one. A record is settled when two raters gave the same bands and no edits, or the same edits, or
when a review of the consensus is there.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.evalyaks.transcripts.record import CRITERIA, Transcript, Turn

CONSENSUS = "consensus"  # the rater's name of what two agreed on in the end
RATERS = 2
Outcome = Literal["open", "agreed", "changed", "edited", "disputed"]


@dataclass(frozen=True, slots=True)
class Review:
    """One rater's word on one record. `off`: criterion -> the band that fits, of those that do not match; `turns`: the conversation as it
    should read, where it is to be edited; neither: the rater agrees. `time`: seconds since 1970, for the order alone."""

    record: str
    rater: str
    off: Mapping[str, float] = field(default_factory=dict)
    turns: tuple[Turn, ...] | None = None
    comment: str = ""
    time: float = 0.0

    @property
    def agrees(self) -> bool:
        return not self.off and self.turns is None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a record: "open" (fewer than two raters), "agreed", "changed" (other bands), "edited" (other turns), "disputed"."""

    record: Transcript
    outcome: Outcome
    reviews: tuple[Review, ...]


def check_review(review: Review, record: Transcript) -> Review:
    """`UserError` for a review that says nothing that can be used: unknown criteria, bands off the scale, the planned band again, no
    candidate left in the edited turns."""
    place = f"review of {review.record} by {review.rater or '(nobody)'}"
    if not review.rater.strip():
        raise UserError(f"{place}: who says so? Give a rater's name")
    for criterion, band in review.off.items():
        if criterion not in record.scores:
            raise UserError(f"{place}: {criterion} is none of {', '.join(record.scores)}")
        if band not in (1.0, 2.0, 3.0, 4.0, 5.0):
            raise UserError(f"{place}: {criterion}: band {band:g} is none of 1 to 5")
        if band == record.scores[criterion]:
            raise UserError(f"{place}: {criterion}: {band:g} is the planned band; leave it out to agree")
    if review.turns is not None and not any(t.role == "candidate" and t.text.strip() for t in review.turns):
        raise UserError(f"{place}: the candidate says nothing in the edited turns")
    return review


def latest(reviews: Iterable[Review]) -> dict[str, dict[str, Review]]:
    """Record -> rater -> their last review, raters in the order of their first one."""
    found: dict[str, dict[str, Review]] = {}
    for review in reviews:
        found.setdefault(review.record, {})[review.rater] = review
    return found


def next_record(
    records: Sequence[Transcript], reviews: Sequence[Review], rater: str, out: Iterable[str] = (), seed: int = 0
) -> Transcript | None:
    """What `rater` should look at now; None when nothing is left. Records that another has seen come first, so that pairs are finished;
    among equals the order is drawn, and differs between raters. `out`: ids that are in other raters' hands."""
    told, busy = latest(reviews), Counter(out)

    def seen(record: Transcript) -> int:
        return len(told.get(record.id, {}).keys() - {CONSENSUS}) + busy[record.id]

    left = [
        r
        for r in records
        if rater not in told.get(r.id, {}) and CONSENSUS not in told.get(r.id, {}) and seen(r) < RATERS
    ]
    return min(left, key=lambda r: (-seen(r), seed_of(seed, "review", rater, r.id)), default=None)


def settle(records: Sequence[Transcript], reviews: Sequence[Review]) -> list[Settled]:
    """Each record with what people made of it."""
    told = latest(reviews)
    found = []
    for record in records:
        own = told.get(record.id, {})
        last = own.get(CONSENSUS)
        two = [r for name, r in own.items() if name != CONSENSUS][:RATERS]
        decided = [last] if last else two
        if last is None and len(two) < RATERS:
            found.append(Settled(record, "open", tuple(two)))
            continue
        same = all((dict(r.off), r.turns) == (dict(decided[0].off), decided[0].turns) for r in decided)
        if not same:
            found.append(Settled(record, "disputed", tuple(two)))
            continue
        word = decided[0]
        outcome: Outcome = "agreed" if word.agrees else "edited" if word.turns is not None else "changed"
        found.append(Settled(_applied(record, word), outcome, tuple(own.values())))
    return found


def settled_records(found: Sequence[Settled]) -> list[Transcript]:
    """The records that people stand behind, with their bands and turns."""
    return [s.record for s in found if s.outcome in ("agreed", "changed", "edited")]


def _applied(record: Transcript, word: Review) -> Transcript:
    scores = {c: float(word.off.get(c, record.scores[c])) for c in CRITERIA if c in record.scores}
    if word.turns is None:
        return dataclasses.replace(record, scores=scores)
    names = ("context", "level", "language", "setting", "candidate", "name", "source", "repairs")
    more: dict[str, Any] = {n: getattr(record, n) for n in names}
    # an edited conversation stays with the one it was made from
    return Transcript.of(record.part, word.turns, scores=scores, split_group=record.split_group, **more)
