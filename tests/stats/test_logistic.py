"""The logistic function against SciPy's, where it would overflow as well."""

import numpy as np
import pytest
from scipy.special import expit

from windvane.stats.logistic import sigmoid, sigmoids

VALUES = np.array([-1000.0, -40.0, -3.25, -0.5, 0.0, 0.25, 2.0, 40.0, 1000.0])


def test_both_are_scipys():
    assert sigmoids(VALUES) == pytest.approx(expit(VALUES), rel=1e-14, abs=0)
    assert [sigmoid(float(x)) for x in VALUES] == pytest.approx(list(expit(VALUES)), rel=1e-14, abs=0)
    assert sigmoid(0.0) == 0.5 and sigmoid(2.0) + sigmoid(-2.0) == pytest.approx(1.0)
