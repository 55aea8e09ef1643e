"""Scoring transcripts: what every scorer takes and gives, and the scorer that needs no weights.

In: `Transcript`s of known parts. Out: an `Assessment` each: for every criterion of the part the expected band, the nearest band, its
probability and that of every band; or why there is none (abstained: nothing to score; invalid: the scorer's answer was none). Nothing
is defaulted: a record without bands has a reason.

The band is the nearest to the expected one, halves up. `review` says when a person should look: the band is not likely (under 0.4), the
criteria differ by more than 2, or much was set aside. Departure from EvalYaks (arXiv 2408.12226): its models write one integer a
criterion, without probabilities, and abstain from nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from windvane.core.errors import UserError
from windvane.evalyaks.scoring.abstain import abstains
from windvane.evalyaks.scoring.clean import cleaned, words
from windvane.evalyaks.scoring.features import FEATURES
from windvane.evalyaks.scoring.weights import Scorer, score
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript

UNSURE, SPREAD, SET_ASIDE = 0.4, 2.0, 0.3
LIMITS = (
    "Text only: no pronunciation, no speech, no recognition errors. English only. No human-marked test set stands behind these "
    "bands. Not for high-stakes use: scoring people's education is a high-risk use under the EU AI Act, and a person must decide."
)


@dataclass(frozen=True, slots=True)
class Band:
    """One criterion. `expected`: between bands; `band`: the nearest, halves up; `probability`: of that band, None where the scorer
    gives none; `probabilities`: "1".."5" -> probability, empty where none; `because`: (what, contribution), largest first."""

    criterion: str
    expected: float
    band: float
    probability: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    because: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """One record's outcome. `bands` is empty unless `status` is "scored"; `reason` is None then and one line otherwise. `words`: how many
    the candidate says. `notes`: what was set aside before scoring. `review`: why a person should look, empty where nothing says so."""

    id: str
    part: int | None
    status: Literal["scored", "abstained", "invalid"]
    reason: str | None
    bands: tuple[Band, ...] = ()
    words: int = 0
    notes: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    rationale: str | None = None

    @property
    def expected(self) -> dict[str, float]:
        """Criterion -> expected band."""
        return {b.criterion: b.expected for b in self.bands}


class TranscriptScorer(Protocol):
    """`name`: as given on the command line; `about`: what it is and was trained on, shown wherever its bands are."""

    name: str
    about: str

    def assess(self, records: Sequence[Transcript], rationale: bool = False) -> list[Assessment]: ...


class FeatureScorer:
    """Readable features, weighed (evalyaks/scoring/weights.py)."""

    def __init__(self, name: str, scorer: Scorer) -> None:
        self.name, self.scorer, self.about = name, scorer, scorer.about
        self.parts = {line.part for line in scorer.lines}

    def assess(self, records: Sequence[Transcript], rationale: bool = False) -> list[Assessment]:
        return [self._one(r, rationale) for r in records]

    def _one(self, record: Transcript, rationale: bool) -> Assessment:
        out = refused(record)
        if out is not None:
            return out
        if str(record.part) not in self.parts:
            return without(record, "invalid", f"the scorer {self.name} knows no part {record.part}")
        bands = tuple(
            Band(
                e.criterion,
                e.expected,
                nearest(e.expected),
                e.probability,
                e.probabilities,
                tuple((FEATURES[f], v) for f, v in e.contributions.items()),
            )
            for e in score(self.scorer, record)
        )
        return scored(record, bands, _told(bands) if rationale else None)


def refused(record: Transcript) -> Assessment | None:
    """The abstention, or None where the record can be scored."""
    if record.part not in PART_CRITERIA:
        return without(record, "invalid", "the part is not known; name it (1 to 4), since the criteria hang on it")
    reason = abstains(record)
    return without(record, "abstained", reason) if reason else None


def without(record: Transcript, status: Literal["abstained", "invalid"], reason: str) -> Assessment:
    return Assessment(record.id, record.part, status, reason, words=len(words(record.said())))


def scored(record: Transcript, bands: tuple[Band, ...], rationale: str | None = None) -> Assessment:
    """With notes and reasons for a review."""
    seen = cleaned(record)
    notes = tuple(f"{kind} ({n})" for kind, n in seen.notes.items())
    review = [
        f"{b.criterion}: band {b.band:g} has probability {b.probability:.2f} only"
        for b in bands
        if (b.probability or 1) < UNSURE
    ]
    values = [b.band for b in bands]
    if values and max(values) - min(values) > SPREAD:
        review.append(f"the criteria differ by {max(values) - min(values):g} bands")
    if seen.kept < 1 - SET_ASIDE:
        review.append(f"{1 - seen.kept:.0%} of the candidate's words were set aside")
    count = len(words(record.said()))
    return Assessment(record.id, record.part, "scored", None, bands, count, notes, tuple(review), rationale)


def nearest(expected: float, low: float = 1.0, high: float = 5.0) -> float:
    """The nearest whole band, halves up."""
    return min(max(math.floor(expected + 0.5), low), high)


def _told(bands: Sequence[Band]) -> str:
    """What weighed most, in words; every feature is one that a person can count."""
    lines = []
    for b in bands:
        most = [f"{what} ({'+' if v > 0 else '-'})" for what, v in b.because[:4] if abs(v) > 1e-3]
        lines.append(f"{b.criterion} {b.band:g}: {'; '.join(most) or 'nothing stood out'}.")
    return " ".join(lines)


def need_scored(assessment: Assessment) -> Assessment:
    """`UserError` with the reason where there are no bands."""
    if assessment.status != "scored":
        raise UserError(f"{assessment.id}: {assessment.status}: {assessment.reason}")
    return assessment
