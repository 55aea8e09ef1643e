"""What the loss pulls at, where it is not the plain recipe's: other targets than P(y beats pi_t), eta at equal footing, a slow reference.

In: examples of pairs, the verdicts. Out: the same examples with other `p_win`. "pair": P(w beats l) and 1 - P(w beats l), the judge's own
symmetrised probability (released trainer, loss `sppo_single`); "hard": 1 and 0, the paper's section 4 form (a - 1/2)^2 + (b + 1/2)^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Verdict
from windvane.losses.batch import Objective, load_objective
from windvane.stages.pair import effective_eta, symmetrised
from windvane.train.batches import Example

Targets = Literal["policy", "pair", "hard"]


def retarget(
    found: Sequence[Example], verdicts: Sequence[Verdict], indices: dict[str, int], targets: Targets
) -> list[Example]:
    """`indices`: response id -> its index. A pair whose own verdict failed is left out under "pair"."""
    if targets == "policy":
        return list(found)
    told: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        told.setdefault(verdict.prompt_id, []).append(verdict)
    made = []
    for e in found:
        if e.chosen is None or e.rejected is None:
            made.append(e)
            continue
        p: float | None = 1.0
        if targets == "pair":
            w, lost = indices[e.response_ids[e.chosen]], indices[e.response_ids[e.rejected]]
            p = symmetrised(told.get(e.id, ())).get((w, lost))
        if p is not None:
            made.append(replace(e, p_win=tuple(p if i == e.chosen else 1.0 - p for i in range(len(e.p_win)))))
    return made


def at_equal_eta(objective: Objective, settings: Any) -> Objective:
    """Where it is asked for, and the self term is left out: the same loss at eta (K-1)/K, whose targets are those with the self term."""
    if not settings.equal_eta or settings.self_term:
        return objective
    if objective.target is None or "eta" not in objective.arguments:
        raise UserError(f"equal_eta: objective {objective.name} has no targets eta (P - 1/2); leave it out")
    eta = effective_eta(objective.arguments["eta"], settings.sampling.k, self_term=True)
    return load_objective(objective.name, {**objective.arguments, "eta": eta})


def slow_iteration(t: int, every: int | None) -> int:
    """Which iteration made iteration t's slow reference, 0 for the start: renewed before iterations 1, 1 + every, 1 + 2 every, ..."""
    return (t - 1) // every * every if every else 0
