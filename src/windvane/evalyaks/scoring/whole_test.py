"""A candidate's whole test from its parts: GV and DM over all parts, IC over parts 3 and 4.

In: records with their assessments. Out: a `WholeTest` a candidate: the mean of the expected bands of each criterion, rounded to half a
band, and what is missing. Of several transcripts of one part the mean counts as that part. No overall mark of the real exam is given: it
needs pronunciation and a global mark, which no text shows; `text_only` is 2 (GV + DM + IC) of 30, and only where all four parts are there.

EvalYaks (arXiv 2408.12226) marks parts and sums nothing; the real exam marks the whole test by criterion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windvane.evalyaks.scoring.score import Assessment
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript


@dataclass(frozen=True, slots=True)
class WholeTest:
    """`expected`: criterion -> mean of the parts' expected bands; `bands`: to the half band. `missing`: "part 2" or "part 2: reason"."""

    candidate: str
    parts: tuple[int, ...]
    expected: Mapping[str, float]
    bands: Mapping[str, float]
    text_only: float | None
    missing: tuple[str, ...]


def whole_tests(assessed: Iterable[tuple[Transcript, Assessment]]) -> list[WholeTest]:
    """One a candidate who is named in the records, in the order met; records without a candidate stand alone and are left out."""
    found: dict[str, list[Assessment]] = {}
    for record, assessment in assessed:
        if record.candidate:
            found.setdefault(record.candidate, []).append(assessment)
    return [whole_test(name, own) for name, own in found.items()]


def whole_test(candidate: str, own: Iterable[Assessment]) -> WholeTest:
    """From the assessments of one candidate."""
    parts: dict[int, list[Assessment]] = {}
    for assessment in own:
        if assessment.part:
            parts.setdefault(assessment.part, []).append(assessment)
    marks: dict[str, list[float]] = {}
    taken, missing = [], []
    for part, criteria in PART_CRITERIA.items():
        good = [a for a in parts.get(part, ()) if a.status == "scored"]
        if not good:
            why = next((a.reason for a in parts.get(part, ())), None)
            missing.append(f"part {part}{': ' + why if why else ''}")
            continue
        taken.append(part)
        for c in criteria:
            marks.setdefault(c, []).append(sum(a.expected[c] for a in good) / len(good))
    expected = {c: sum(v) / len(v) for c, v in marks.items()}
    bands = {c: half(v) for c, v in expected.items()}
    total = 2 * sum(bands.values()) if not missing else None
    return WholeTest(candidate, tuple(taken), expected, bands, total, tuple(missing))


def half(value: float) -> float:
    """The nearest half band, up from the middle."""
    return math.floor(2 * value + 0.5) / 2
