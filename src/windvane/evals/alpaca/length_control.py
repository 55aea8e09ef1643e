"""AlpacaEval 2.0's length-controlled win rate, and its public ingredients.

In: one model's preferences over the 805 prompts, the lengths of both answers in characters, the published difficulty of each prompt
and the published "gamed" rows (the baseline made verbose and concise). Out: the win rate at equal length, in percent.

The model of preference (Dubois et al. 2024, arXiv 2404.04475; metrics/glm_winrate.py of alpaca_eval 0.6.6), no intercept:
    logit P(model wins, prompt i) = a tanh((len_baseline_i - len_model_i)/std) + b difficulty_i + c
fitted with an L1 penalty whose strength C is picked by 5-fold cross-validation; the gamed rows (weight 0.1 each) have no c.
    LC = 100 mean_i sigmoid(b difficulty_i + c);  its published standard error is 100 sem of those 805 numbers: the spread over
prompts of a fitted curve, not the uncertainty of the fit. `interval` gives the latter.

Departures: a row's difficulty is looked up by its prompt, where the package goes by position (equal for a whole file in order).
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from windvane.core.errors import UserError
from windvane.runs.store import file_sha256
from windvane.stats.logistic import sigmoids
from windvane.stats.paired import resampled

PROMPTS = 805
GAMED_WEIGHT = 0.2 / 2  # regularize_to_baseline_lambda, shared by two gamed baselines
SHA256 = {
    "df_gamed.csv": "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d",
    "instruction_difficulty.csv": "e28d875bb334f75e17acd1e4ed659b261860e3db379cf5de29060301bed0a18b",
}
COLUMNS = ("np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)")


@dataclass(frozen=True, slots=True)
class Gamed:
    """The gamed rows: features [n, 3] (length term, difficulty, 0), shares [n] with NaN where unjudged, difficulty [805]."""

    features: np.ndarray
    shares: np.ndarray
    difficulty: np.ndarray
    official: bool


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """Figures in percent; (a, b, c) and C as in the file's docstring."""

    winrate: float
    standard_error: float
    coefficients: tuple[float, float, float]
    C: float


def read_difficulty(path: str | Path) -> np.ndarray:
    """instruction_difficulty.csv (index, instruction_difficulty) as [805], in the prompts' published order."""
    rows, fields = _read_csv(Path(path))
    if len(fields) < 2:
        raise UserError(f"{path}: expected the columns index, instruction_difficulty; got {', '.join(fields)}")
    column = "instruction_difficulty" if "instruction_difficulty" in fields else fields[1]
    return _by_index(Path(path), [(r[fields[0]], r[column]) for r in rows])


