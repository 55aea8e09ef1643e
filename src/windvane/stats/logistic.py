"""The logistic function, for one number and for arrays.

`scipy.special.expit` gives the same values to within 1.2e-16. It is not used here because judges need this function in every run, and SciPy
is no core dependency.
"""

from __future__ import annotations

import math

import numpy as np


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), without overflow on either side."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def sigmoids(x: np.ndarray) -> np.ndarray:
    """`sigmoid` of each element."""
    return np.exp(-np.logaddexp(0, -x))
