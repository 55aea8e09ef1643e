"""How far two rated models are apart, with an interval over questions: the paired form of ratings.py's intervals.

In: battles and the anchor. Out: for each two models the difference of their predicted win rates against the anchor, in points; its
standard error and percentile interval from refits on resampled questions (both models lose or keep a question together, which is what
pairs them), and the smallest difference that so many questions would show.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from windvane.evaluate.intervals import minimum_detectable, resampled
from windvane.evaluate.length_control import sigmoid
from windvane.evaluate.ratings import Battle, bradley_terry


def rating_gaps(battles: Sequence[Battle], anchor: str, resamples: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Every two models but the anchor, the better one first. Call after `rate`, which refuses what cannot be compared."""
    names = sorted({b.first for b in battles} | {b.second for b in battles})
    place = {name: i for i, name in enumerate(names)}
    questions: dict[Hashable, int] = {}
    asked = np.array([questions.setdefault(b.question, len(questions)) for b in battles])
    first, second = (np.array([place[getattr(b, side)] for b in battles]) for side in ("first", "second"))
    share, weight = np.array([b.share for b in battles]), np.array([b.weight for b in battles])

    def rates(times: np.ndarray) -> np.ndarray:
        wins = np.zeros((len(names), len(names)))
        np.add.at(wins, (first, second), weight * times * share)
        np.add.at(wins, (second, first), weight * times * (1 - share))
        return sigmoid(bradley_terry(wins, place[anchor]))

    whole = rates(np.ones(len(battles)))
    rivals = sorted((n for n in names if n != anchor), key=lambda n: (-whole[place[n]], n))
    if len(rivals) < 2:
        return []
    draws = np.array([rates(times[asked]) for part in resampled(len(questions), resamples, seed) for times in part])
    found = []
    for one, other in combinations(rivals, 2):
        i, j = place[one], place[other]
        gaps = 100 * (draws[:, i] - draws[:, j])
        error = float(gaps.std(ddof=1))
        low, high = np.quantile(gaps, [0.025, 0.975])
        shared = {b.question for b in battles if one in (b.first, b.second)} & {
            b.question for b in battles if other in (b.first, b.second)
        }
        found.append(
            {
                "first": one,
                "second": other,
                "mean": 100 * float(whole[i] - whole[j]),
                "standard_error": error,
                "low": float(low),
                "high": float(high),
                "mde": minimum_detectable(error),
                "n_questions_shared": len(shared),
            }
        )
    return found
