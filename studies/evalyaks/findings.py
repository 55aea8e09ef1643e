"""What else the EvalYaks claim looks at beside its primary contrast, each with a rule that was fixed before the run.

In: the runs of every arm. Out: findings; each holds where the 95% t interval over seeds lies on its side of 0, and does not where it lies
on the other. Differences are paired by seed: the arms of a seed learn from and are tested on the same conversations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.declare import Declaration
from studies.record import UNDECIDED, Contrast, Finding, over_seeds, shown, verdict

Runs = dict[str, list[Any]]
# (better arm, other arm, measure, sign: 1 where more is better, statement)
COMPARED = (
    ("lora", "affine", "dov", -1, "LoRA's degree of variation is lower than the recalibrated base's"),
    ("lora", "affine", "strict", 1, "LoRA's strict acceptable accuracy is above the recalibrated base's"),
    ("lora", "base", "acceptable", 1, "LoRA's acceptable accuracy is above the base's (the paper's own comparison)"),
    ("affine", "base", "acceptable", 1, "an affine recalibration alone raises the base's acceptable accuracy"),
    ("affine", "base", "dov", -1, "an affine recalibration alone lowers the base's degree of variation"),
    ("lora", "weight-free", "acceptable", 1, "LoRA's acceptable accuracy is above the weight-free baseline's"),
    ("lora", "weight-free", "dov", -1, "LoRA's degree of variation is lower than the weight-free baseline's"),
    (
        "lora",
        "full",
        "acceptable",
        1,
        "LoRA a part is better than training all weights on all parts together (acceptable accuracy)",
    ),
    (
        "lora",
        "full",
        "dov",
        -1,
        "LoRA a part is better than training all weights on all parts together (degree of variation)",
    ),
    (
        "lora",
        "merged",
        "acceptable",
        1,
        "an adapter a part is better than one on merged data (acceptable accuracy; the paper says so)",
    ),
    ("lora", "merged", "dov", -1, "an adapter a part is better than one on merged data (degree of variation)"),
    (
        "full",
        "merged",
        "acceptable",
        1,
        "training all weights is better than one adapter on the same data (acceptable accuracy)",
    ),
    (
        "full",
        "merged",
        "dov",
        -1,
        "training all weights is better than one adapter on the same data (degree of variation)",
    ),
    ("lora", "constant", "acceptable", 1, "LoRA's acceptable accuracy is above a constant's"),
)


def difference(runs: Runs, first: str, second: str, measure: str, sign: int) -> Contrast:
    pairs = list(zip(runs[first], runs[second]))
    return over_seeds([sign * (a[measure] - b[measure]) for a, b in pairs])


def findings(d: Declaration, runs: Runs) -> list[Finding]:
    """Those of `COMPARED` whose arms ran, then how far the other generator family is."""
    found = []
    for first, second, measure, sign, statement in COMPARED:
        if first in runs and second in runs:
            gap = difference(runs, first, second, measure, sign)
            named = {"acceptable": "acceptable", "strict": "strict", "dov": "DOV"}[measure]
            pair = f"{first} - {second}" if sign > 0 else f"{second} - {first}"
            found.append(Finding(statement, verdict(gap), f"{named}, {pair} {shown(gap)}"))
    gap = over_seeds([r["dov"] - r["held_out"]["dov"] for r in runs["lora"]])
    said = "LoRA's degree of variation is higher on the other generator family than on unseen conversations of its own"
    found.append(Finding(said, verdict(gap), f"DOV, other - own {shown(gap)}"))
    gains = [
        (a["acceptable"] - b["acceptable"], c["acceptable"] - b["acceptable"])
        for a, b, c in zip(runs["affine"], runs["base"], runs["lora"])
    ]
    share = [a / c for a, c in gains if abs(c) > 1e-9]
    told = f"{np.mean(share):.2f} of LoRA's gain over the base" if share else "LoRA gained nothing"
    found.append(
        Finding(
            "how much of the gain in acceptable accuracy the recalibration alone brings (a number, no test)",
            UNDECIDED,
            told,
        )
    )
    return found
