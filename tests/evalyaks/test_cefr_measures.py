"""The measures: the paper's by hand, the rest equal to scikit-learn and scipy, weights equal to repeating rows."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from windvane.evalyaks.evaluation.measures import (
    OUTCOMES,
    Scale,
    agreement,
    confusion,
    mean,
    misses,
    outcomes,
    strict,
    wilson,
)

NAN = float("nan")


def named(reference, predicted):
    return OUTCOMES[int(outcomes(np.array([reference], float), np.array([predicted], float))[0])]


@pytest.mark.parametrize(
    ("predicted", "expected", "strictly"),
    [
        ((3, 3), "accurate", True),
        ((2, 3), "partly", True),  # one equal: partly comes before acceptable
        ((3, 5), "partly", False),  # two bands off in one criterion: acceptable by the paper's text, not strictly
        ((2, 2), "acceptable", True),
        ((4, 4), "acceptable", True),
        ((2, 4), "inaccurate", False),  # opposite directions
        ((4, 2), "inaccurate", False),
        ((5, 5), "inaccurate", False),
        ((4, 5), "inaccurate", False),
        ((NAN, NAN), "inaccurate", False),
        ((3, NAN), "inaccurate", False),  # an answer without one of the criteria is invalid
    ],
)
def test_the_papers_examples_for_3_3(predicted, expected, strictly):
    assert named((3, 3), predicted) == expected
    assert bool(strict(np.array([[3.0, 3.0]]), np.array([predicted], float))[0]) is strictly


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ((3, 3, 3), "accurate"),
        ((3, 3, 1), "partly"),
        ((4, 4, 4), "acceptable"),
        ((4, 4, 2), "inaccurate"),
        ((4, 4, 3), "partly"),
    ],
)
def test_three_criteria(predicted, expected):
    assert named((3, 3, 3), predicted) == expected


def test_every_pair_of_bands_against_the_definition_spelled_out():
    """All 625 pairs of two-criterion profiles; the acceptable accuracy is the same whichever of partly and acceptable comes first."""
    bands = range(1, 6)
    profiles = list(itertools.product(bands, bands))
    for r, p in itertools.product(profiles, profiles):
        d = [b - a for a, b in zip(r, p)]
        one_way = all(x >= 0 for x in d) or all(x <= 0 for x in d)
        near = all(abs(x) <= 1 for x in d) and one_way
        expected = "accurate" if r == p else "partly" if 0 in d else "acceptable" if near else "inaccurate"
        assert named(r, p) == expected, (r, p)
        assert bool(strict(np.array([r], float), np.array([p], float))[0]) is near


def test_a_criterion_that_was_not_marked_does_not_count():
    assert named((3, 3, NAN), (3, 3, 1)) == "accurate" and named((3, 3, NAN), (3, 3, NAN)) == "accurate"
    assert misses(np.array([[3, 3, NAN]]), np.array([[4, 1, 1.0]])) == pytest.approx(1.5)


def test_degree_of_variation_by_hand():
    """DOV over three candidates: (|1-1|+|2-4|+|3-3|)/3 = 2/3 and so on; the paper's sum over 3N is the mean of these."""
    reference = np.array([[1, 2, 3], [5, 5, 5], [2, 2, 2.0]])
    bands = np.array([[1, 4, 3], [4, 4, 5], [2, 2, 2.0]])
    assert misses(reference, bands) == pytest.approx([2 / 3, 2 / 3, 0])
    assert misses(reference, bands).mean() == pytest.approx(np.abs(reference - bands).sum() / (3 * 3))


@pytest.mark.parametrize(
    ("constant", "share", "variation"), [(1, 0.4, 2.0), (2, 0.6, 1.4), (3, 0.6, 1.2), (4, 0.6, 1.4), (5, 0.4, 2.0)]
)
def test_a_constant_on_the_papers_balanced_design(constant, share, variation):
    """25 profiles, five a band, both criteria equal: what the paper's own test gives to a constant."""
    reference = np.repeat(np.arange(1.0, 6.0), 5)[:, None].repeat(2, axis=1)
    bands = np.full_like(reference, constant)
    assert (outcomes(reference, bands) < 3).mean() == pytest.approx(share)
    assert misses(reference, bands).mean() == pytest.approx(variation)


