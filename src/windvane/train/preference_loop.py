"""The training loop of reward models and general preference models: pairs in, one optimizer step a batch, resumable bit for bit.

In: a `PreferenceModel`, examples. Out: its weights changed in place (the best by held-out loss, or the last) and the metrics, one row a
step. A step's loss is the sum over its pairs divided by their number, so micro-batches change nothing but memory. Schedule, order,
micro-batches and checkpoints are the policy loop's own (loop.py, batches.py, checkpoint.py).

The defaults are those of Janus' reward model (arXiv 2405.17977; the released OpenRLHF scripts): one epoch at 9e-6, 128 pairs a step,
cosine with 3% warm-up, AdamW with betas (0.9, 0.95), no weight decay, gradient norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.models.preference_heads import preference_losses
from windvane.models.preference_model import PreferenceModel
from windvane.models.trees.hidden_states import Pooler, decoder_of
from windvane.train import checkpoint
from windvane.train.batches import micro_batches, order
from windvane.train.preference_batches import PreferenceExample
from windvane.train.settings import Train, learning_rate

Report = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PreferenceTrain:
    """Settings of the stage."""

    lr: float = 9e-6
    weight_decay: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    warmup: float = 0.03  # fraction of the steps
    epochs: int = 1
    batch: int = 128  # pairs an optimizer step
    micro_tokens: int = 8192  # tree tokens in one forward
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
        _ = self.loop  # its checks are these

    @property
    def loop(self) -> Train:
        """The same settings as the policy loop's parts take them."""
        same = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Train(optimizer="adamw", **same)


class PreferenceTrainer:
    """One stage. `folder` holds its checkpoints; `report(step, total, metrics)` is called every step."""

    def __init__(
        self,
        model: PreferenceModel,
        settings: PreferenceTrain,
        folder: Path,
        seed: int,
        report: Report = lambda step, total, row: None,
    ) -> None:
        self.model, self.settings, self.folder, self.seed, self.report = model, settings, folder, seed, report
        self.pooler = Pooler(model.decoder)
        self.device = next(model.parameters()).device

    def fit(self, found: Sequence[PreferenceExample], held: Sequence[PreferenceExample]) -> list[dict[str, Any]]:
        """Train from the newest checkpoint (or the start) to the end; one metrics row a step and evaluation."""
        if not found:
            raise UserError("nothing to train on: no pairs; lower held_out or give more")
        s = self.settings
        if s.gradient_checkpointing:
            decoder: Any = decoder_of(self.model.decoder)
            decoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        parameters = list(checkpoint.trainable(self.model).values())
        optimizer = torch.optim.AdamW(parameters, lr=s.lr, betas=(0.9, 0.95), weight_decay=s.weight_decay)
        per_epoch = math.ceil(len(found) / s.batch)
        total = per_epoch * s.epochs
        every = s.evaluate_every or max(1, total // 10)
        state, best = checkpoint.load(self.folder, self.model, optimizer)
        if state.step == 0 and held:
            state.metrics.append({"step": 0, "split": "held-out", "epoch": 0.0, **self.measure(held)})
        for step in range(state.step, total):
            epoch, place = divmod(step, per_epoch)
            indices = order(len(found), self.seed, epoch)[place * s.batch : (place + 1) * s.batch]
            row = self._step([found[i] for i in indices], optimizer, step, total)
            state.step = step + 1
            at = {"step": state.step, "epoch": state.step / per_epoch}
            state.metrics.append({**at, "split": "train", **row})
            if state.step % every == 0 or state.step == total:
                if held:
                    measured = self.measure(held)
                    state.metrics.append({**at, "split": "held-out", **measured})
                    if state.best is None or measured["loss"] < state.best:
                        state.best, state.best_step = measured["loss"], state.step
                        best = {k: v.detach().cpu().clone() for k, v in checkpoint.trainable(self.model).items()}
                checkpoint.save(self.folder, state, self.model, optimizer, best if s.keep == "best" else None)
            self.report(state.step, total, row)
        if s.keep == "best" and best is not None:
            checkpoint.copy_into(self.model, best)
        self.model.eval()
        return state.metrics

    def scores(self, found: Sequence[PreferenceExample]) -> Tensor:
        """s(chosen, rejected) [B], in the head's own unit."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            embedded = self.model.embed(self.pooler, [e.tree for e in found])
        return torch.stack([self.model.head.compare(v[0], v[1], scales) for v, scales in embedded])

    def losses(self, found: Sequence[PreferenceExample], scores: Tensor) -> Tensor:
        """One value a pair [B]."""
        probability, margin = (scores.new_tensor([getattr(e, n) for e in found]) for n in ("probability", "margin"))
        return preference_losses(scores, probability, margin, self.model.head.shape.temperature)

    def _step(
        self, found: list[PreferenceExample], optimizer: torch.optim.Optimizer, step: int, total: int
    ) -> dict[str, float]:
        self.model.train()
        torch.manual_seed(seed_of(self.seed, "step", step))  # dropout: the same whether or not the run was resumed
        loss, scores = 0.0, []
        for micro in self._micro(found):
            part = self.scores(micro)
            losses = self.losses(micro, part)
            self._refuse_nan(losses, micro, f"step {step + 1}, before its update")
            (losses.sum() / len(found)).backward()
            loss += losses.detach().double().sum().item() / len(found)
            scores.append(part.detach())
        parameters = list(checkpoint.trainable(self.model).values())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf).item()
        if not math.isfinite(norm):
            raise UserError(
                f"step {step + 1}: the gradient is not finite; lower --train.lr (pairs: {found[0].id}, ...)"
            )
        rate = learning_rate(step, total, self.settings.loop)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "lr": rate, "grad_norm": norm, **_right(found, torch.cat(scores))}

    def _micro(self, found: Sequence[PreferenceExample]) -> list[list[PreferenceExample]]:
        # micro_batches reads `tokens` alone
        return list(cast(Any, micro_batches)(found, self.settings.micro_tokens))

    def _refuse_nan(self, losses: Tensor, found: Sequence[PreferenceExample], when: str) -> None:
        bad = [e.id for e, ok in zip(found, torch.isfinite(losses).tolist()) if not ok]
        if bad:
            raise UserError(f"{when}: the loss is not finite for {', '.join(bad[:5])}; lower --train.lr")

    @torch.no_grad()
    def measure(self, found: Sequence[PreferenceExample]) -> dict[str, float]:
        """Loss, accuracy and mean score on held-out pairs."""
        self.model.eval()
        loss, scores = 0.0, []
        for micro in self._micro(found):
            part = self.scores(micro)
            losses = self.losses(micro, part)
            self._refuse_nan(losses, micro, "on held-out pairs")
            loss += losses.double().sum().item() / len(found)
            scores.append(part)
        return {"loss": loss, **_right(found, torch.cat(scores))}


def _right(found: Sequence[PreferenceExample], scores: Tensor) -> dict[str, float]:
    """The share of pairs whose likelier answer has the higher score (a tie is half; a probability of 1/2 does not count), and the
    mean score of the chosen against the rejected."""
    hits = [
        0.5 if s == 0 else float((s > 0) == (e.probability > 0.5))
        for e, s in zip(found, scores.tolist())
        if e.probability != 0.5
    ]
    accuracy = {"accuracy": math.fsum(hits) / len(hits)} if hits else {}
    return {**accuracy, "score": scores.double().mean().item()}
