"""How close predicted bands are to reference bands: the paper's outcomes and the usual agreement measures.

In: arrays of reference and predicted bands, and how often each candidate counts (1, or resampled). Out: numbers; NaN where a measure is
undefined (a correlation with a constant side; QWK where both sides are the same constant). What needs bands (outcomes, DOV, QWK, exact,
adjacent) takes predictions rounded to the nearest band, halves up; RMSE, correlations, bias and "within" take them as they are.

Source: EvalYaks, arXiv 2408.12226, section 4.3. By its text an answer can be "partly" and "acceptable" at once, as (2, 3) for (3, 3);
its published stacks fit the precedence accurate, partly, acceptable, inaccurate, which is used here. Departures: its acceptable
accuracy counts (3, 5) for (3, 3), two bands off, as acceptable, so the strict one stands beside it; it leaves the DOV of
invalid answers undefined, so DOV is over valid ones, beside coverage and a penalised DOV; `agreement` is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OUTCOMES = ("accurate", "partly", "acceptable", "inaccurate")


@dataclass(frozen=True, slots=True)
class Scale:
    """Bands from `low` to `high` by `step`; half bands have step 0.5, CEFR levels A1 to C2 are 1 to 6."""

    low: float = 1.0
    high: float = 5.0
    step: float = 1.0

    def band(self, values: np.ndarray) -> np.ndarray:
        """The nearest band, halves up; NaN stays NaN."""
        return np.clip(np.floor(np.asarray(values, dtype=float) / self.step + 0.5) * self.step, self.low, self.high)

    @property
    def bands(self) -> list[float]:
        return [float(b) for b in np.arange(self.low, self.high + self.step / 2, self.step)]


def outcomes(reference: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """[n] indices into `OUTCOMES`. `reference`, `bands`: [n, criteria]; NaN in `reference` is a criterion that was not marked, a row
    whose `bands` lack a marked one is invalid, hence inaccurate."""
    marked = ~np.isnan(reference)
    d = np.where(marked, bands - reference, 0.0)
    valid = ~np.isnan(d).any(1)
    equal = (d == 0) & marked
    return np.select(
        [~valid, (equal == marked).all(1), equal.any(1), strict(reference, bands)], [3, 0, 1, 2], default=3
    )


def strict(reference: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """[n] whether every criterion is within one band and none is above where another is below."""
    d = np.where(np.isnan(reference), 0.0, bands - reference)
    valid = ~np.isnan(d).any(1)
    one_way = ~((d > 0).any(1) & (d < 0).any(1))
    return np.asarray(valid & (np.abs(d) <= 1).all(1) & one_way)


def misses(reference: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """[n] mean over marked criteria of |band - reference|, NaN for invalid rows; its mean is the degree of variation (DOV)."""
    d = np.abs(np.where(np.isnan(reference), 0.0, bands - reference))
    return d.sum(1) / (~np.isnan(reference)).sum(1)


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[R] weighted means of `values` [n] or [R, n] under `weights` [R, n]; NaN where nothing has weight."""
    with np.errstate(invalid="ignore"):
        return (weights @ values if values.ndim == 1 else (weights * values).sum(1)) / weights.sum(1)


def agreement(
    reference: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None, scale: Scale | None = None
) -> dict[str, np.ndarray]:
    """One criterion's qwk, exact, adjacent, rmse, within_half, within_one, pearson, spearman, bias; each [R].

    `reference`, `predicted`: [n], without NaN. `weights`: [R, n], how often each item counts in each resample (ones, R = 1, where None).
    `adjacent`: bands at most one apart; `bias`: mean of predicted - reference, in bands.
    """
    y, raw = np.asarray(reference, dtype=float), np.asarray(predicted, dtype=float)
    band = (scale or Scale()).band(raw)
    w = np.ones((1, len(y))) if weights is None else weights
    off = np.abs(raw - y)
    with np.errstate(invalid="ignore", divide="ignore"):
        # QWK is 1 - sum w_ij O_ij / sum w_ij E_ij with w_ij = (i-j)^2 / (K-1)^2. The (K-1)^2 cancels, and under E the two sides are
        # independent: the mean squared difference of their margins.
        chance = mean(y**2, w) + mean(band**2, w) - 2 * mean(y, w) * mean(band, w)
        qwk = (chance - mean((y - band) ** 2, w)) / np.where(chance > 1e-12, chance, np.nan)
        qwk = np.where(np.abs(qwk) < 1e-12, 0.0, qwk)
    return {
        "qwk": qwk,
        "exact": mean((y == band) * 1.0, w),
        "adjacent": mean((np.abs(y - band) <= 1) * 1.0, w),
        "rmse": np.sqrt(mean((raw - y) ** 2, w)),
        "within_half": mean((off <= 0.5 + 1e-9) * 1.0, w),
        "within_one": mean((off <= 1 + 1e-9) * 1.0, w),
        "pearson": _correlation(np.broadcast_to(y, w.shape), np.broadcast_to(raw, w.shape), w),
        "spearman": _correlation(_midranks(y, w), _midranks(raw, w), w),
        "bias": mean(raw - y, w),
    }


def confusion(reference: np.ndarray, bands: np.ndarray, scale: Scale) -> list[list[int]]:
    """Rows: reference bands of `scale.bands`; columns: predicted ones."""
    size = len(scale.bands)
    at = [np.rint((v - scale.low) / scale.step).astype(int) for v in (reference, bands)]
    return np.bincount(at[0] * size + at[1], minlength=size * size).reshape(size, size).tolist()


def wilson(share: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's 95% interval of a share of n (n may be an effective number). `stats.clustered.wilson` rounds in
    another order and takes z to six decimals: their last digits differ, and published results hold both."""
    centre, spread = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float((centre - spread) / (1 + z * z / n))), min(1.0, float((centre + spread) / (1 + z * z / n)))


def _correlation(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> np.ndarray:
    a, b = (x - mean(x, w)[:, None] for x in (a, b))
    va, vb = mean(a * a, w), mean(b * b, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((va > 1e-12) & (vb > 1e-12), mean(a * b, w) / np.sqrt(va * vb), np.nan)


def _midranks(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """[R, n] each item's mean rank in each resample, ties sharing theirs."""
    order = np.argsort(values, kind="stable")
    _, starts, which = np.unique(values[order], return_index=True, return_inverse=True)
    held = np.add.reduceat(w[:, order], starts, axis=1)  # how many items of each level
    ranks = np.empty(w.shape)
    ranks[:, order] = (np.cumsum(held, axis=1) - held + (held + 1) / 2)[:, which]
    return ranks