def read_gamed(path: str | Path) -> Gamed:
    """df_gamed.csv. Raises `UserError` for a missing column, a value that is no number, or a prompt without difficulty."""
    path = Path(path)
    rows, fields = _read_csv(path)
    needed = ("preference", "index", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")
    absent = [name for name in needed if name not in fields]
    if absent:
        raise UserError(
            f"{path}: no column {', '.join(absent)}; expected alpaca_eval's df_gamed.csv ({', '.join(needed)})"
        )
    number = [[_number(path, i, name, row[name]) for name in needed[:4]] for i, row in enumerate(rows, 2)]
    table = np.array(number)
    real = np.array([row["not_gamed_baseline"].strip().lower() in ("true", "1", "1.0") for row in rows], dtype=float)
    features = np.column_stack([np.tanh(table[:, 2]), table[:, 3], real])
    difficulty = _by_index(path, [(row["index"], row["instruction_difficulty"]) for row in rows])
    return Gamed(features, table[:, 0], difficulty, file_sha256(path) == SHA256["df_gamed.csv"])


def fit(
    shares: np.ndarray, delta_chars: np.ndarray, index: Sequence[int], gamed: Gamed, C: float | None = None
) -> LengthControlled:
    """Fit one model's rows: `shares` [n] in [0, 1] (NaN: unjudged, predicted but not trained on), `delta_chars` [n] =
    len(baseline's answer) - len(model's) (NaN only where unjudged), `index` [n] the prompts' places. `C` None: cross-validated
    as published."""
    features, target, weights = _design(shares, delta_chars, index, gamed)
    a, b, c, strength = _logistic(features, target, weights, C)
    winrate, error = from_coefficients(b, c, gamed.difficulty[np.asarray(index)])
    return LengthControlled(winrate, error, (a, b, c), strength)


def interval(
    shares: np.ndarray,
    delta_chars: np.ndarray,
    index: Sequence[int],
    gamed: Gamed,
    C: float,
    resamples: int,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[np.ndarray, float, float]:
    """(LC of each resample, low, high) in percent: the model's rows are drawn anew and the fit repeated at the same C. Two models'
    resamples of the same prompts with the same seed are paired."""
    features, target, weights = _design(shares, delta_chars, index, gamed)
    model = slice(len(target) - int(np.isfinite(shares).sum()), None)
    judged = np.isfinite(shares)
    difficulty = gamed.difficulty[np.asarray(index)]
    found = []
    for draws in resampled(len(shares), resamples, seed):
        for drawn in draws:
            again = weights.copy()
            again[model] = drawn[judged]
            keep = again > 0
            _, b, c, _ = _logistic(features[keep], target[keep], again[keep], C)
            found.append(100 * np.average(sigmoids(b * difficulty + c), weights=drawn))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return np.array(found), float(low), float(high)


def from_coefficients(b: float, c: float, difficulty: np.ndarray) -> tuple[float, float]:
    """(LC win rate, its published standard error) in percent. Between two models: pass the differences of their b and c."""
    predicted = sigmoids(b * difficulty + c)
    return float(100 * predicted.mean()), float(100 * predicted.std(ddof=1) / np.sqrt(len(predicted)))


def read_coefficients(path: str | Path) -> dict[str, tuple[float, float, float]]:
    """Published GLM weights (a, b, c) by model."""
    rows, fields = _read_csv(Path(path))
    absent = [name for name in COLUMNS if name not in fields]
    if absent:
        raise UserError(f"{path}: no column {', '.join(absent)}; expected alpaca_eval's published GLM weights")
    return {
        row[fields[0]]: tuple(_number(Path(path), i, name, row[name]) for name in COLUMNS)  # type: ignore[misc]
        for i, row in enumerate(rows, 2)
    }


def _design(shares: np.ndarray, delta: np.ndarray, index: Sequence[int], gamed: Gamed) -> tuple[np.ndarray, ...]:
    spread = np.nanstd(delta, ddof=1)
    assert spread > 0, "the caller refuses answers that all differ by the same length"
    ones = np.ones(len(delta))
    own = np.column_stack([np.tanh(delta / spread), gamed.difficulty[np.asarray(index)], ones])
    features, target = np.vstack([gamed.features, own]), np.concatenate([gamed.shares, shares])
    real = gamed.features[:, 2]
    weights = np.concatenate([real + GAMED_WEIGHT * (1 - real), ones])
    judged = np.isfinite(target)
    return features[judged], target[judged], weights[judged]


def _logistic(
    features: np.ndarray, target: np.ndarray, weights: np.ndarray, C: float | None
) -> tuple[float, float, float, float]:
    """(a, b, c, C) minimising ||(a, b, c)||_1 + C sum of weighted cross-entropy; each row stands twice, as a win and as a loss."""
    try:
        import sklearn
        from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
        from sklearn.metrics import make_scorer
        from sklearn.model_selection import GroupKFold
    except ImportError:
        raise UserError("the length-controlled fit needs scikit-learn: pip install 'windvane[eval]'") from None
    count = len(target)
    both, y = np.vstack([features, features]), np.repeat([1, 0], count)
    probability, twice = np.concatenate([target, 1 - target]), np.concatenate([weights, weights])
    options = {"fit_intercept": False, "solver": "liblinear", "random_state": 123}
    with warnings.catch_warnings(), sklearn.config_context(enable_metadata_routing=C is None):
        warnings.simplefilter("ignore")  # a fold that reaches max_iter says so; the published fit ignores it too
        if C is not None:
            model = LogisticRegression(C=C, l1_ratio=1, **options).fit(both, y, sample_weight=probability * twice)
            return (*map(float, model.coef_[0]), C)  # type: ignore[return-value]
        scorer = make_scorer(_continuous_log_loss, response_method="predict_proba", greater_is_better=False)
        scorer = scorer.set_score_request(probability=True, weights=True)
        search = LogisticRegressionCV(
            Cs=10, l1_ratios=(1.0,), cv=GroupKFold(5), scoring=scorer, use_legacy_attributes=False, **options
        )
        search.set_fit_request(sample_weight=True)
        groups = np.concatenate([np.arange(count)] * 2)
        search.fit(both, y, sample_weight=probability * twice, groups=groups, probability=probability, weights=twice)
    return (*map(float, search.coef_[0]), float(search.C_))  # type: ignore[return-value]


def _continuous_log_loss(y: np.ndarray, predicted: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> float:
    """The mean weighted cross-entropy against the judge's probability rather than against 0 or 1."""
    target = np.where(y == 1, probability, 1 - probability)
    predicted = np.clip(predicted, 1e-15, 1 - 1e-15)
    return float(-np.mean(weights * (target * np.log(predicted) + (1 - target) * np.log(1 - predicted))))


def _read_csv(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    if not rows or not reader.fieldnames:
        raise UserError(f"{path}: no rows; expected a CSV file with a header")
    return rows, list(reader.fieldnames)


def _by_index(path: Path, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    found: dict[int, float] = {}
    for row, (place, value) in enumerate(pairs, 2):
        found.setdefault(int(_number(path, row, "index", place)), _number(path, row, "instruction_difficulty", value))
    missing = [i for i in range(PROMPTS) if not np.isfinite(found.get(i, np.nan))]
    if missing:
        raise UserError(
            f"{path}: no difficulty for {len(missing)} of the {PROMPTS} prompts, the first is index {missing[0]}"
        )
    return np.array([found[i] for i in range(PROMPTS)])


def _number(path: Path, row: int, name: str, text: str | None) -> float:
    if name == "preference" and not (text or "").strip():
        return float("nan")
    try:
        return float(text or "")
    except ValueError:
        raise UserError(f"{path}: row {row}: {name}: {text!r} is no number") from None
