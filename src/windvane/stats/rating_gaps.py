"""How far two rated models are apart, with an interval over questions: the paired form of stats/bradley_terry.py's intervals.

In: battles and the anchor. Out: for each two models the difference of their predicted win rates against the anchor, in points; its
standard error and percentile interval from refits on resampled questions (both models lose or keep a question together, which is what
pairs them), and the smallest difference that so many questions would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from windvane.stats.bradley_terry import Battle, bradley_terry, tally
from windvane.stats.logistic import sigmoids
from windvane.stats.paired import minimum_detectable, resampled


def rating_gaps(battles: Sequence[Battle], anchor: str, resamples: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Every two models, the better one first, those with the anchor (whose rate is 50) last. Call after `rate`, which refuses what
    cannot be compared."""
    names, asked, wins = tally(battles)
    place = {name: i for i, name in enumerate(names)}

    def rates(times: np.ndarray) -> np.ndarray:
        return sigmoids(bradley_terry(wins(times), place[anchor]))

    whole = rates(np.ones(len(battles)))
    rivals = sorted((n for n in names if n != anchor), key=lambda n: (-whole[place[n]], n))
    if not rivals:
        return []
    draws = np.array(
        [rates(times[asked]) for part in resampled(int(asked.max()) + 1, resamples, seed) for times in part]
    )
    found = []
    against = [(n, anchor) if whole[place[n]] >= 0.5 else (anchor, n) for n in rivals]
    for one, other in [*combinations(rivals, 2), *against]:
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
