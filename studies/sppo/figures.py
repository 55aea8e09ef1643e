"""The SPPO claim's own drawings.

In: the claim. Out: {name: (title, panels)} for `studies.plot.lines`; every line is a mean over the seeds that the arm ran on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.plot import Panel, Series
from studies.record import Claim


def panels(claim: Claim) -> dict[str, tuple[str, list[Panel]]]:
    games = claim.figures["games"]
    return {
        "iterations": ("The embedded world, iteration by iteration", of_styles(claim)),
        "rate": ("Duality gap of SPPO's average policy at eta = c / sqrt(T), and the regret bound", of_rate(games)),
        "games": ("Duality gap in tabular games, answers sampled", of_games(games)),
        "cycle": ("A judge that goes round, in the language model", of_cycle(claim)),
    }


def of_styles(claim: Claim) -> list[Panel]:
    runs = claim.figures["styles"]
    names = {
        "win_rate": ("true win rate against the start", 0.5),
        "proxy": ("the proxy's win rate", 0.5),
        "length": ("tokens a reply", None),
        "malformed": ("malformed share", None),
        "chosen": ("chosen: log-ratio, nats", 0.0),
        "rejected": ("rejected: log-ratio, nats", 0.0),
    }

    def curve(arm: str, name: str) -> list[tuple[float, float]]:
        means = np.mean(runs[arm][name], axis=0)
        first = 0 if len(means) == len(runs[arm]["win_rate"][0]) else 1  # log-ratios begin with iteration 1
        return [(float(t + first), float(v)) for t, v in enumerate(means)]

    return [
        Panel(title, "iteration", title, [Series(arm, curve(arm, name), i) for i, arm in enumerate(runs)], rule=rule)
        for name, (title, rule) in names.items()
    ]


def of_rate(games: dict[str, Any]) -> list[Panel]:
    made = []
    for game, found in games.items():
        rate = found["rate"]
        series = [
            Series("average policy", list(zip(rate["horizons"], rate["gaps"])), 0),
            Series("bound", list(zip(rate["horizons"], rate["bounds"])), 7),
        ]
        made.append(Panel(f"{game}, slope {np.mean(rate['slopes']):.2f}", "T", "gap", series, log=True))
    return made


def of_games(games: dict[str, Any]) -> list[Panel]:
    return [
        Panel(
            f"{game}: {which} policy",
            "iteration",
            "gap",
            [Series(name, list(zip(c["steps"], c[which])), i) for i, (name, c) in enumerate(found["sampled"].items())],
        )
        for game, found in games.items()
        for which in ("last", "average")
    ]


def of_cycle(claim: Claim) -> list[Panel]:
    runs = claim.figures["cycle"]
    names = {"gap_last": "gap, last policy", "gap_average": "gap, average policy", "malformed": "malformed share"}
    return [
        Panel(
            title,
            "iteration",
            title,
            [
                Series(arm, list(enumerate(np.mean([r[key] for r in found], axis=0))), i)
                for i, (arm, found) in enumerate(runs.items())
            ],
        )
        for key, title in names.items()
    ]
