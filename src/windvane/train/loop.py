"""The training loop, readable top to bottom: examples in, one optimizer step a batch, checkpoints that can be killed.

In: a Task (policy.py: a policy and its objective; reward.py: a reward model or a general preference model) and its examples. Out: the
model's weights changed in place (the best by held-out loss, or the last) and the metrics, one row a step. Every step's loss is a sum over
micro-batches divided by the whole optimizer batch's count (of comparisons, responses or tokens, as the task says), so accumulation
changes nothing but memory, and several processes (distributed.py) change nothing but time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.train import checkpoint
from windvane.train.batches import Packed, micro_batches, order
from windvane.train.distributed import ALONE, Ranks
from windvane.train.metrics import Losses, Means
from windvane.train.settings import Train, learning_rate, make_optimizer

E = TypeVar("E", bound=Packed)
E_contra = TypeVar("E_contra", bound=Packed, contravariant=True)

Report = Callable[[int, int, dict[str, Any]], None]


class Task(Protocol[E_contra]):
    """What is trained, and by which loss. `model`'s parameters that require a gradient are trained; `betas` are AdamW's."""

    settings: Train
    betas: tuple[float, float]

    @property
    def model(self) -> nn.Module: ...

    def check(self, examples: Sequence[E_contra]) -> None:
        """Refuse examples, or none at all, that the loss cannot be computed from. Errors: `UserError`."""

    def prepare(self, ranks: Ranks, examples: Sequence[E_contra]) -> None:
        """Before the first step: gradient checkpointing, and parameters in shards where `ranks` shard them."""

    def check_start(self, examples: Sequence[E_contra]) -> None:
        """Before the first step of a stage that is not resumed: whether the model is the one that it should start from."""

    def statistics(self, batch: Sequence[E_contra]) -> Any:
        """What the losses read of the whole optimizer batch."""

    def count(self, batch: Sequence[E_contra]) -> int:
        """What the summed losses of an optimizer batch are divided by."""

    def losses(self, micro_batch: Sequence[E_contra], statistics: Any) -> Losses:
        """The losses of a micro-batch and the values that the metrics are means of."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss` [] to the parameters'."""

    def metrics(self, means: dict[str, float], statistics: Any) -> dict[str, float]:
        """What a row of the metrics holds beside the loss."""

    def finish(self) -> None:
        """After the last step: undo what `prepare` did to the parameters."""


