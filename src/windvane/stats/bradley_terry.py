"""Bradley-Terry ratings of models from pairwise verdicts, with intervals that resample questions.

In: battles (who met whom, the first one's share of the win, a weight, the question asked). Out: for each model its rating on the Elo
scale with the anchor at 1000, its predicted win rate against the anchor, and bootstrap intervals of both.

    P(i beats j) = sigmoid(theta_i - theta_j),  rating = 1000 + 400/ln(10) (theta - theta_anchor)

The maximum-likelihood fit, equal to an unpenalised logistic regression on the same rows (a tie is half a win and half a loss), as
Arena-Hard 0.1 and Chatbot Arena compute it. It depends on the rows only through the matrix of weighted wins, which is what is fitted.

Departures: Arena-Hard draws single verdicts anew, we draw questions, whose verdicts (two orders, a strong one counted 3 times) are not
independent; a model that never lost or never won against the anchor's group has no finite rating: it is None, never a large number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from windvane.core.errors import UserError
from windvane.stats.logistic import sigmoids
from windvane.stats.paired import resampled

SCALE, START = 400 / math.log(10), 1000.0
RIDGE = 1e-7  # keeps the Newton step finite where a resample leaves a model without a loss; moves a fit by far less than 1e-4
UNBOUNDED = 9.0  # |theta - theta_anchor| beyond which a resample's fit is held up by the ridge alone


@dataclass(frozen=True, slots=True)
class Battle:
    """`share`: 1 the first model won, 0 the second, 0.5 a tie. `question`: what was asked; battles of a question are not independent."""

    first: str
    second: str
    share: float
    question: Hashable
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rating:
    """Ratings in Elo points, win rates as fractions against the anchor; None where unbounded. `battles`: the weight of its battles."""

    model: str
    rating: float | None
    low: float | None
    high: float | None
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    battles: float


def bradley_terry(wins_MM: np.ndarray, anchor: int = 0) -> np.ndarray:
    """theta [M] with theta[anchor] = 0, maximising sum_ij wins_ij log sigmoid(theta_i - theta_j); wins_ij: weight of i's wins over j."""
    met = wins_MM + wins_MM.T
    theta = np.zeros(len(wins_MM))
    free = np.arange(len(theta)) != anchor
    for _ in range(200):
        predicted = sigmoids(theta[:, None] - theta[None, :])
        gradient = wins_MM.sum(axis=1) - (met * predicted).sum(axis=1) - RIDGE * theta
        curvature = met * predicted * (1 - predicted)
        hessian = np.diag(curvature.sum(axis=1) + RIDGE) - curvature
        step = np.zeros(len(theta))
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        step = np.clip(step, -2, 2)  # a full step overshoots where one side won nearly everything
        theta += step
        if np.abs(step).max() < 1e-10:
            break
    return theta


def bounded(wins_MM: np.ndarray, anchor: int) -> np.ndarray:
    """Whether each model's rating against the anchor is finite: each beat the other through some chain of wins (Ford 1957)."""

    def reach(edges: np.ndarray) -> np.ndarray:
        found = np.zeros(len(edges), dtype=bool)
        found[anchor] = True
        while True:
            more = found | (edges[found].any(axis=0))
            if (more == found).all():
                return found
            found = more

    return reach(wins_MM > 0) & reach(wins_MM.T > 0)


def tally(battles: Sequence[Battle]) -> tuple[list[str], np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """(names in order, the number of each battle's question, wins [M, M] as a function of how often each battle counts)."""
    names = sorted({b.first for b in battles} | {b.second for b in battles})
    place = {name: i for i, name in enumerate(names)}
    questions: dict[Hashable, int] = {}
    first = np.array([place[b.first] for b in battles])
    second = np.array([place[b.second] for b in battles])
    share, weight = np.array([b.share for b in battles]), np.array([b.weight for b in battles], dtype=float)
    asked = np.array([questions.setdefault(b.question, len(questions)) for b in battles])

    def wins(times: np.ndarray) -> np.ndarray:
        table = np.zeros((len(names), len(names)))
        np.add.at(table, (first, second), weight * times * share)
        np.add.at(table, (second, first), weight * times * (1 - share))
        return table

    return names, asked, wins


def rate(
    battles: Sequence[Battle], anchor: str, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> list[Rating]:
    """Ratings of every model, the best first. Raises `UserError` where the anchor met nobody, or a model nobody of its group."""
    names, asked, wins = tally(battles)
    if anchor not in names:
        raise UserError(f"no battle of the anchor {anchor!r}; there are: {', '.join(names[:8])}")
    whole, home = wins(np.ones(len(battles))), names.index(anchor)
    met = whole + whole.T
    apart = [n for n, there in zip(names, bounded(met, home)) if not there]
    if apart:
        raise UserError(
            f"no chain of battles joins {apart[0]!r} with {anchor!r}: their ratings cannot be compared; choose another anchor"
        )
    finite, theta = bounded(whole, home), bradley_terry(whole, home)
    draws = np.array(
        [
            bradley_terry(wins(times[asked]), home)
            for part in resampled(int(asked.max()) + 1, resamples, seed)
            for times in part
        ]
    )
    lows, highs = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)

    def points(value: float, known: bool = True) -> float | None:
        return START + SCALE * float(value) if known and abs(value) < UNBOUNDED else None

    rates = sigmoids(np.stack([theta, lows, highs]))
    order = sorted(range(len(names)), key=lambda i: (-theta[i], names[i]))
    return [
        Rating(
            names[i],
            points(theta[i], bool(finite[i])),
            points(lows[i]),
            points(highs[i]),
            float(rates[0, i]),
            float(rates[1, i]),
            float(rates[2, i]),
            float(met[i].sum()),
        )
        for i in order
    ]
