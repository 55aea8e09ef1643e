"""Paired, clustered comparisons, and how small a difference the data could show at all.

In: per-row values of two models on the same instructions, and the cluster (document, instruction, candidate) each row belongs to.
Rows of a cluster are not independent, so clusters are resampled whole and the standard error is the cluster-robust one; with one row
a cluster it is the ordinary standard error of a mean of differences.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, slots=True)
class Difference:
    """`mean` of (first - second), its cluster-robust standard error (None for a single cluster), the percentile bootstrap interval,
    and `mde`: the smallest true difference that a two-sided test at `1 - level` finds with probability `power`."""

    mean: float
    standard_error: float | None
    low: float
    high: float
    mde: float | None
    n: int
    clusters: int


def cluster_sums(values: np.ndarray, clusters: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """(sum of values, number of rows) of each cluster, in order of first appearance."""
    index: dict[Hashable, int] = {}
    which = np.array([index.setdefault(c, len(index)) for c in clusters])
    return np.bincount(which, weights=values), np.bincount(which).astype(float)


def clustered_error(sums: np.ndarray, sizes: np.ndarray) -> float | None:
    """Cluster-robust standard error of the mean over rows, from `cluster_sums`; s/sqrt(n) with one row a cluster, None for one cluster.

    sqrt(G/(G-1) sum_g (sum_{i in g} (x_i - mean))^2) / n: the residual sums of clusters are independent where rows are not, and
    G/(G-1) is the usual small-sample factor.
    """
    count, n = len(sums), float(sizes.sum())
    if count < 2:
        return None
    residual = sums - sizes * (sums.sum() / n)
    return float(np.sqrt(count / (count - 1) * np.square(residual).sum()) / n)


def resampled(clusters: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each cluster is drawn: arrays [some resamples, clusters] of counts, each row summing to `clusters`."""
    rng = np.random.default_rng(seed)
    chunk = max(1, 4_000_000 // clusters)  # 32 MB of counts at a time
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        yield rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=size).astype(float)


def minimum_detectable(standard_error: float, level: float = 0.95, power: float = 0.8) -> float:
    """(z_{1-alpha/2} + z_power) standard errors: 2.80 of them at the usual 5% and 80% (Bloom 1995)."""
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) * standard_error


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Difference:
    """Mean of first[i] - second[i] over rows that ask both models the same thing."""
    assert len(first) == len(second) == len(clusters) > 0, "pairs must line up"
    values = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    sums, sizes = cluster_sums(values, clusters)
    count, mean = len(sums), float(values.mean())
    means = np.concatenate([draws @ sums / (draws @ sizes) for draws in resampled(count, resamples, seed)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    error = clustered_error(sums, sizes)
    detectable = None if error is None else minimum_detectable(error, level)
    return Difference(mean, error, float(low), float(high), detectable, len(values), count)
