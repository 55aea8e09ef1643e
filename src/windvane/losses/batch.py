"""What every objective reads, and how one is found by name.

An objective is one file here, or a user's own `FILE.py`, `module` or `module:object` (losses/user_losses.py), with these names:
    BRANCHES   "pair" (chosen, rejected), "group" (every judged answer), "single" (the chosen answer alone) or "unpaired"
               (answers that are each desirable or not)
    REFERENCE  whether it reads the reference's log-probs
    REDUCTION  what the loop divides the summed loss of an optimizer batch by: its comparisons ("example"), its answers
               ("answer") or its answers' tokens ("token")
    SEQUENCE   how an answer's tokens count: "sum" or "mean" (over its length); left out, it is "sum"
    READS      what else of the batch it reads, of `READS` below; left out, nothing
    LEVEL      "token" where it reads each token's log-prob (the batch's three fields of [B, K, T]); left out, it is "sequence"
    loss(batch, *, beta=...) -> Tensor [B], one value a comparison; keyword arguments are its settings. It may also return (Tensor [B],
               {name: Tensor}), the second being metrics, whose means over the optimizer batch stand in train/metrics.jsonl
    target(batch, *, ...) -> Tensor [B, K], the log-ratio (nats) that the loss pulls each answer to, by the same settings; left out
               where it pulls at differences alone
A new one is one file and no other edit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.losses.user_losses import Given, find, settings_of

READS = ("nll", "desirable", "kl", "slow", "short")
BEYOND_GROUPS = {  # what judged groups alone do not give
    "slow": "a slow reference's log-probs beside the reference's",
    "short": "reference log-probs on each answer's short context",
}
BRANCHES = ("pair", "group", "single", "unpaired")
REDUCTIONS = ("example", "answer", "token")
LEVELS = ("sequence", "token")
NOT_READ = torch.empty(0)


@dataclass(frozen=True, slots=True)
class Batch:
    """B comparisons of up to K answers. Pairs have K = 2: chosen, then rejected.

    logps [B, K]: the policy's log-probability of each answer, summed over its tokens (nats); reference [B, K]: the frozen
    reference's; p_win [B, K]: probability that the answer beats the policy it was sampled from; lengths [B, K]: answer tokens;
    mask [B, K]: False where a comparison has fewer than K answers (every other field is 0 there).

    Only where READS names them ("short" names no field: it says that `reference` was computed on other, short contexts):
    nll [B]: -log-probability of the chosen row, prompt included, weighted token by token and summed; nll_tokens [B]: the sum of those
    weights; nll_batch_tokens []: its mean over the whole optimizer batch (all three by "nll"); desirable [B, K]: bool; kl []: mean over
    the optimizer batch of log pi_theta/pi_ref of answers put after another prompt, no gradient; slow [B, K]: a second reference's
    log-probabilities.

    Only where LEVEL is "token", T being the longest answer's tokens: token_logps [B, K, T] and token_reference [B, K, T]: the
    log-probabilities (nats) of each token of the answers, whose sums over T are logps and reference; token_mask [B, K, T]: True where there
    is a token (of a conversation: of the assistant's turns). Every other place is padding, and 0 in both.
    """

    logps: Tensor
    reference: Tensor
    p_win: Tensor
    lengths: Tensor
    mask: Tensor
    nll: Tensor = NOT_READ
    nll_tokens: Tensor = NOT_READ
    nll_batch_tokens: Tensor = NOT_READ
    desirable: Tensor = NOT_READ
    kl: Tensor = NOT_READ
    slow: Tensor = NOT_READ
    token_logps: Tensor = NOT_READ
    token_reference: Tensor = NOT_READ
    token_mask: Tensor = NOT_READ

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
    """A loss with its settings bound, and what its file declares (the names at the top of this one). `loss` and `target` take a `Batch`:
    [B] and [B, K]; `loss` may give metrics beside its values. `file` and `sha256` are of a user's own, None for those shipped here."""

    name: str
    branches: str
    reference: bool
    reduction: str
    arguments: dict[str, float]  # every setting of the loss, given or default
    loss: Callable[[Batch], Any]
    sequence: str = "sum"
    reads: tuple[str, ...] = ()
    target: Callable[[Batch], Tensor] | None = None
    level: str = "sequence"
    file: str | None = None
    sha256: str | None = None


def names() -> list[str]:
    """Every objective shipped here."""
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if p.stem not in {"__init__", "batch", "user_losses"})


def digest_of(name: str) -> str | None:
    """SHA-256 of the file that a user's own loss is written in; None for one shipped here."""
    return None if name in names() else _found(name).sha256


def load_objective(name: str, arguments: Mapping[str, float], gives: Collection[str] = ()) -> Objective:
    """The objective `name` (a file of this folder, or a user's `FILE.py`, `module` or `module:object`), with its settings bound; unknown
    settings are refused, and so is an objective that reads what judged groups do not hold, unless the caller `gives` it ("slow", "short").
    """
    given = _found(name)
    found = given.holder
    absent = [a for a in ("BRANCHES", "REFERENCE", "REDUCTION") if not hasattr(found, a)]
    if not callable(getattr(found, "loss", None)):
        raise UserError(
            f"objective {name}: {given.file or 'it'} has no function loss; write loss(batch, *, beta=0.1) as in windvane/losses/dpo.py"
        )
    if absent:
        raise UserError(
            f"objective {name}: {given.file or 'it'} lacks {', '.join(absent)}; write them beside the loss as in windvane/losses/dpo.py"
        )
    allowed_values = {"BRANCHES": BRANCHES, "REDUCTION": REDUCTIONS, "SEQUENCE": ("sum", "mean"), "LEVEL": LEVELS}
    for field, allowed in allowed_values.items():
        if getattr(found, field, allowed[0]) not in allowed:
            raise UserError(
                f"objective {name}: {field} is {getattr(found, field)!r}; must be one of {', '.join(allowed)}"
            )
    if not isinstance(found.REFERENCE, bool):
        raise UserError(f"objective {name}: REFERENCE is {found.REFERENCE!r}; must be True or False")
    told_reads = getattr(found, "READS", ())
    reads = (told_reads,) if isinstance(told_reads, str) else tuple(told_reads)
    for read in reads:
        if read not in READS:
            raise UserError(f"objective {name}: READS has {read!r}; must be of {', '.join(READS)}")
        if read in BEYOND_GROUPS and read not in gives:
            raise UserError(
                f"objective {name}: it reads {BEYOND_GROUPS[read]}, which this recipe does not make; take another"
            )
    told, numbers = settings_of(name, found.loss, arguments)
    target = partial(found.target, **told) if hasattr(found, "target") else None
    return Objective(
        name,
        found.BRANCHES,
        found.REFERENCE,
        found.REDUCTION,
        numbers,
        partial(found.loss, **told),
        getattr(found, "SEQUENCE", "sum"),
        reads,
        target,
        getattr(found, "LEVEL", "sequence"),
        given.file,
        given.sha256,
    )


def _found(name: str) -> Given:
    if name in names():
        return Given(importlib.import_module(f"windvane.losses.{name}"), None, None)
    return find(name, ", ".join(names()))
