"""What every objective reads, and how one is found by name.

An objective is one file here (or a user's `module:object`, the object being a module-like holder of the same names):
    BRANCHES   "pair" (chosen, rejected), "group" (every judged answer) or "single" (the chosen answer alone)
    REFERENCE  whether it reads the reference's log-probs
    REDUCTION  "example": the loop averages over examples; "token": the loop divides the summed loss by the answers' tokens
    loss(batch, *, beta=...) -> Tensor [B], one value an example; keyword arguments are its settings
A new one is one file and no other edit.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from windvane.errors import UserError


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples of up to K answers. Pairs have K = 2: chosen, then rejected.

    logps [B, K]: the policy's log-probability of each answer, summed over its tokens (nats); reference [B, K]: the frozen
    reference's; p_win [B, K]: probability that the answer beats the policy it was sampled from; lengths [B, K]: answer tokens;
    mask [B, K]: False where an example has fewer than K answers (every other field is 0 there).
    """

    logps: Tensor
    reference: Tensor
    p_win: Tensor
    lengths: Tensor
    mask: Tensor

    @property
    def logratio(self) -> Tensor:
        """[B, K] log pi_theta(y|x) - log pi_ref(y|x)."""
        return self.logps - self.reference

    def margin(self, values: Tensor) -> Tensor:
        """[B] chosen minus rejected of a [B, 2] tensor."""
        return values[:, 0] - values[:, 1]

    def mean(self, values: Tensor) -> Tensor:
        """[B] mean of a [B, K] tensor over the answers that exist."""
        return torch.where(self.mask, values, 0.0).sum(1) / self.mask.sum(1)


@dataclass(frozen=True, slots=True)
class Objective:
    name: str
    branches: str
    reference: bool
    reduction: str
    arguments: dict[str, float]  # every setting of the loss, given or default
    loss: Callable[[Batch], Tensor]


def names() -> list[str]:
    """Every objective shipped here."""
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if p.stem not in {"__init__", "batch"})


def load_objective(name: str, arguments: Mapping[str, float]) -> Objective:
    """The objective `name` (a file of this folder) or `module:object`, with its settings bound; unknown settings are refused."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            found: Any = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"objective {name}: cannot be imported ({error}); give module:object") from None
    elif name in names():
        found = importlib.import_module(f"windvane.objectives.{name}")
    else:
        raise UserError(f"objective {name}: unknown; there are {', '.join(names())}, or give your own as module:object")
    absent = [a for a in ("BRANCHES", "REFERENCE", "REDUCTION", "loss") if not hasattr(found, a)]
    if absent:
        raise UserError(f"objective {name}: lacks {', '.join(absent)} (see windvane/objectives/dpo.py for the shape)")
    known = {p.name: p.default for p in inspect.signature(found.loss).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key in arguments:
        if key not in known:
            raise UserError(f"objective {name}: no setting '{key}'; it has {', '.join(known) or 'none'}")
    told = {**known, **arguments}
    return Objective(name, found.BRANCHES, found.REFERENCE, found.REDUCTION, told, partial(found.loss, **told))
