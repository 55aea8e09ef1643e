"""What decides a claim: the interval over seeds and prompts, the verdict, and the file that holds them."""

import json

import numpy as np
import pytest
from scipy import stats

from studies.record import (
    Contrast,
    contrast,
    figures_of,
    over_seeds,
    read_claim,
    t_quantile,
    verdict,
    write_claim,
)
from tests.studies.made import made_claim
from windvane.core.errors import UserError


def test_t_is_students():
    assert [t_quantile(df + 1) for df in range(1, 31)] == pytest.approx(stats.t.ppf(0.975, range(1, 31)), abs=6e-4)
    assert t_quantile(2) == 12.706 and t_quantile(5) == 2.776 and t_quantile(500) == 1.965


def test_over_seeds_is_the_ordinary_t_interval():
    values = [0.61, 0.66, 0.58, 0.7, 0.64]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    found = over_seeds(values)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high), abs=1e-4)
    assert over_seeds([0.5]) == Contrast(0.5, None, None, 1)


def planted(seeds, prompts, effect, between, within, seed=0):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(seeds, prompts))
    gaps = effect + between * rng.normal(size=(seeds, 1)) + within * rng.normal(size=(seeds, prompts))
    return (base + gaps).tolist(), base.tolist()


def test_contrast_draws_seeds_and_prompts():
    """Against drawing: seeds with replacement, and for each of them prompts with replacement."""
    first, second = planted(5, 40, 0.05, 0.03, 0.3)
    gaps, rng, means = np.subtract(first, second), np.random.default_rng(1), []
    for _ in range(8000):
        rows = rng.integers(0, 5, 5)
        means.append(gaps[rows[:, None], rng.integers(0, 40, (5, 40))].mean())
    found = contrast(first, second)
    assert found.mean == pytest.approx(gaps.mean())
    assert (found.high - found.low) / 2 == pytest.approx(2.776 * np.std(means) * (5 / 4) ** 0.5, rel=0.03)
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_contrast_covers_the_truth():
    hits = 0
    for trial in range(400):
        found = contrast(*planted(5, 40, 0.05, 0.04, 0.3, seed=trial))
        hits += found.low <= 0.05 <= found.high
    assert hits >= 380, "a 95% interval that errs on the wide side"


def test_seeds_that_agree_still_have_the_prompts_noise():
    found = contrast([[0.6, 0.4]] * 3, [[0.5, 0.5]] * 3)
    assert found.mean == pytest.approx(0.0) and found.low < -0.05 < 0.05 < found.high


def test_verdicts():
    assert verdict(Contrast(0.02, 0.01, 0.03, 5)) == "holds"
    assert verdict(Contrast(-0.02, -0.03, -0.01, 5)) == "does not hold"
    assert verdict(Contrast(0.02, -0.01, 0.05, 5)) == "undecided"
    assert verdict(Contrast(0.02, 0.0, 0.04, 5)) == "undecided"
    assert verdict(contrast([[1.0, 1.0]], [[0.0, 0.0]])) == "undecided", "one seed decides nothing"


def test_means_and_spreads():
    assert figures_of({"a": [0.5, 0.7], "b": [0.4]}) == (
        {"a": pytest.approx(0.6), "b": 0.4},
        {"a": pytest.approx(0.1414, abs=1e-4), "b": None},
    )


def test_a_claim_comes_back_as_it_was_written(tmp_path):
    claim = made_claim()
    write_claim(claim, tmp_path / "claim.json")
    assert read_claim(tmp_path / "claim.json") == claim
    data = json.loads((tmp_path / "claim.json").read_text())
    assert data["seeds"] == [1, 2, 3] and data["primary"] == ["sppo", "dpo"]
    assert data["per_seed"]["sppo"] == [0.7, 0.71, 0.72]
    with pytest.raises(UserError, match="no such file"):
        read_claim(tmp_path / "other.json")
    data["verdikt"] = "holds"
    (tmp_path / "claim.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="verdikt"):
        read_claim(tmp_path / "claim.json")
