"""How far raters agree about bands: percent, Cohen's kappa (plain and quadratic), Krippendorff's alpha.

In: items with the bands that raters gave, some missing. Out: numbers by criterion; None where a number is undefined (nobody marked the same
item; everybody gave one band throughout). Kappa is for two fixed raters, so with more it is given for every pair that shares items, and
their mean weighted by the shared items (Light 1971). Alpha takes any raters with gaps: 1 - observed/expected disagreement, differences
nominal, ordinal or interval (Krippendorff, Content Analysis, 2004, section 11.3).

EvalYaks (arXiv 2408.12226, section 4.1.3) had two teachers a record and reports no agreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

from windvane.evalyaks.transcripts.record import CRITERIA, Transcript
from windvane.evalyaks.writing.review import CONSENSUS, Review, latest

Marks = Mapping[str, Mapping[str, float]]  # item -> rater -> band
Difference = Literal["nominal", "ordinal", "interval"]


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
    found["agree"] = _share([v == () for own in verdicts.values() for v in own.values()])
    found["edits"] = sum(w.turns is not None for own in apart.values() for w in own.values())
    return found


def agreement_of(marks: Marks) -> dict[str, Any]:
    """percent (mean over pairs of marks of one item), adjacent (at most one band apart), kappa, weighted_kappa, alpha (ordinal),
    alpha_interval, and each pair of raters that shares items."""
    both = [(a, b) for own in marks.values() for a, b in combinations(own.values(), 2)]
    raters = sorted({n for own in marks.values() for n in own})
    pairs = []
    for first, second in combinations(raters, 2):
        shared = [(own[first], own[second]) for own in marks.values() if first in own and second in own]
        if shared:
            x, y = (np.array(side) for side in zip(*shared))
            pairs.append(
                {"raters": [first, second], "n": len(shared), "kappa": kappa(x, y), "weighted_kappa": kappa(x, y, 2)}
            )
    return {
        "n": len(both),
        "percent": _share([a == b for a, b in both]),
        "adjacent": _share([abs(a - b) <= 1 for a, b in both]),
        "kappa": _mean(pairs, "kappa"),
        "weighted_kappa": _mean(pairs, "weighted_kappa"),
        "alpha": alpha(marks, "ordinal"),
        "alpha_interval": alpha(marks, "interval"),
        "pairs": pairs,
    }


def kappa(first: np.ndarray, second: np.ndarray, power: int = 0) -> float | None:
    """Cohen's kappa of two raters' marks [n]: 1 - sum w O / sum w E, w = |i - j|^power (0: any difference counts 1; 2: quadratic)."""
    weight = (lambda d: (d != 0) * 1.0) if power == 0 else (lambda d: np.abs(d) ** power)
    observed = float(weight(first - second).mean())
    expected = float(weight(first[:, None] - second[None, :]).mean())
    return None if expected == 0 else 1 - observed / expected


def alpha(marks: Marks, difference: Difference = "ordinal") -> float | None:
    """Krippendorff's alpha; items with fewer than two marks say nothing."""
    units = [list(own.values()) for own in marks.values() if len(own) >= 2]
    if not units:
        return None
    values = sorted({v for unit in units for v in unit})
    at = {v: k for k, v in enumerate(values)}
    coincidence = np.zeros((len(values), len(values)))
    for unit in units:
        counts = np.bincount([at[v] for v in unit], minlength=len(values)).astype(float)
        coincidence += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    margin = coincidence.sum(1)
    delta = _squared(np.array(values), margin, difference)
    expected = (np.outer(margin, margin) * delta).sum() / (margin.sum() - 1)
    return None if expected == 0 else float(1 - (coincidence * delta).sum() / expected)


def _squared(values: np.ndarray, margin: np.ndarray, difference: Difference) -> np.ndarray:
    if difference == "nominal":
        return (values[:, None] != values[None, :]) * 1.0
    if difference == "interval":
        return (values[:, None] - values[None, :]) ** 2
    reach = np.concatenate([[0.0], np.cumsum(margin)])
    middle = (reach[:-1] + reach[1:]) / 2  # the ranks between two values, half of each end's
    return (middle[:, None] - middle[None, :]) ** 2


def _verdict(review: Review) -> tuple[Any, ...]:
    if review.turns is not None:
        return ("edited", tuple((t.role, t.text) for t in review.turns))
    return tuple(sorted(review.off.items()))


def _share(told: Sequence[bool]) -> float | None:
    return sum(told) / len(told) if told else None


def _mean(pairs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [(p["n"], p[name]) for p in pairs if p[name] is not None]
    return sum(n * v for n, v in known) / sum(n for n, _ in known) if known else None
