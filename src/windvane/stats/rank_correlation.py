"""Do two judges put the models into the same order: Spearman's rho and Kendall's tau-b, with an interval over instructions.

In: two tables of shares, [models, instructions], on the same instructions. Out: both correlations of the models' mean shares and their
percentile intervals where instructions are resampled, the same ones for every model. Models are taken as given: the interval says
nothing about other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from windvane.stats.paired import resampled


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis from 0, ties share their mean rank."""
    less = (values[..., None, :] < values[..., :, None]).sum(-1)
    same = (values[..., None, :] == values[..., :, None]).sum(-1)
    return less + (same - 1) / 2


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the ranks along the last axis; NaN where one side is all ties."""
    a, b = (r - r.mean(-1, keepdims=True) for r in (ranks(first), ranks(second)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def kendall(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Tau-b along the last axis (ties taken into account); NaN where one side is all ties."""
    signs = [np.sign(v[..., :, None] - v[..., None, :]) for v in (first, second)]
    agree = (signs[0] * signs[1]).sum((-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return agree / np.sqrt(np.abs(signs[0]).sum((-1, -2)) * np.abs(signs[1]).sum((-1, -2)))


def rank_correlation(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], resamples: int = 2000, seed: int = 0
) -> dict[str, Any] | None:
    """`spearman`, `kendall` with `_low` and `_high` (95%); None for fewer than three models, where an order says nothing."""
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    assert one.shape == other.shape and one.ndim == 2, "tables must line up"
    if len(one) < 3 or one.shape[1] == 0:
        return None
    draws = np.concatenate(list(resampled(one.shape[1], resamples, seed))) / one.shape[1]
    parts = np.array_split(
        draws, max(1, resamples * len(one) ** 2 // 4_000_000)
    )  # a table of models x models a resample
    found: dict[str, Any] = {"models": len(one), "instructions": one.shape[1]}
    for name, measure in (("spearman", spearman), ("kendall", kendall)):
        value = float(measure(one.mean(1), other.mean(1)))
        again = np.concatenate([measure(part @ one.T, part @ other.T) for part in parts])
        again = again[np.isfinite(again)]
        known = bool(np.isfinite(value)) and len(again) > 0
        low, high = np.quantile(again, [0.025, 0.975]) if known else (None, None)
        found |= {
            name: value if known else None,
            f"{name}_low": None if low is None else float(low),
            f"{name}_high": None if high is None else float(high),
        }
    return found
