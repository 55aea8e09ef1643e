"""Training checkpoints that a kill cannot break: written aside, fsynced, renamed, and only then seen.

A checkpoint is a folder `step-000042` of safetensors and one JSON: the trainable weights, the optimizer's state, the step, the
metrics so far, the best held-out loss and where its weights are. Older ones are removed after a newer one is published. Random
numbers need no saving: every step seeds from (run seed, step).
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

from windvane.schema import dumps
from windvane.store import publish_folder


@dataclass(slots=True)
class State:
    """Where training stands. `best` is the lowest held-out loss, reached at `best_step`."""

    step: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    best_step: int | None = None


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save(
    folder: Path, state: State, model: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Tensor] | None
) -> None:
    """Publish `folder/step-N`; `best` are the best weights so far (None: none were measured)."""
    aside = folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in trainable(model).items()}, aside / "model.safetensors")
    if best is not None:
        save_file({k: v.contiguous() for k, v in best.items()}, aside / "best.safetensors")
    tensors, numbers = {}, {}
    for index, slot in optimizer.state_dict()["state"].items():
        for key, value in slot.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value.detach().cpu().contiguous()
            else:
                numbers[f"{index}.{key}"] = value
    save_file(tensors, aside / "optimizer.safetensors")
    record = {"step": state.step, "best": state.best, "best_step": state.best_step, "optimizer": numbers}
    (aside / "state.json").write_text(dumps({**record, "metrics": state.metrics}), encoding="utf-8")
    final = folder / f"step-{state.step:06d}"
    publish_folder(aside, final)
    for old in folder.glob("step-*"):
        if old != final:
            shutil.rmtree(old)


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, dict[str, Tensor] | None]:
    """The newest published checkpoint put into `model` and `optimizer`; a fresh State where there is none."""
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
    held = optimizer.state_dict()
    optimizer.load_state_dict({"state": slots, "param_groups": held["param_groups"]})
    best_file = newest / "best.safetensors"
    best = load_file(best_file) if best_file.exists() else None
    return State(record["step"], record["metrics"], record["best"], record["best_step"]), best


def copy_into(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Write `weights` over the model's trainable parameters; the names must be the same."""
    own = trainable(model)
    assert own.keys() == weights.keys(), "the checkpoint was made by another model"
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])
