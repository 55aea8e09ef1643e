"""What the loss pulls at, where it is not the plain recipe's: other targets than P(y beats pi_t), eta at equal footing, a slow reference.

In: examples of pairs, the verdicts. Out: the same examples with other `p_win`. "pair": P(w beats l) and 1 - P(w beats l), the judge's own
symmetrised probability (released trainer, loss `sppo_single`); "hard": 1 and 0, the paper's section 4 form (a - 1/2)^2 + (b + 1/2)^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from windvane.core.errors import UserError
from windvane.core.records import Verdict
from windvane.losses.batch import Objective, load_objective
from windvane.sppo.settings import Sppo, Targets
from windvane.stages.pair import effective_eta, symmetrised
from windvane.train.batches import Example
from windvane.train.stage import with_loss_digests


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


def with_loss_defaults(settings: Sppo) -> Sppo:
    """The same settings with the loss's own defaults and, for a user's own loss, the digest of its file. Errors: `UserError` for a loss
    that does not read what the settings ask of it."""
    objective = load_objective(settings.train.objective, settings.train.objective_args, gives=("slow",))
    if settings.answers == "all" and objective.branches not in ("group", "unpaired"):
        raise UserError(f"answers: all K go with an objective that reads groups; {objective.name} reads best and worst")
    at_equal_eta(objective, settings)
    train = replace(settings.train, objective_args=objective.arguments)
    return with_loss_digests(replace(settings, train=train))


def at_equal_eta(objective: Objective, settings: Sppo) -> Objective:
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
