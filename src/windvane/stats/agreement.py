"""How far raters agree: percent, Cohen's kappa (plain and quadratic), Krippendorff's alpha.

In: items with the marks that raters gave, some missing. Out: numbers; None where a number is undefined (nobody marked the same item;
everybody gave one mark throughout). Kappa is for two fixed raters, so with more it is given for every pair that shares items, and their
mean weighted by the shared items (Light 1971). Alpha takes any raters with gaps: 1 - observed/expected disagreement, differences nominal,
ordinal or interval (Krippendorff, Content Analysis, 2004, section 11.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

Marks = Mapping[str, Mapping[str, float]]  # item -> rater -> mark
Difference = Literal["nominal", "ordinal", "interval"]


def agreement_of(marks: Marks) -> dict[str, Any]:
    """percent (mean over pairs of marks of one item), adjacent (at most one band apart), kappa, weighted_kappa, alpha (ordinal),
    alpha_interval, and each pair of raters that shares items."""
    both = [(a, b) for row in marks.values() for a, b in combinations(row.values(), 2)]
    raters = sorted({n for row in marks.values() for n in row})
    pairs = []
    for first, second in combinations(raters, 2):
        shared = [(row[first], row[second]) for row in marks.values() if first in row and second in row]
        if shared:
            x, y = (np.array(side) for side in zip(*shared))
            pairs.append(
                {"raters": [first, second], "n": len(shared), "kappa": kappa(x, y), "weighted_kappa": kappa(x, y, 2)}
            )
    return {
        "n": len(both),
        "percent": share([a == b for a, b in both]),
        "adjacent": share([abs(a - b) <= 1 for a, b in both]),
        "kappa": _mean(pairs, "kappa"),
        "weighted_kappa": _mean(pairs, "weighted_kappa"),
        "alpha": alpha(marks, "ordinal"),
        "alpha_interval": alpha(marks, "interval"),
        "pairs": pairs,
    }


def kappa(first: np.ndarray, second: np.ndarray, power: int = 0) -> float | None:
    """Cohen's kappa of two raters' marks [n]: 1 - sum w O / sum w E, w = |i - j|^power (0: any difference counts 1; 2: quadratic).
    None where chance alone agrees fully.

    `sklearn.metrics.cohen_kappa_score` gives the same value where every category between the lowest and the highest mark is named. Its
    quadratic weights are distances between places in the list of categories; these are distances between the marks themselves."""
    weight = (lambda d: (d != 0) * 1.0) if power == 0 else (lambda d: np.abs(d) ** power)
    observed = float(weight(first - second).mean())
    expected = float(weight(first[:, None] - second[None, :]).mean())
    return None if expected == 0 else 1 - observed / expected


def alpha(marks: Marks, difference: Difference = "ordinal") -> float | None:
    """Krippendorff's alpha; items with fewer than two marks say nothing."""
    units = [list(row.values()) for row in marks.values() if len(row) >= 2]
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


def share(values: Sequence[bool]) -> float | None:
    """The share of `values` that are true; None for no values."""
    return sum(values) / len(values) if values else None


def _mean(pairs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [(p["n"], p[name]) for p in pairs if p[name] is not None]
    return sum(n * v for n, v in known) / sum(n for n, _ in known) if known else None
