"""How sure a mean of scores in [0, 1] is, where several scores may come from one document or instance (a cluster).

In: scores and the cluster each belongs to. Out: mean, standard error, 95% interval. All-or-nothing scores get a Wilson interval at the
clusters' effective number, which stays honest at 0 and 100 (a bootstrap of twenty right answers says 100 to 100); others get a
percentile bootstrap over whole clusters (2,000 resamples, the same ones every time). Two models are compared by stats/paired.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windvane.stats.paired import cluster_sums, clustered_error, resampled

Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Mean:
    """All but `n` and `clusters` in the unit of the scores; `standard_error` is None for a single cluster."""

    mean: float
    standard_error: float | None
    low: float
    high: float
    n: int
    clusters: int


def wilson(mean: float, n: float) -> tuple[float, float]:
    """95% Wilson score interval of a proportion seen in `n` independent trials (n may be fractional)."""
    z2 = Z95 * Z95
    middle = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Exactly 0 and 1 at the ends, where rounding would leave 4e-17.
    return 0.0 if mean == 0 else max(0.0, middle - half), 1.0 if mean == 1 else min(1.0, middle + half)


def interval(scores: Sequence[float], clusters: Sequence[str]) -> Mean:
    """Mean, standard error and 95% interval of at least one score."""
    assert scores and len(scores) == len(clusters)
    sums, sizes = cluster_sums(np.asarray(scores, float), clusters)
    n, groups, mean, error = len(scores), len(sums), float(np.mean(scores)), clustered_error(sums, sizes)
    if set(scores) <= {0.0, 1.0}:
        effective: float = groups  # without variance (all 0 or all 1) each cluster is one trial
        if error:
            alone = math.sqrt(mean * (1 - mean) / (n - 1))
            effective = min(n, n * (alone / error) ** 2)  # clusters of equal means would make it endless
        low, high = wilson(mean, effective)
    else:
        means = np.concatenate([draws @ sums / (draws @ sizes) for draws in resampled(groups, 2000, 0)])
        low, high = map(float, np.quantile(means, [0.025, 0.975]))
    return Mean(mean, error, low, high, n, groups)
