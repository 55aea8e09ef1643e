"""Training checkpoints that a kill cannot break: written aside, fsynced, renamed, and only then seen.

A checkpoint is a folder `step-000042` of safetensors and one JSON: the trainable weights, the optimizer's state, the step, the
metrics so far, the best held-out loss and where its weights are. Older ones are removed after a newer one is published. Random
numbers need no saving: every step seeds from (run seed, step).

Where several processes train, tensors are gathered and one process writes, so a checkpoint is the same for any number of them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from windvane.core.schema import dumps
from windvane.runs.store import named, publish_folder


@dataclass(slots=True)
class State:
    """Where training stands. `best` is the lowest held-out loss, reached at `best_step`."""

    step: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    best_step: int | None = None


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training changes, by name, each [...] as the model holds it."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters as they are now, by name, same shapes, on the CPU; shards (which are small) where they are."""
    return {k: v.detach().clone() if is_shard(v) else v.detach().cpu().clone() for k, v in trainable(model).items()}


def is_shard(tensor: Tensor) -> bool:
    """Whether this process holds a part of `tensor` alone (FSDP2)."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor [...]; of a shard a gathering, to which every process must come."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(full: Tensor, like: Tensor) -> Tensor:
    """`full` [...], or this process's part of it where `like`, of the same whole shape, is a shard."""
    if not isinstance(like, DTensor):
        return full
    own = full.to(like.device)
    return distribute_tensor(own, like.device_mesh, like.placements, src_data_rank=None)


def save(
    folder: Path,
    state: State,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor] | None,
    lead: bool = True,
) -> None:
    """Publish `folder/step-N`; `best` are the best weights so far (None: none were measured). Every process calls it, `lead` writes."""
    weights = _stored(trainable(model), lead)
    kept = None if best is None else _stored(best, lead)
    tensors, numbers = {}, {}
    for index, slot in optimizer.state_dict()["state"].items():
        for key, value in slot.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                numbers[f"{index}.{key}"] = value
    tensors = _stored(tensors, lead)
    if not lead:
        return
    aside = folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with named(folder):
        save_file(weights, aside / "model.safetensors")
        if kept is not None:
            save_file(kept, aside / "best.safetensors")
        save_file(tensors, aside / "optimizer.safetensors")
    record = {"step": state.step, "best": state.best, "best_step": state.best_step, "optimizer": numbers}
    (aside / "state.json").write_text(dumps({**record, "metrics": state.metrics}), encoding="utf-8")
    final = folder / f"step-{state.step:06d}"
    publish_folder(aside, final)
    for old in folder.glob("step-*"):
        if old != final:
            shutil.rmtree(old)


def _stored(found: dict[str, Tensor], lead: bool) -> dict[str, Tensor]:
    """Whole, on the CPU, by name: what a file holds. Nothing for a process that does not write."""
    held = {}
    for name, tensor in found.items():
        full = whole(tensor.detach())
        if lead:
            held[name] = full.cpu().contiguous()
    return held


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, dict[str, Tensor] | None]:
    """The newest published checkpoint put into `model` and `optimizer`, with the best weights by name (None: none were measured); a fresh
    State where there is none. Errors: assertion where the checkpoint's names are another model's."""
    published = sorted(p for p in folder.glob("step-*") if p.suffix != ".old")
    if not published:
        return State(), None
    newest = published[-1]
    copy_into(model, load_file(newest / "model.safetensors"))
    record = json.loads((newest / "state.json").read_text(encoding="utf-8"))
    slots: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(newest / "optimizer.safetensors"), **record["optimizer"]}.items():
        index, _, name = key.partition(".")
        slots.setdefault(int(index), {})[name] = value
    held, own = optimizer.state_dict(), trainable(model)
    for slot, parameter in zip((slots.get(i, {}) for i in range(len(own))), own.values()):
        slot.update(
            {k: part_of(v, parameter) for k, v in slot.items() if isinstance(v, Tensor) and v.shape == parameter.shape}
        )
    optimizer.load_state_dict({"state": slots, "param_groups": held["param_groups"]})
    best_file = newest / "best.safetensors"
    best = {k: part_of(v, own[k]) for k, v in load_file(best_file).items()} if best_file.exists() else None
    return State(record["step"], record["metrics"], record["best"], record["best_step"]), best


def copy_into(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Write `weights` over the model's trainable parameters; the names must be the same."""
    own = trainable(model)
    assert own.keys() == weights.keys(), "the checkpoint was made by another model"
    with torch.no_grad():
        for name, parameter in own.items():
            held = weights[name]
            parameter.copy_(held if is_shard(held) else part_of(held, parameter))
