"""What the loss is told of a pair, where it is not P(y beats pi_t): the released `sppo_single`, and hard labels.

In: examples of pairs, the verdicts. Out: the same examples with other `p_win`. "pair": P(w beats l) and 1 - P(w beats l), the judge's own
symmetrised probability (released trainer, loss `sppo_single`); "hard": 1 and 0, the paper's section 4 form (a - 1/2)^2 + (b + 1/2)^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from windvane.pair import symmetrised
from windvane.records import Verdict
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
