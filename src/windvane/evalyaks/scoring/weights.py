"""A scorer that a person can read: weights of readable features, in a JSON file.

In: a transcript. Out: for each criterion of its part the expected band, the nearest band with its probability, and what every feature
contributed. Two kinds of model, each its own part and criterion: "ridge", a weighted sum plus the bands' mean (contributions in bands);
"ordinal", proportional odds (McCullagh 1980): P(band <= b_k) = sigmoid(t_k - sum of contributions), contributions in logits. A
feature's contribution is weight * (value - mean) / deviation, mean and deviation of the training transcripts, the quotient cut at 3.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np

from windvane.core.errors import UserError
from windvane.core.schema import decode, encode
from windvane.evalyaks.scoring.features import FEATURES, features
from windvane.evalyaks.transcripts.record import Transcript
from windvane.runs.store import write_atomic

FARTHEST = (
    3.0  # deviations from the training mean; what is farther counts as that far, since nothing was learnt about it
)


@dataclass(frozen=True, slots=True)
class Line:
    """One part's and criterion's model. `levels`: the bands seen in training, ascending. `intercepts`: ridge, the mean band; ordinal, the
    thresholds between successive levels. `spread`: ridge, the standard deviation of its errors."""

    kind: Literal["ridge", "ordinal"]
    part: str
    criterion: str
    levels: tuple[float, ...]
    means: dict[str, float]
    deviations: dict[str, float]
    weights: dict[str, float]
    intercepts: tuple[float, ...]
    spread: float
    penalty: float
    n: int


@dataclass(frozen=True, slots=True)
class Scorer:
    """`about`: what it was trained on, in words, shown wherever its scores are."""

    about: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """`expected`: between bands; `band`: the nearest, halves up, with `probability`; `contributions`: feature -> bands (ridge) or logits
    (ordinal), largest first; `probabilities`: band -> probability, of the bands seen in training."""

    criterion: str
    expected: float
    band: float
    probability: float
    contributions: dict[str, float]
    probabilities: dict[str, float]


def score(scorer: Scorer, record: Transcript) -> list[Estimate]:
    """One estimate a criterion; `UserError` where the scorer knows no such part."""
    part = str(record.part) if record.part else "all"
    lines = [line for line in scorer.lines if line.part == part]
    if not lines:
        known = ", ".join(dict.fromkeys(line.part for line in scorer.lines))
        raise UserError(
            f"{record.source or record.id}: part {part}: this scorer knows part {known}; name the part, or train it"
        )
    values = features(record)
    return [estimate(line, values) for line in lines]


def estimate(line: Line, values: dict[str, float]) -> Estimate:
    """From features that were counted already."""
    away = {f: (values[f] - line.means[f]) / line.deviations[f] for f in line.weights}
    given = {f: line.weights[f] * min(max(z, -FARTHEST), FARTHEST) for f, z in away.items()}
    shift = sum(given.values())
    probabilities = distribution(line, shift)
    if line.kind == "ridge":
        expected = min(max(line.intercepts[0] + shift, line.levels[0]), line.levels[-1])
    else:
        expected = float(np.dot(line.levels, probabilities))
    at = min(range(len(line.levels)), key=lambda i: (abs(line.levels[i] - expected), -line.levels[i]))
    ordered = dict(sorted(given.items(), key=lambda item: -abs(item[1])))
    of = {f"{level:g}": float(p) for level, p in zip(line.levels, probabilities)}
    return Estimate(line.criterion, expected, line.levels[at], float(probabilities[at]), ordered, of)


def distribution(line: Line, shift: float) -> np.ndarray:
    """[levels] probability of each band, given the sum of the contributions."""
    if line.kind == "ordinal":
        below = [1 / (1 + math.exp(-max(-500.0, min(500.0, t - shift)))) for t in line.intercepts]
    else:
        normal = NormalDist(line.intercepts[0] + shift, max(line.spread, 1e-6))
        below = [normal.cdf((a + b) / 2) for a, b in zip(line.levels, line.levels[1:])]
    return np.diff([0.0, *below, 1.0])


def save(scorer: Scorer, path: Path) -> None:
    """Plain JSON, the same bytes for the same scorer."""
    write_atomic(
        path, json.dumps({"format": "windvane speech scorer 1", **encode(scorer)}, indent=1, ensure_ascii=False) + "\n"
    )


def shipped() -> Scorer:
    """The package's default scorer; its `about` says what it was trained on."""
    return load(Path(__file__).with_name("scorers") / "default.json")


def load(path: Path) -> Scorer:
    """Strict: an unknown feature, a missing weight or a number that is none names its place."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no scorer can be read ({error})") from None
    if not isinstance(data, dict) or data.pop("format", None) != "windvane speech scorer 1":
        raise UserError(f"{path}: not a scorer's file; write one with windvane eval cefr-baseline --save")
    scorer = decode(Scorer, data, str(path))
    for line in scorer.lines:
        place = f"{path}: part {line.part}, {line.criterion}"
        if not line.weights.keys() == line.means.keys() == line.deviations.keys() <= FEATURES.keys():
            raise UserError(f"{place}: weights, means and deviations must name the same known features")
        numbers = [
            *line.weights.values(),
            *line.means.values(),
            *line.deviations.values(),
            *line.intercepts,
            *line.levels,
            line.spread,
        ]
        if not all(math.isfinite(v) for v in numbers) or min(line.deviations.values(), default=1) <= 0:
            raise UserError(f"{place}: every number must be finite and every deviation above 0")
        thresholds = len(line.levels) - 1 if line.kind == "ordinal" else 1
        if len(line.levels) < 1 or len(line.intercepts) != thresholds or list(line.levels) != sorted(set(line.levels)):
            raise UserError(f"{place}: levels must ascend, with {thresholds} intercepts")
    return scorer
