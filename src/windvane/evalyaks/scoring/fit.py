"""Fit the readable scorer: ridge (scikit-learn) or proportional odds with a ridge penalty (scipy), one model a part and criterion.

In: scored transcripts. Out: a `Scorer`. Features are standardised; the penalty is chosen from `PENALTIES` by the squared error of the
expected band in inner folds that keep split groups whole. No seed: the same transcripts give the same weights in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from windvane.core.errors import UserError
from windvane.core.extras import require
from windvane.core.records import seed_of
from windvane.evalyaks.scoring.features import FEATURES, features
from windvane.evalyaks.scoring.weights import Line, Scorer
from windvane.evalyaks.transcripts.record import CRITERIA, Transcript

Kind = Literal["ridge", "ordinal"]
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
INTERACTIVE = ("uptake", "questions", "addresses", "moves", "talk_share")  # of parts where a partner talks
INNER_FOLDS = 4
Model = tuple[np.ndarray, np.ndarray]  # weights [features], intercepts


def fit(records: Sequence[Transcript], kind: Kind, about: str, penalties: Sequence[float] = PENALTIES) -> Scorer:
    """Every part and criterion that `records` are scored on; the conversation of a record must be unique (see `unique`). The penalty is
    chosen from `penalties`."""
    require("sklearn", "fitting a scorer", "speech")
    ordered = sorted((r for r in records if r.scores), key=lambda r: (r.conversation, r.id))
    if not ordered:
        raise UserError("no transcript has scores to learn from")
    table = {r.id: features(r) for r in ordered}
    lines = []
    for part in sorted({str(r.part or "all") for r in ordered}):
        own = [r for r in ordered if str(r.part or "all") == part]
        for criterion in CRITERIA:
            use = [r for r in own if criterion in r.scores]
            if use:
                lines.append(fit_line(use, [table[r.id] for r in use], part, criterion, kind, penalties))
    return Scorer(about, tuple(lines))


def fit_line(
    records: Sequence[Transcript],
    rows: Sequence[dict[str, float]],
    part: str,
    criterion: str,
    kind: Kind,
    penalties: Sequence[float] = PENALTIES,
) -> Line:
    """One part's and criterion's model on the features counted in `rows`."""
    y = np.array([r.scores[criterion] for r in records], dtype=float)
    raw = {f: np.array([row[f] for row in rows]) for f in FEATURES if part in ("3", "4", "all") or f not in INTERACTIVE}
    raw = {f: v for f, v in raw.items() if v.std() > 1e-9}
    names = list(raw)
    x = np.stack([(raw[f] - raw[f].mean()) / raw[f].std() for f in names], axis=1) if names else np.zeros((len(y), 0))
    levels = np.unique(y)
    groups = [r.split_group for r in records]
    penalty, errors = _penalty(x, y, groups, kind, penalties)
    weights, intercepts = FITS[kind](x, y, levels, penalty)
    return Line(
        kind,
        part,
        criterion,
        tuple(levels.tolist()),
        {f: float(raw[f].mean()) for f in names},
        {f: float(raw[f].std()) for f in names},
        dict(zip(names, weights.tolist())),
        tuple(intercepts.tolist()),
        errors,
        penalty,
        len(y),
    )


def _penalty(
    x: np.ndarray, y: np.ndarray, groups: Sequence[str], kind: Kind, penalties: Sequence[float]
) -> tuple[float, float]:
    """(the penalty with the least squared error on held-out groups, the root of that error)."""
    names = sorted(set(groups), key=lambda g: seed_of("inner folds", g))
    fold = {g: i % INNER_FOLDS for i, g in enumerate(names)}
    which = np.array([fold[g] for g in groups])
    best = (float("inf"), penalties[-1])
    for penalty in penalties:
        wrong = []
        for k in sorted(set(which.tolist())):
            train, held = which != k, which == k
            if not train.any():
                continue
            seen = np.unique(y[train])
            model = FITS[kind](x[train], y[train], seen, penalty)
            wrong.append((expected_bands(x[held], seen, model, kind) - y[held]) ** 2)
        if wrong and (error := float(np.concatenate(wrong).mean())) < best[0]:
            best = (error, penalty)
    return best[1], float(np.sqrt(best[0])) if np.isfinite(best[0]) else float(y.std())


def expected_bands(x: np.ndarray, levels: np.ndarray, model: Model, kind: Kind) -> np.ndarray:
    """[n] expected bands of standardised features `x` [n, features]."""
    weights, intercepts = model
    shift = x @ weights
    if kind == "ridge":
        return np.clip(intercepts[0] + shift, levels[0], levels[-1])
    # E = b_1 + sum of (b_{k+1} - b_k) P(band > b_k)
    above = 1 / (1 + np.exp(np.clip(intercepts[None, :] - shift[:, None], -500, 500)))
    return levels[0] + above @ np.diff(levels)


def fit_ridge(x: np.ndarray, y: np.ndarray, levels: np.ndarray, penalty: float) -> Model:
    """min |y - b - Xw|^2 + penalty |w|^2."""
    from sklearn.linear_model import Ridge

    if x.shape[1] == 0 or len(levels) < 2:
        return np.zeros(x.shape[1]), np.array([y.mean()])
    model = Ridge(alpha=penalty).fit(x, y)
    return model.coef_, np.array([model.intercept_])


def fit_ordinal(x: np.ndarray, y: np.ndarray, levels: np.ndarray, penalty: float) -> Model:
    """Proportional odds: minus the log-likelihood + penalty/2 |w|^2, thresholds ascending; with two levels it is logistic regression
    with C = 1/penalty."""
    from scipy.optimize import minimize
    from scipy.special import expit

    size, steps = x.shape[1], len(levels) - 1
    if steps == 0:
        return np.zeros(size), np.empty(0)
    k = np.searchsorted(levels, y)
    cumulative = np.array([(k <= j).mean() for j in range(steps)])
    start = np.log(cumulative / (1 - cumulative))
    first = np.concatenate([np.zeros(size), start[:1], np.log(np.maximum(np.diff(start), 1e-3))])

    def thresholds(p: np.ndarray) -> np.ndarray:
        return p[size] + np.concatenate([[0.0], np.cumsum(np.exp(p[size + 1 :]))])

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        t, w = thresholds(p), p[:size]
        edges = np.concatenate([[-np.inf], t, [np.inf]])
        shift = x @ w
        upper, lower = expit(edges[k + 1] - shift), expit(edges[k] - shift)
        chance = np.maximum(upper - lower, 1e-12)
        du, dl = upper * (1 - upper), lower * (1 - lower)  # 0 at the infinite edges
        per_threshold = np.zeros(steps)
        np.add.at(per_threshold, k[k < steps], -(du / chance)[k < steps])
        np.add.at(per_threshold, k[k > 0] - 1, (dl / chance)[k > 0])
        gradient_w = x.T @ ((du - dl) / chance) + penalty * w
        # a gap's exponential moves every threshold above it
        gaps = np.cumsum(per_threshold[::-1])[::-1][1:] * np.exp(p[size + 1 :])
        return -np.log(chance).sum() + penalty / 2 * (w @ w), np.concatenate([gradient_w, [per_threshold.sum()], gaps])

    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x[:size], thresholds(found.x)


FITS: dict[Kind, Callable[[np.ndarray, np.ndarray, np.ndarray, float], Model]] = {
    "ridge": fit_ridge,
    "ordinal": fit_ordinal,
}
