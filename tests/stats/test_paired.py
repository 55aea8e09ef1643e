"""Paired and clustered: by hand, against the textbook, and by how often the interval holds."""

import numpy as np
import pytest

from windvane.stats.paired import minimum_detectable, paired_difference


def test_by_hand():
    """Differences 1, 1, 0, 0 in clusters a, a, b, b: mean 1/2, residual sums +1 and -1; se = sqrt(2/1 (1 + 1))/4 = 1/2.
    Taken as four clusters: sd = sqrt(1/3), se = sqrt(1/12)."""
    found = paired_difference([1, 1, 1, 0], [0, 0, 1, 0], ["a", "a", "b", "b"])
    assert (found.mean, found.standard_error, found.n, found.clusters) == (0.5, pytest.approx(0.5), 4, 2)
    assert (found.low, found.high) == (0, 1)
    alone = paired_difference([1, 1, 1, 0], [0, 0, 1, 0], range(4))
    assert alone.standard_error == pytest.approx((1 / 12) ** 0.5)
    single = paired_difference([1, 0], [0, 0], ["a", "a"])
    assert single.standard_error is None and single.mde is None


def test_minimum_detectable():
    """1.959964 + 0.841621 = 2.801585 standard errors; a simulated test of that effect finds it in four of five trials."""
    assert minimum_detectable(2.0) == pytest.approx(5.603170, abs=1e-5)
    rng = np.random.default_rng(0)
    draws = rng.normal(minimum_detectable(1.0), 1.0, 20_000)
    assert (np.abs(draws) > 1.959964).mean() == pytest.approx(0.8, abs=0.01)


def test_clusters_hold_where_rows_do_not():
    """20 documents with 10 questions each and a document effect: the clustered interval holds, the row-wise one does not."""
    rng, held, naive = np.random.default_rng(1), 0, 0
    clusters = np.repeat(np.arange(30), 10)
    for seed in range(80):
        values = rng.normal(0, 1, 30)[clusters] + rng.normal(0, 1, 300)
        zero = np.zeros(300)
        wide = paired_difference(values, zero, clusters.tolist(), seed, 400)
        thin = paired_difference(values, zero, range(300), seed, 400)
        held += wide.low <= 0 <= wide.high
        naive += thin.low <= 0 <= thin.high
    assert held / 80 > 0.86 and naive / 80 < 0.75


def test_equals_statsmodels_formula_for_unequal_clusters():
    """The cluster-robust variance of a mean, from its definition as a double sum over pairs of rows of one cluster."""
    rng = np.random.default_rng(2)
    clusters = rng.integers(0, 12, 80)
    values = rng.normal(size=80) + clusters / 6
    found = paired_difference(values, np.zeros(80), clusters.tolist(), resamples=2)
    residual = values - values.mean()
    total = sum(residual[i] * residual[j] for i in range(80) for j in range(80) if clusters[i] == clusters[j])
    count = len(set(clusters.tolist()))
    assert found.standard_error == pytest.approx((count / (count - 1) * total) ** 0.5 / 80)
