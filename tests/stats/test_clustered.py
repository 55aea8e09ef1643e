"""One model's mean: its interval stays honest at the ends, in clusters, and where clusters happen to agree."""

import numpy as np
import pytest

from windvane.stats.clustered import interval, wilson


def test_ends_are_exact_and_not_certain():
    every, none = interval([1.0] * 20, list("abcdefghijklmnopqrst")), interval([0.0] * 20, list("abcdefghijklmnopqrst"))
    assert (every.high, none.low) == (1.0, 0.0)
    # Wilson at 20 of 20: 20 / (20 + 1.96^2)
    assert every.low == pytest.approx(20 / (20 + 1.959964**2)) and none.high == pytest.approx(1 - every.low)
    assert interval([1.0] * 20, ["a"] * 10 + ["b"] * 10).low < every.low  # two documents are two trials


def test_clusters_that_happen_to_agree_are_no_certainty():
    """Fifteen right of 22 in each of ten clusters: the cluster-robust error is rounding (3e-17), the interval is that of 220 rows."""
    found = interval([1.0] * 150 + [0.0] * 70, [str(i % 10) for i in range(220)])
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(wilson(15 / 22, 220))


def test_shares_are_resampled_by_cluster():
    """Scores in quarters; the bootstrap's spread is the cluster-robust standard error's, for two rows a cluster and for one."""
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.integers(0, 5, 300) / 4, 2).tolist()
    found = interval(scores, [str(i // 2) for i in range(600)])
    alone = interval(scores, [str(i) for i in range(600)])
    assert found.standard_error == pytest.approx(alone.standard_error * 2**0.5, rel=0.01)
    for one in (found, alone):
        assert one.high - one.low == pytest.approx(2 * 1.96 * one.standard_error, rel=0.08)
