"""How sure a mean of scores in [0, 1] is, where several scores may come from one document or instance (a cluster).

In: scores and the cluster each belongs to. Out: mean, standard error, 95% interval. All-or-nothing scores get a Wilson interval at the
clusters' effective number, which stays honest at 0 and 100 (a bootstrap of twenty right answers says 100 to 100); others get a
percentile bootstrap over whole clusters. Two models are compared by `evaluate.intervals`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def _sums(scores: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Per cluster: the sum of its scores and their number."""
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(index, weights=np.asarray(scores, float)), np.bincount(index).astype(float)


def clustered_error(scores: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Standard error of the mean: sqrt(G/(G-1) sum_g (sum_i in g (x_i - mean))^2) / n; s/sqrt(n) where each stands alone."""
    sums, sizes = _sums(scores, clusters)
    groups, n = len(sums), sizes.sum()
    if groups < 2:
        return None
    residual = sums - sizes * (sums.sum() / n)
    return float(math.sqrt(groups / (groups - 1) * float(residual @ residual)) / n)


def bootstrap(scores: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """95% percentile interval of the mean, whole clusters drawn with replacement; the same numbers every time."""
    sums, sizes = _sums(scores, clusters)
    picks = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    low, high = np.quantile(sums[picks].sum(1) / sizes[picks].sum(1), [0.025, 0.975])
    return float(low), float(high)


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
    n, groups = len(scores), len(set(clusters))
    mean, error = float(np.mean(scores)), clustered_error(scores, clusters)
    if set(scores) <= {0.0, 1.0}:
        effective: float = groups  # without variance (all 0 or all 1) each cluster is one trial
        if error:
            alone = math.sqrt(mean * (1 - mean) / (n - 1))
            effective = n * (alone / error) ** 2
        low, high = wilson(mean, effective)
    else:
        low, high = bootstrap(scores, clusters)
    return Mean(mean, error, low, high, n, groups)
