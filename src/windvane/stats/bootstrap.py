"""Intervals that hold: means over prompts with bootstrap intervals that resample prompts.

Several answers to a prompt are averaged first: they are not independent. Where training seeds vary, resample seeds first
(an interval over prompts alone says nothing about another run).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float], seed: int = 0, resamples: int = 10_000, level: float = 0.95
) -> Interval | None:
    """The mean of one value a prompt with its percentile bootstrap interval; None for no values. A paired comparison of two
    models is the same thing on the per-prompt differences."""
    if not values:
        return None
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(
        0, resamples, 500
    ):  # 500 resamples of 60,000 prompts are 240 MB of indices, the most held at once
        count = min(500, resamples - start)
        means[start : start + count] = data[rng.integers(0, len(data), (count, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high), len(data))
