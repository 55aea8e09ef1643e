"""Part (a) of the SPPO claim: tabular games, exact and sampled, and the theorem's rate.

In: which games, methods and how long; seeds. Out: the duality gap of the last and the average policy, mean and spread over the seeds, along
the way; and for the rate, the slope of log gap on log T at eta = c / sqrt(T), c = sqrt(8 log N), a run a seed. Each seed has its own start
(logits are normal), draws, and in the game "random" its own matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studies.games import exact as games_exact
from studies.games.exact import Course, average_gap, normalise
from studies.games.game import duality_gap, named_game, regret_bound
from studies.games.sampled import Budget, Method, play_sampled
from windvane.core.records import seed_of


@dataclass(frozen=True, slots=True)
class Exact:
    """`method` as `studies.games.exact.play` names it."""

    method: str
    settings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Games:
    """`horizons`: the T of the rate."""

    games: tuple[str, ...]
    seeds: int
    exact_steps: int
    sampled_steps: int
    budget: Budget
    exact: dict[str, Exact]
    sampled: dict[str, Method]
    horizons: tuple[int, ...]


def matrices(game: str, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """(P [R, N, N], start log-policies [R, N]) of R seeds."""
    p = np.stack([named_game(game, seed_of("game", game, s)) for s in range(seeds)])
    starts = [np.random.default_rng(seed_of("start", game, s)).normal(size=p.shape[1]) for s in range(seeds)]
    return p, normalise(np.stack(starts))


def drawn(settings: Games, game: str, method: Method) -> Course:
    p, start = matrices(game, settings.seeds)
    seeds = [seed_of("draws", game, s) for s in range(settings.seeds)]
    return play_sampled(method, start, p, settings.sampled_steps, settings.budget, seeds)


def rate(game: str, seeds: int, horizons: Sequence[int]) -> dict[str, Any]:
    """`gaps`: mean over seeds at each T; `slopes`: one a seed, by least squares; `beyond`: how many (seed, T) lie above the bound that
    holds for every game."""
    p, start = matrices(game, seeds)
    scale = np.sqrt(8 * np.log(p.shape[1]))
    gaps = np.array([average_gap(start, p, T, scale / T**0.5) for T in horizons])
    bounds = np.array([regret_bound(np.exp(start), scale / T**0.5, T) for T in horizons])
    return {
        "horizons": list(horizons),
        "gaps": gaps.mean(1).tolist(),
        "bounds": bounds.mean(1).tolist(),
        "slopes": np.polyfit(np.log(horizons), np.log(gaps), 1)[0].tolist(),
        "beyond": int((gaps > bounds).sum()),
    }


def unit(settings: Games) -> dict[str, Any]:
    """Everything of this part: {game: {start, exact: {name: ...}, sampled: {name: ...}, rate}}."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for game in settings.games:
        p, start = matrices(game, settings.seeds)
        exact = {
            name: games_exact.play(e.method, start, p, settings.exact_steps, e.settings)
            for name, e in settings.exact.items()
        }
        sampled = {name: drawn(settings, game, method) for name, method in settings.sampled.items()}
        found[game] = {
            "start": float(duality_gap(np.exp(start), p).mean()),
            "exact": {name: _told(course) for name, course in exact.items()},
            "sampled": {name: _told(course) for name, course in sampled.items()},
            "rate": rate(game, settings.seeds, settings.horizons),
        }
    return found


def _told(course: Course) -> dict[str, Any]:
    """Per-seed gaps at the end, and the mean over seeds at about ten places on the way."""
    steps = len(course.last)
    at = sorted({round(x) for x in np.geomspace(1, steps, 12)})
    return {
        "steps": at,
        "last": [float(course.last[t - 1].mean()) for t in at],
        "average": [float(course.average[t - 1].mean()) for t in at],
        "last_per_seed": course.last[-1].tolist(),
        "average_per_seed": course.average[-1].tolist(),
    }
