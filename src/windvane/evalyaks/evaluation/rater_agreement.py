"""How far the raters of a validation queue agree about bands, by criterion (the measures are those of stats/agreement.py).

EvalYaks (arXiv 2408.12226, section 4.1.3) had two teachers a record and reports no agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from windvane.evalyaks.transcripts.record import CRITERIA, Transcript
from windvane.evalyaks.writing.review import CONSENSUS, Review, latest
from windvane.stats.agreement import agreement_of, share


def review_agreement(records: Sequence[Transcript], reviews: Sequence[Review]) -> dict[str, Any]:
    """Of a validation queue: by criterion, agreement on the bands (a rater who agrees gives the planned one), and how often raters found
    the planned band right; over all criteria, how often two raters said the same about a record. Edits count as a verdict of their own."""
    told = latest(reviews)
    known = {r.id: r for r in records}
    apart = {i: {n: w for n, w in own.items() if n != CONSENSUS} for i, own in told.items() if i in known}
    found: dict[str, Any] = {
        "records": len(records),
        "reviews": sum(map(len, apart.values())),
        "reviewed_twice": sum(len(own) >= 2 for own in apart.values()),
        "criteria": {},
    }
    for criterion in CRITERIA:
        marks = {
            i: {n: float(w.off.get(criterion, known[i].scores[criterion])) for n, w in own.items()}
            for i, own in apart.items()
            if criterion in known[i].scores
        }
        if any(marks.values()):
            given = [(known[i].scores[criterion], band) for i, own in marks.items() for band in own.values()]
            right = sum(a == b for a, b in given) / len(given)
            found["criteria"][criterion] = {**agreement_of(marks), "planned_band_right": right}
    verdicts = {i: {n: _verdict(w) for n, w in own.items()} for i, own in apart.items()}
    same = [a == b for own in verdicts.values() for a, b in combinations(own.values(), 2)]
    found["same_verdict"] = sum(same) / len(same) if same else None
    found["agree"] = share([v == () for own in verdicts.values() for v in own.values()])
    found["edits"] = sum(w.turns is not None for own in apart.values() for w in own.values())
    return found


def _verdict(review: Review) -> tuple[Any, ...]:
    if review.turns is not None:
        return ("edited", tuple((t.role, t.text) for t in review.turns))
    return tuple(sorted(review.off.items()))
