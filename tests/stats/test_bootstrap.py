"""The bootstrap equals scipy's, and covers what it says."""

import numpy as np
import pytest
from scipy import stats

from windvane.stats.bootstrap import bootstrap_mean


def test_equals_scipy():
    values = np.random.default_rng(3).beta(2, 1, 200)
    ours = bootstrap_mean(values.tolist(), resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1.5e-3)


def test_coverage():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        found = bootstrap_mean(rng.binomial(1, 0.6, 150).astype(float).tolist(), seed, resamples=1000)
        hits += found.low <= 0.6 <= found.high
    assert 180 <= hits <= 199  # 95% of 200 is 190; the percentile interval runs a little short


def test_constant_and_empty():
    assert bootstrap_mean([]) is None
    found = bootstrap_mean([0.5] * 7)
    assert (found.mean, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 7)
