"""The EvalYaks claim's own part of docs/claims.md: every arm's measures with their intervals, the paper's beside them, and the limits.

In: the claim. Out: Markdown, and panels for `studies.plot.lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.page import table
from studies.plot import Panel, Series
from studies.record import Claim, over_seeds

LIMITS = """What this cannot show: there is one base of 0.1 million parameters and one programme as the truth, so the seeds (which
conversations train and test, the adapters' start, the order) say nothing about another base, exam or rater. The bands are the
programme's on the very words that were written: there is no noise in the reference, no speech, no human. The base's rater weighs other
things than the programme and saturates, by construction (docs/toy.md), and yet a line through its expected band brings most of the
gain; how a real instruct model's grading errs is not known. The arm `merged` was declared after the others had run, before it ran
itself; `merged` and `full` take four times the steps of one adapter of `lora`, on four times its conversations, so what they show is
that the parts teach each other at this size, not that separate adapters are worse where data abound. The readable features know English
learners' errors and linkers, which this world's speakers say in so many words: the weight-free line is strong here, and on the public
conversations its figures are others (docs/papers/evalyaks.md). The base knows how many slips or linkers a talk has because it was
taught to answer that; without such lessons a prototype's adapter hardly beat a constant."""


def section(claim: Claim) -> str:
    """The arms' measures with their intervals, by part, and what this cannot show."""
    arms = claim.figures["arms"]
    head = [
        "arm",
        "acceptable accuracy",
        "DOV",
        "strict",
        "accurate",
        "QWK",
        "own family: acceptable",
        "own family: DOV",
    ]
    rows = []
    for arm, found in arms.items():
        cells = [_spread(found[name]) for name in ("acceptable", "dov", "strict", "accurate", "qwk")]
        rows.append(
            [f"`{arm}`", *cells, *(_spread([h[name] for h in found["held_out"]]) for name in ("acceptable", "dov"))]
        )
    parts = [
        [f"`{arm}`", *(_mean(found, "acceptable", k) + " / " + _mean(found, "dov", k) for k in range(4))]
        for arm, found in arms.items()
    ]
    size = claim.settings["size"]
    return "\n\n".join(
        [
            f"Means over seeds with 95% t intervals; {size['train']} conversations a part, of which a tenth is held out, and "
            f"{size['test']} a part of the other generator family to test on:",
            table(head, rows),
            "By part, acceptable accuracy / DOV, means over seeds:",
            table(["arm", "part 1", "part 2", "part 3", "part 4"], parts),
            "The paper's own figures, for comparison of kind, not of size (100 conversations of its own generator, one run, no interval): "
            "acceptable accuracy of the adapters .96, of the base .40, DOV .34 and 1.79; no recalibration, no baseline without weights.",
            *_edges(claim),
            LIMITS,
        ]
    )


def _edges(claim: Claim) -> list[str]:
    """A sentence where a chosen rate is the lowest or highest of those swept: its optimum may lie beyond."""
    rates = claim.settings["learning_rates"]
    found = {
        end: [f"`{name}`" for name, a in claim.arms.items() if a["sweep"] and a["learning_rate"] == end]
        for end in (min(rates), max(rates))
    }
    told = [f"{' and '.join(arms)} took {rate:g}" for rate, arms in found.items() if arms and len(rates) > 1]
    return (
        [f"The rates were not bracketed: {', '.join(told)}, an end of the three, so an arm's best may lie beyond."]
        if told
        else []
    )


def panels(claim: Claim) -> dict[str, tuple[str, list[Panel]]]:
    """Acceptable accuracy and DOV by part."""
    arms = claim.figures["arms"]
    made = []
    for name, title in (("acceptable", "acceptable accuracy"), ("dov", "degree of variation, bands")):
        series = [
            Series(arm, [(float(k + 1), float(np.mean([p[name][k] for p in found["parts"]]))) for k in range(4)], i)
            for i, (arm, found) in enumerate(arms.items())
        ]
        made.append(Panel(title, "part", title, series))
    return {"parts": ("Bands of an unseen generator family, part by part", made)}


def _spread(values: Sequence[float]) -> str:
    found = over_seeds(values)
    return f"{found.mean:.3f}" if found.low is None else f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _mean(found: dict[str, Any], name: str, part: int) -> str:
    return f"{np.mean([p[name][part] for p in found['parts']]):.3f}"
