"""The LongPO claim's own drawings.

In: the claim. Out: {name: (title, panels)} for `studies.plot.lines`; every line is a mean over the seeds that the arm ran on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from studies.plot import Panel, Series
from studies.record import Claim


def panels(claim: Claim) -> dict[str, tuple[str, list[Panel]]]:
    return {
        "lengths": ("Right answers by length, the last one never trained on", of_lengths(claim)),
        "along": ("Along every run: what is gained and lost as the model drifts from the start", of_runs(claim)),
    }


def of_lengths(claim: Claim) -> list[Panel]:
    """Arms of every seed, then the others, the start in both."""
    lengths = [math.log2(n) for n in claim.figures["lengths"]]
    start = np.mean([s["right"] for s in claim.figures["start"]], axis=0)
    made = []
    for title, secondary in (("arms of every seed", False), ("arms of fewer seeds", True)):
        series = [Series("start", list(zip(lengths, map(float, start))), 7)]
        for i, arm in enumerate(a for a in claim.figures["arms"] if claim.arms[a]["secondary"] is secondary):
            right = np.mean([e["right"] for e in claim.figures["arms"][arm]["end"]], axis=0)
            series.append(Series(arm, list(zip(lengths, map(float, right))), i))
        if len(series) > 1:
            made.append(Panel(title, "log2 of tokens", "share right", series))
    return made


def of_runs(claim: Claim) -> list[Panel]:
    """Long and short against KL, point by point; a run's points are joined in their order."""
    made = []
    for which, words in (("long", f"right at {claim.figures['target']} tokens"), ("short", "short skills")):
        for title, secondary in (("every seed", False), ("fewer seeds", True)):
            arms = [a for a in claim.figures["arms"] if claim.arms[a]["secondary"] is secondary]
            series = [
                Series(arm, _course(claim.figures["arms"][arm]["points"], which), i) for i, arm in enumerate(arms)
            ]
            if series:
                made.append(Panel(f"{words}, {title}", "KL to the start, nats a reply", words, series))
    return made


def _course(runs: list[list[dict[str, Any]]], which: str) -> list[tuple[float, float]]:
    """Means over seeds of (KL, value), point by point."""
    places = range(min(map(len, runs)))
    return [(float(np.mean([r[i]["kl"] for r in runs])), float(np.mean([r[i][which] for r in runs]))) for i in places]