class Trainer(Generic[E]):
    """One training stage of one model. `folder` holds its checkpoints; `report(step, total, metrics)` is called every step. `ranks`:
    this process among those that train together, each with the same arguments."""

    def __init__(
        self,
        task: Task[E],
        folder: Path,
        seed: int,
        report: Report = lambda step, total, row: None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.task, self.model, self.settings, self.ranks = task, task.model, task.settings, ranks
        self.folder, self.seed, self.report = folder, seed, report

    def fit(self, examples: Sequence[E], held_out: Sequence[E] = ()) -> list[dict[str, Any]]:
        """Train from the newest checkpoint (or the start) to the end; returns one metrics row a step and evaluation."""
        with self.ranks.watched():
            return self._fit(examples, held_out)

    def _fit(self, examples: Sequence[E], held_out: Sequence[E]) -> list[dict[str, Any]]:
        s = self.settings
        self.task.check(examples)
        if held_out:
            self.task.check(held_out)
        self.task.prepare(self.ranks, next(micro_batches(examples, s.micro_tokens)))
        optimizer = make_optimizer(self.model, s, self.task.betas)
        steps_per_epoch = math.ceil(len(examples) / s.batch)
        total, planned = steps_per_epoch * s.epochs, steps_per_epoch * (s.schedule_epochs or s.epochs)
        evaluate_every = s.evaluate_every or max(1, total // 10)
        state, best = checkpoint.load(self.folder, self.model, optimizer)
        if len(set(self.ranks.gather(state.step))) > 1:
            raise UserError(
                f"{self.folder}: the processes see different checkpoints; put --out on a file system that all of them share"
            )
        if state.step == 0:
            self.task.check_start(examples)
            if held_out:
                state.metrics.append({"step": 0, "split": "held-out", "epoch": 0.0, **self.measure(held_out)})
        for step in range(state.step, total):
            epoch, place = divmod(step, steps_per_epoch)
            indices = order(len(examples), self.seed, epoch)[place * s.batch : (place + 1) * s.batch]
            row = self.step([examples[i] for i in indices], optimizer, learning_rate(step, planned, s), step)
            state.step, epochs = step + 1, (step + 1) / steps_per_epoch
            state.metrics.append({"step": state.step, "split": "train", "epoch": epochs, **row})
            if state.step % evaluate_every == 0 or state.step == total:
                if held_out:
                    measured = self.measure(held_out)
                    state.metrics.append({"step": state.step, "split": "held-out", "epoch": epochs, **measured})
                    if state.best is None or measured["loss"] < state.best:
                        state.best, state.best_step = measured["loss"], state.step
                        best = checkpoint.copy_of(self.model)
                kept = best if s.keep == "best" else None
                checkpoint.save(self.folder, state, self.model, optimizer, kept, self.ranks.lead)
            self.report(state.step, total, row)
        if s.keep == "best" and best is not None:
            checkpoint.copy_into(self.model, best)
        self.task.finish()
        self.model.eval()
        self._check_end(examples)
        return state.metrics

    def step(
        self, batch: Sequence[E], optimizer: torch.optim.Optimizer, learning_rate: float, step: int
    ) -> dict[str, float]:
        """One optimizer step over `batch`, all processes together; returns its metrics."""
        statistics, count = self.task.statistics(batch), self.task.count(batch)
        self.model.train()
        rank = (self.ranks.rank,) if self.ranks.rank else ()
        torch.manual_seed(
            seed_of(self.seed, "step", step, *rank)
        )  # dropout: the same whether or not the run was resumed

        def backward(losses: Tensor, counted: bool) -> None:
            self.task.backward(losses.sum() / count * counted)

        loss, means = self._losses(batch, statistics, f"step {step + 1}, before its update", backward)
        parameters = list(checkpoint.trainable(self.model).values())
        self.ranks.reduce(parameters)
        norm = checkpoint.whole(torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf)).item()
        if not math.isfinite(norm):
            raise UserError(
                f"step {step + 1}: the gradient is not finite; examples of this batch: {_first([e.id for e in batch])}; lower --train.lr"
            )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        metrics = self.task.metrics(means, statistics)
        return {"loss": loss / count, "lr": learning_rate, "grad_norm": norm, **metrics}

    @torch.no_grad()
    def measure(self, examples: Sequence[E]) -> dict[str, float]:
        """The loss and the metrics on held-out examples."""
        self.model.eval()
        statistics = self.task.statistics(examples)
        loss, means = self._losses(examples, statistics, "evaluation", lambda losses, counted: None)
        return {"loss": loss / self.task.count(examples), **self.task.metrics(means, statistics)}

    def _losses(
        self, batch: Sequence[E], statistics: Any, when: str, backward: Callable[[Tensor, bool], None]
    ) -> tuple[float, dict[str, float]]:
        """The summed loss and the means of the metrics over all of `batch`, all processes together; `backward` gets each micro-batch's
        losses and whether they count. Errors: `UserError` where a loss is not finite. Every process learns of it before one refuses it:
        the others wait in a collective."""
        means, total, bad = Means(), 0.0, list[str]()
        for micro_batch, counted in self.ranks.turns(batch, self.settings.micro_tokens):
            losses, ids, metrics = self.task.losses(micro_batch, statistics)
            backward(losses, counted)
            if counted:
                finite = torch.isfinite(losses).tolist()
                bad = bad or list(dict.fromkeys(id for id, ok in zip(ids, finite) if not ok))
                total += losses.detach().double().sum().item()
                means.add(metrics)
        parts = self.ranks.gather((total, means, bad))
        bad = next((bad for *_, bad in parts if bad), [])
        if bad:
            raise UserError(f"{when}: the loss is not finite for {_first(bad)}; lower --train.lr")
        return sum(part[0] for part in parts), Means.merged(part[1] for part in parts).by_name()

    def _check_end(self, examples: Sequence[E]) -> None:
        """Whether the weights that training ended with are finite, and give finite losses."""
        bad = [k for k, v in checkpoint.trainable(self.model).items() if not torch.isfinite(v).all()]
        if bad:
            raise UserError(
                f"training ended with weights that are not finite ({bad[0]} and {len(bad) - 1} more); lower --train.lr"
            )
        self.measure(next(micro_batches(examples, self.settings.micro_tokens)))


def _first(ids: Sequence[str]) -> str:
    """The first five, for a message."""
    return ", ".join([*ids[:5], *(["..."] if len(ids) > 5 else [])])
