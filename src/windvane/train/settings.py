"""The settings of a training stage, with the rate of each step and the optimizer that they name.

In: numbers, from a recipe, a TOML file or the command line. Out: a checked `Train`; rates as transformers' schedulers give them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

import torch
import tyro
from torch import nn

from windvane.core.errors import UserError
from windvane.train.checkpoint import trainable


@dataclass(frozen=True, slots=True)
class Train:
    """Settings of one training stage. The objective's own settings are in `objective_args` (see `windvane.losses`)."""

    # sppo, sppo_hard, dpo, ipo, ipo_mean, inpo, kto, orpo, orpo_trl, simpo, sft, ... (windvane/losses), or your own as FILE.py,
    # module or module:object (docs/extending.md)
    objective: str = "sppo"
    objective_args: dict[str, float] = field(default_factory=dict)  # the objective's own settings: eta 1000, say
    optimizer: Literal["rmsprop", "adamw"] = "rmsprop"
    lr: float = 5e-7
    weight_decay: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = 0.1  # fraction of the schedule's steps
    epochs: int = 1
    schedule_epochs: int | None = None  # the schedule's length where training stops before its end
    batch: int = 64  # examples (trees: pairs, groups, documents) an optimizer step, over all processes
    micro_tokens: int = 8192  # tree tokens in one forward of one process
    clip: float = 1.0  # gradient norm; 0 switches clipping off
    held_out: float = 0.02  # fraction of the prompts' groups never trained on
    evaluate_every: int = 0  # steps between held-out evaluations (a checkpoint each); 0: ten times a stage
    keep: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast over float32 weights
    gradient_checkpointing: bool = (
        False  # keep each layer's input alone and compute the layer again: less memory, a third more work
    )
    offload: bool = False  # and keep those inputs in the CPU's memory, of a model on a GPU: for very long rows
    lora_rank: int = 0  # 0: full fine-tuning
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    quantize: Literal["nf4"] | None = None  # QLoRA: the frozen base in 4 bits; CUDA and bitsandbytes
    # of the file of a user's own loss; the run fills it in, and is not continued with another loss
    objective_sha256: Annotated[str | None, tyro.conf.Suppress] = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("micro_tokens", 1), ("evaluate_every", 0), ("lora_rank", 0)):
            if getattr(self, name) < least:
                raise UserError(f"train.{name}: {getattr(self, name)}; must be at least {least}")
        for name in ("warmup", "held_out", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"train.{name}: {getattr(self, name)}; must be in [0, 1)")
        for name in ("lr", "clip", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"train.{name}: {getattr(self, name)}; must be a finite number, 0 or more")
        if self.offload and not self.gradient_checkpointing:
            raise UserError("train.offload: what is offloaded is what gradient_checkpointing keeps; switch that on too")
        if self.quantize and not self.lora_rank:
            raise UserError(
                "train.quantize: 4-bit weights cannot be trained, an adapter on them can: give --train.lora-rank 16, say"
            )
        if self.schedule_epochs is not None and self.schedule_epochs < self.epochs:
            raise UserError(
                f"train.schedule_epochs: {self.schedule_epochs}; the schedule cannot end before epoch {self.epochs}"
            )


@dataclass(frozen=True, slots=True)
class RewardTrain:
    """Settings of training a reward model or a general preference model, which AdamW trains.

    The defaults are those of Janus' reward model (arXiv 2405.17977; the released OpenRLHF scripts): one epoch at 9e-6, 128 pairs a
    step, cosine with 3% warm-up, no weight decay, gradient norm 1."""

    lr: float = 9e-6
    weight_decay: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    warmup: float = 0.03  # fraction of the steps
    epochs: int = 1
    batch: int = 128  # pairs an optimizer step, over all processes
    micro_tokens: int = 8192  # tree tokens in one forward of one process
    clip: float = 1.0  # gradient norm; 0 switches clipping off
    held_out: float = 0.02  # fraction of the prompts never trained on
    evaluate_every: int = 0  # steps between held-out evaluations (a checkpoint each); 0: ten times in all
    keep: Literal["best", "last"] = "best"
    # bfloat16: autocast over float32 weights, or a base of its own under LoRA
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False  # less memory, more time
    lora_rank: int = 0  # 0: full fine-tuning
    lora_alpha: int = 16
    lora_dropout: float = 0.0

    def __post_init__(self) -> None:
        self.as_train()  # checks the values

    def as_train(self) -> Train:
        """These settings as the loop takes them."""
        return Train(optimizer="adamw", **{f.name: getattr(self, f.name) for f in fields(self)})


def learning_rate(step: int, total: int, settings: Train) -> float:
    """The rate of step 0, 1, ..., total - 1, as transformers' schedulers give it (the first warm-up step is at 0)."""
    warm = math.ceil(settings.warmup * total)
    if step < warm:
        return settings.lr * step / warm
    done = (step - warm) / max(1, total - warm)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return settings.lr * max(0.0, shape[settings.schedule])


def only_warms_up(examples: int, settings: Train) -> bool:
    """Whether every step over so many examples is at the rate 0 of the first warm-up step, so that nothing is learnt."""
    steps = math.ceil(examples / settings.batch)
    planned = steps * (settings.schedule_epochs or settings.epochs)
    return all(learning_rate(step, planned, settings) == 0 for step in range(min(2, steps * settings.epochs)))


def make_optimizer(
    model: nn.Module, settings: Train, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """RMSprop or AdamW (with these betas) over the parameters that training changes; all else as PyTorch has it by default."""
    parameters = list(trainable(model).values())
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, lr=settings.lr, betas=betas, weight_decay=settings.weight_decay)
