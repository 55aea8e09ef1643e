"""A loss called on a batch: its values, its metrics, and every mistake that a user's own can hold, in one line.

In: an objective, a `Batch`. Out: values [B], one a comparison, and the metrics by name. A loss shipped with Windvane is called as it is, so
that a fault of ours stays visible; what goes wrong inside a user's is told with its file and line.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.losses.batch import Batch, Objective
from windvane.losses.user_losses import place_of, said

SHAPE = "return one value a comparison, a Tensor [B], or (Tensor [B], {name: Tensor})"
TAKEN = frozenset(  # names that the loop (loop.py) and `policy_metrics` give themselves
    ["step", "split", "epoch", "loss", "lr", "grad_norm", "kl_estimate", "nll", "accuracy"]
    + [f"{side}_{what}" for side in ("chosen", "rejected") for what in ("logps", "logratio", "target", "reached")]
)


def called(objective: Objective, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """(values [B], metrics as the loss gave them, detached)."""
    try:
        found = objective.loss(batch)
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if objective.file is None:
            raise
        raise UserError(f"objective {objective.name}: {place_of(error, objective.file)}: {said(error)}") from error
    losses, metrics = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
    if not isinstance(losses, Tensor) or not isinstance(metrics, dict):
        kinds = " and ".join(type(v).__name__ for v in (found if isinstance(found, tuple) else (found,)))
        raise UserError(f"objective {objective.name}: its loss returned {kinds}; {SHAPE}")
    if losses.shape != batch.logps.shape[:1]:
        raise UserError(
            f"objective {objective.name}: its loss has shape {tuple(losses.shape)}, not {tuple(batch.logps.shape[:1])}, one value "
            "a comparison; does READS name all that it reads?"
        )
    if batch.logps.requires_grad and not losses.requires_grad:
        raise UserError(
            f"objective {objective.name}: its loss carries no gradient; compute it from batch.logps or batch.token_logps, without detach"
        )
    return losses, {name: _checked(objective, name, value) for name, value in metrics.items()}


def _checked(objective: Objective, name: object, value: object) -> Tensor:
    if not isinstance(name, str) or not name:
        raise UserError(f"objective {objective.name}: a metric is named {name!r}; name it by a text")
    if name in TAKEN:
        raise UserError(f"objective {objective.name}: metric '{name}' is followed already; give yours another name")
    if isinstance(value, (bool, int, float)):
        value = torch.tensor(float(value))
    if not isinstance(value, Tensor) or value.is_complex():
        raise UserError(
            f"objective {objective.name}: metric '{name}' is no Tensor of numbers, but {type(value).__name__}"
        )
    return value.detach()


def metric_values(
    objective: Objective, metrics: dict[str, Tensor], batch: Batch, ids: Sequence[str]
) -> dict[str, list[float]]:
    """Each metric's values, so that its mean is the optimizer batch's whatever the micro-batches. A Tensor [] stands for every
    comparison of the batch; one of [B] has a value a comparison, of [B, K] a value an answer that there is, and of [B, K, T] a value a
    token that there is. `ids`: the prompt of each comparison. Errors: `UserError` for another shape, and for values that are not finite."""
    count = len(ids)
    masks = [torch.ones(count, dtype=torch.bool, device=batch.logps.device), batch.mask]
    if objective.level == "token":
        masks.append(batch.token_mask)
    found = {}
    for name, value in metrics.items():
        if value.ndim == 0:
            value = value.expand(count)
        mask = next((m for m in masks if m.shape == value.shape), None)
        if mask is None:
            raise UserError(
                f"objective {objective.name}: metric '{name}' has shape {tuple(value.shape)}; it must be one of (), "
                f"{', '.join(str(tuple(m.shape)) for m in masks)}"
            )
        bad = ((~torch.isfinite(value)) & mask.to(value.device)).flatten(1 if value.ndim > 1 else 0)
        if bad.any():
            lines = bad.any(1).tolist() if value.ndim > 1 else bad.tolist()
            where = ", ".join(list(dict.fromkeys(id for id, wrong in zip(ids, lines) if wrong))[:5])
            raise UserError(
                f"objective {objective.name}: metric '{name}' is not finite for prompts {where}; leave such values out, or "
                "lower --train.lr"
            )
        found[name] = value[mask.to(value.device)].double().tolist()
    return found
