"""Two models on AlpacaEval: the paired difference of their win rates, and of the length-controlled form.

In: the annotations of both, against one baseline by one judge; df_gamed.csv for the length-controlled (LC) figure. Out: differences in
percentage points with 95% intervals and minimum detectable effects. A file of other prompts than the 805 has no LC difference
(evals/alpaca/score.py says why).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from windvane.core.errors import UserError
from windvane.evals.alpaca.annotations import Annotations
from windvane.evals.alpaca.length_control import Gamed, fit, interval
from windvane.evals.alpaca.score import Aligned, aligned
from windvane.stats.paired import minimum_detectable, paired_difference


def compare(
    ours: Annotations,
    theirs: Annotations,
    gamed: Gamed | None,
    C: float | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """The difference (ours - theirs) in percentage points on the instructions that both have, paired and clustered by instruction,
    with the minimum detectable effect (5% two-sided, power 80%). The same baseline and judge are required."""
    for which in ("generator_1", "annotator"):
        if ours.name(which) != theirs.name(which):
            raise UserError(
                f"{theirs.path}: {which} is {theirs.name(which)!r}, in {ours.path} it is {ours.name(which)!r}; "
                "win rates can only be compared against one baseline by one judge"
            )
    first, second = _by_instruction(ours), _by_instruction(theirs)
    shared = [key for key in first if key in second]
    if not shared:
        raise UserError(f"{theirs.path}: no judged instruction in common with {ours.path}")
    plain = paired_difference([first[k] for k in shared], [second[k] for k in shared], shared, seed)
    result: dict[str, Any] = {
        "against": theirs.name("generator_2") or theirs.path,
        "n_instructions": len(shared),
        "unpaired": len(first) + len(second) - 2 * len(shared),
        "win_rate_difference": {
            k: v if v is None or k in ("n", "clusters") else 100 * v for k, v in asdict(plain).items()
        },
    }
    a, b = aligned(ours), aligned(theirs)
    if gamed is not None and isinstance(a, Aligned) and isinstance(b, Aligned) and resamples:
        draws, centre = [], []
        for side in (a.in_order(), b.in_order()):
            lc = fit(side.shares, side.delta, side.index.tolist(), gamed, C)
            centre.append(lc.winrate)
            draws.append(interval(side.shares, side.delta, side.index.tolist(), gamed, lc.C, resamples, seed)[0])
        gap = draws[0] - draws[1]
        error = float(gap.std(ddof=1))
        low, high = np.quantile(gap, [0.025, 0.975])
        values = {"mean": centre[0] - centre[1], "standard_error": error, "low": float(low), "high": float(high)}
        result["lc_difference"] = values | {"mde": minimum_detectable(error)}
    return result


def _by_instruction(found: Annotations) -> dict[str, float]:
    """The mean share of each instruction's answers."""
    shares: dict[str, list[float]] = {}
    for row in found.judged:
        if row.instruction is None:
            raise UserError(f"{found.path}: its rows have no instruction; a paired comparison needs one in each")
        shares.setdefault(" ".join(row.instruction.split()), []).append(row.p or 0.0)
    return {key: float(np.mean(values)) for key, values in shares.items()}
