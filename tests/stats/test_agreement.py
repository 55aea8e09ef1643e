"""Agreement of raters: Krippendorff's published example, scikit-learn's kappa, three raters worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from windvane.stats.agreement import agreement_of, alpha, kappa

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, missing values.
EXAMPLE = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def test_alpha_of_the_published_example():
    marks = {str(u): {str(o): float(row[u]) for o, row in enumerate(EXAMPLE) if row[u] is not None} for u in range(12)}
    assert alpha(marks, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert alpha(marks, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert alpha(marks, "interval") == pytest.approx(0.849, abs=5e-4)


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    first = rng.integers(1, 6, 80)
    second = np.clip(first + rng.integers(-1, 2, 80), 1, 5)
    assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert kappa(first, second, 2) == pytest.approx(cohen_kappa_score(first, second, weights="quadratic"))
    assert kappa(np.ones(3), np.ones(3)) is None, "one band throughout: nothing to agree about"


def test_three_raters_by_hand():
    """Items 1, 2 by a and b, item 3 by a and c: pairs equal in 2 of 3."""
    found = agreement_of({"1": {"a": 3, "b": 3}, "2": {"a": 2, "b": 4}, "3": {"a": 5, "c": 5}, "4": {"a": 1}})
    assert (found["n"], found["percent"], found["adjacent"]) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert [(p["raters"], p["n"]) for p in found["pairs"]] == [(["a", "b"], 2), (["a", "c"], 1)]
    # a: 3, 2; b: 3, 4: observed 1/2 different; of the four cross pairs one (3, 3) is equal: expected 3/4
    assert found["pairs"][0]["kappa"] == pytest.approx(1 - 0.5 / 0.75) and found["pairs"][1]["kappa"] is None
    assert found["kappa"] == found["pairs"][0]["kappa"], "an undefined pair says nothing"
