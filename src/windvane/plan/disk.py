"""Disk, said before the first row: what is going to be written, by kind, beside what is free.

In: bytes by kind, the run folder. Out: one sentence, the same for every verb that works long. What is there at most may not fit, which is
a note; where what is certain to be written (weights: they do not shrink) does not fit, the verb stops before it begins.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from windvane.core.errors import UserError
from windvane.models.generate.decode import plain_model
from windvane.train.settings import Train

ROOM = 1.1  # a file system wants some
BYTES_A_TOKEN = 12  # of an answer in a row: its id and its text
BYTES_A_ROW = 320  # the rest of a row: ids, numbers, names of fields


def disk_told(takes: Mapping[str, float], out: Path, mend: str, certain: float = 0.0) -> str:
    """ "Disk 3.2 GB at most (models 2.0 GB, ...), 80.0 GB free", and `mend` where that is less. `UserError` where it is less than the
    `certain` bytes of it. A file system that tells no size at all is not judged."""
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    usage = shutil.disk_usage(place)
    need, free = sum(takes.values()), usage.free
    unknown = getattr(usage, "total", 1) == 0
    by_kind = ", ".join(f"{name} {size(value)}" for name, value in takes.items() if value)
    if certain > free and not unknown:
        raise UserError(
            f"{out}: disk: {size(certain)} of weights are going to be written there and {size(free)} are free; {mend}"
        )
    short = f" (MORE than is free: {mend})" if need * ROOM > free and not unknown else ""
    return f"Disk {size(need)} at most ({by_kind}), {'free not known' if unknown else f'{size(free)} free'}{short}"


def trained_numbers(model: Any, lora_rank: int) -> int:
    """How many numbers are trained and saved: all, or at most those of an adapter of `lora_rank` on every linear layer but the head."""
    plain = plain_model(model)
    if not lora_rank:
        return sum(p.numel() for p in plain.parameters())
    head = getattr(plain, "get_output_embeddings", lambda: None)()
    layers = [m for m in plain.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return sum(lora_rank * (m.in_features + m.out_features) for m in layers)


def checkpoint_bytes(train: Train, trained: int) -> float:
    """Of one checkpoint: weights, the optimizer's moments, the best so far, in float32. Two stand at once: the newer one is published
    before the older one goes."""
    return 4.0 * trained * (1 + (2 if train.optimizer == "adamw" else 1) + (1 if train.keep == "best" else 0))


def weight_bytes(train: Train) -> float:
    """Of one number of a saved model."""
    return 2.0 if train.precision == "bfloat16" and not train.lora_rank else 4.0


def certain(model: Any, train: Train, models: int, trains: bool = True) -> float:
    """Bytes that are written whatever happens: `models` models and, where it `trains`, one checkpoint. An adapter's are not known to the
    byte."""
    if train.lora_rank:
        return 0.0
    trained = trained_numbers(model, 0)
    first = checkpoint_bytes(train, trained) - 4.0 * trained * (train.keep == "best") if trains else 0.0
    return weight_bytes(train) * trained * models + first


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