@pytest.mark.parametrize("seed", range(5))
def test_agreement_equals_scikit_learn_and_scipy(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(1, 6, 60).astype(float)
    raw = (
        np.clip(y + rng.normal(0.3, 1.2, 60), 1, 5)
        if seed % 2
        else np.clip(y + rng.integers(-2, 3, 60), 1, 5).astype(float)
    )
    band = np.floor(raw + 0.5)
    found = {k: float(v[0]) for k, v in agreement(y, raw).items()}
    assert found == {
        "qwk": pytest.approx(
            sklearn.metrics.cohen_kappa_score(
                y.astype(int), band.astype(int), weights="quadratic", labels=[1, 2, 3, 4, 5]
            )
        ),
        "exact": pytest.approx(sklearn.metrics.accuracy_score(y.astype(int), band.astype(int))),
        "adjacent": pytest.approx(np.mean(np.abs(y - band) <= 1)),
        "rmse": pytest.approx(sklearn.metrics.root_mean_squared_error(y, raw)),
        "within_half": pytest.approx(np.mean(np.abs(y - raw) <= 0.5)),
        "within_one": pytest.approx(np.mean(np.abs(y - raw) <= 1.0)),
        "pearson": pytest.approx(scipy.stats.pearsonr(y, raw).statistic),
        "spearman": pytest.approx(scipy.stats.spearmanr(y, raw).statistic),
        "bias": pytest.approx(np.mean(raw - y)),
    }
    table = confusion(y, band, Scale())
    assert table == sklearn.metrics.confusion_matrix(y.astype(int), band.astype(int), labels=[1, 2, 3, 4, 5]).tolist()


def test_qwk_by_a_double_loop_and_on_half_bands():
    """The definition, cell by cell; half bands are whole bands of twice the scale."""
    rng = np.random.default_rng(7)
    scale = Scale(1, 5, 0.5)
    y, p = (scale.band(rng.uniform(1, 5, 40)) for _ in range(2))
    size, n = 9, len(y)
    observed = np.array(confusion(y, p, scale), float)
    expected = np.outer(observed.sum(1), observed.sum(0)) / n
    top = bottom = 0.0
    for i in range(size):
        for j in range(size):
            w = (i - j) ** 2 / (size - 1) ** 2
            top, bottom = top + w * observed[i, j], bottom + w * expected[i, j]
    assert float(agreement(y, p, None, scale)["qwk"][0]) == pytest.approx(1 - top / bottom)
    doubled = agreement(2 * y - 1, 2 * p - 1, None, Scale(1, 9, 1))["qwk"][0]
    assert float(doubled) == pytest.approx(1 - top / bottom)


def test_what_is_undefined_is_nan_never_a_number():
    same = agreement(np.full(4, 3.0), np.full(4, 3.0))
    assert all(math.isnan(same[k][0]) for k in ("qwk", "pearson", "spearman")) and same["exact"][0] == 1
    constant = agreement(np.array([1.0, 2, 3]), np.full(3, 2.0))
    assert constant["qwk"][0] == pytest.approx(0) and math.isnan(constant["pearson"][0])


def test_weights_equal_repeated_rows():
    """A resample given as counts has the measures of the rows written out that often (Spearman's ties included)."""
    rng = np.random.default_rng(3)
    y, raw = rng.integers(1, 6, 30).astype(float), rng.uniform(1, 5, 30).round(1)
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=4).astype(float)
    found = agreement(y, raw, weights)
    for i, counts in enumerate(weights.astype(int)):
        again = agreement(np.repeat(y, counts), np.repeat(raw, counts))
        assert {k: float(v[i]) for k, v in found.items()} == {k: pytest.approx(float(v[0])) for k, v in again.items()}
        assert float(found["spearman"][i]) == pytest.approx(
            scipy.stats.spearmanr(np.repeat(y, counts), np.repeat(raw, counts)).statistic
        )


def test_bands_round_half_up_and_stay_on_the_scale():
    assert Scale().band(np.array([0.2, 2.5, 3.49, 9.0])).tolist() == [1, 3, 3, 5]
    assert Scale(0, 5, 0.5).band(np.array([2.25, 2.74, -1])).tolist() == [2.5, 2.5, 0]
    assert Scale(1, 5, 0.5).bands == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]


def test_wilson_equals_scipy_and_the_papers_numbers():
    """24 of 25: 80.5 to 99.3%; 96 of 100: 90.2 to 98.4%."""
    for share, n in ((24 / 25, 25), (0.96, 100), (1.0, 25), (0.0, 10)):
        known = scipy.stats.binomtest(round(share * n), n).proportion_ci(method="wilson")
        assert wilson(share, n) == (pytest.approx(known.low, abs=1e-9), pytest.approx(known.high, abs=1e-9))
    assert [round(100 * v, 1) for v in wilson(24 / 25, 25)] == [80.5, 99.3]


def test_mean_of_nothing_is_nan():
    assert math.isnan(mean(np.array([1.0]), np.array([[0.0]]))[0])
