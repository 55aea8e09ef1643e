"""The training loop, readable top to bottom: trees in, one optimizer step a batch, checkpoints that can be killed.

In: a model, its Scorer, examples with cached reference log-probs, an Objective. Out: the model's weights changed in place (the best
by held-out loss, or the last) and the metrics, one row a step. Every step's loss is a sum over micro-batches divided by the whole
optimizer batch's comparisons (or answers, or their tokens, as the objective declares), so accumulation changes nothing but memory, and
several processes (distributed.py) change nothing but time. What a loss reads of the whole batch (KTO's reference point) comes from a
pass over all of it before the first gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.losses.batch import Batch, Objective
from windvane.models.offload import offloaded
from windvane.models.trees.logprobs import Scorer, Values
from windvane.models.trees.tree import Tree
from windvane.train import checkpoint
from windvane.train.batches import Example, micro_batches, order
from windvane.train.distributed import ALONE, Ranks, Score, merged
from windvane.train.loss_checks import called, sums
from windvane.train.loss_inputs import Whole, answer_sums, batch_of, to_score
from windvane.train.metrics import Tally
from windvane.train.settings import Train, learning_rate, make_optimizer

# |policy - reference| a token (nats) at step 0: many times what another batch make-up moves it by
START_TOLERANCE = {False: 1e-4, True: 0.05}


class Trainer:
    """One training stage of one model. `folder` holds its checkpoints; `report(step, total, metrics)` is called every step. `ranks`:
    this process among those that train together, each with the same arguments."""

    def __init__(
        self,
        scorer: Scorer,
        objective: Objective,
        settings: Train,
        folder: Path,
        seed: int,
        report: Callable[[int, int, dict[str, Any]], None] = lambda step, total, row: None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.scorer, self.model, self.ranks = scorer, scorer.model, ranks
        self.score: Score = scorer.logps
        self.objective, self.settings, self.folder, self.seed, self.report = objective, settings, folder, seed, report
        self.device = next(self.model.parameters()).device.type
        if settings.objective_sha256 not in (None, objective.sha256):
            raise UserError(
                f"objective {objective.name}: {objective.file} was changed while this run was going on; put it back as it was, or use "
                "another --out"
            )

    def fit(self, found: Sequence[Example], held: Sequence[Example]) -> list[dict[str, Any]]:
        """Train from the newest checkpoint (or the start) to the end; returns one metrics row a step and evaluation."""
        with self.ranks.watched():
            return self._fit(found, held)

    def _fit(self, found: Sequence[Example], held: Sequence[Example]) -> list[dict[str, Any]]:
        if not found:
            raise UserError(
                "nothing to train on: no prompt had a best and a worst answer; look at groups.jsonl for why"
            )
        for example in (*found, *held):
            self._refuse_missing(example)
        s = self.settings
        if s.gradient_checkpointing:
            cast(Any, self.model).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.score = self.ranks.spread(self.scorer, [e.tree for e in next(micro_batches(found, s.micro_tokens))])
        optimizer = make_optimizer(self.model, s)
        per_epoch = math.ceil(len(found) / s.batch)
        total, planned = per_epoch * s.epochs, per_epoch * (s.schedule_epochs or s.epochs)
        every = s.evaluate_every or max(1, total // 10)
        state, best = checkpoint.load(self.folder, self.model, optimizer)
        if len(set(self.ranks.gather(state.step))) > 1:
            raise UserError(
                f"{self.folder}: the processes see different checkpoints; put --out on a file system that all of them share"
            )
        if state.step == 0:
            self._check_start(found)
            if held:
                state.metrics.append({"step": 0, "split": "held-out", "epoch": 0.0, **self.measure(held)})
        for step in range(state.step, total):
            epoch, place = divmod(step, per_epoch)
            indices = order(len(found), self.seed, epoch)[place * s.batch : (place + 1) * s.batch]
            rate = learning_rate(step, planned, s)
            row = self._step([found[i] for i in indices], optimizer, rate, step)
            state.step = step + 1
            state.metrics.append({"step": step + 1, "split": "train", "epoch": (step + 1) / per_epoch, **row})
            if state.step % every == 0 or state.step == total:
                if held:
                    measured = self.measure(held)
                    state.metrics.append(
                        {"step": step + 1, "split": "held-out", "epoch": (step + 1) / per_epoch, **measured}
                    )
                    if state.best is None or measured["loss"] < state.best:
                        state.best, state.best_step = measured["loss"], state.step
                        best = checkpoint.copy_of(self.model)
                kept = best if s.keep == "best" else None
                checkpoint.save(self.folder, state, self.model, optimizer, kept, self.ranks.lead)
            self.report(state.step, total, row)
        if s.keep == "best" and best is not None:
            checkpoint.copy_into(self.model, best)
        self.ranks.restore(self.model)
        self.score = self.scorer.logps
        self.model.eval()
        broken = [k for k, v in checkpoint.trainable(self.model).items() if not torch.isfinite(v).all()]
        if broken:
            raise UserError(
                f"training ended with weights that are not finite ({broken[0]} and {len(broken) - 1} more); lower --train.lr"
            )
        self.measure(next(micro_batches(found, s.micro_tokens)))
        return state.metrics

    def _refuse_missing(self, example: Example) -> None:
        """An example without something that the objective reads is refused before anything is computed."""
        reads, mismatch = self.objective.reads, example.mismatch
        absent = {
            "reference log-probs (run_reference, then with_reference)": self.objective.reference
            and not example.reference,
            "the reference's log-probs of each token (run_reference's and with_reference's `tokens`)": self.objective.reference
            and self.objective.level == "token"
            and not example.token_reference,
            "a slow reference's log-probs (with_reference's `slow`)": "slow" in reads and not example.slow,
            "a flag for each answer, desirable or not": "desirable" in reads and not example.desirable,
            "another prompt's answers with their reference (`mismatched`, of two prompts or more)": "kl" in reads
            and (mismatch is None or not mismatch.reference),
            "a chosen answer": "nll" in reads and example.chosen is None,
        }
        for what, lacks in absent.items():
            if lacks:
                raise UserError(f"objective {self.objective.name}: example {example.id} lacks {what}")

    def _scored(self, trees: Sequence[Tree]) -> Values:
        bf16, away = self.settings.precision == "bfloat16", self.settings.offload and torch.is_grad_enabled()
        with torch.autocast(self.device, torch.bfloat16, enabled=bf16), offloaded(away):
            return self.score(trees)

    def _forward(self, found: Sequence[Example], whole: Whole) -> Batch:
        reads = self.objective.reads
        scored = self._scored([to_score(e, reads) for e in found])
        return batch_of(found, scored, reads, whole, self.objective.level == "token")

    @torch.no_grad()
    def _whole(self, found: Sequence[Example]) -> Whole:
        """What the losses of `found` read of all of it together, by a pass of its own without gradient (and without dropout)."""
        reads, kl, tokens = self.objective.reads, 0.0, 1.0
        if "nll" in reads:
            counts = [e.nll_tokens(i) for e in found for i in range(len(e.losses))]
            tokens = sum(counts) / len(counts)
        if "kl" in reads:
            self.model.eval()
            gaps = []
            for micro, counted in self._turns([e.mismatch for e in found if e.mismatch is not None]):
                for example, nodes in zip(micro, self._scored([e.tree for e in micro])):
                    sums = [s.item() - r for s, r in zip(answer_sums(example, nodes), example.reference)]
                    gaps += sums if counted else []
            gaps = [g for part in self.ranks.gather(gaps) for g in part]
            kl = math.fsum(gaps) / len(gaps)
        return Whole(kl, tokens)

    def _count(self, found: Sequence[Example]) -> int:
        """What the summed loss of an optimizer batch is divided by."""
        of = {"example": lambda e: len(e.losses), "answer": lambda e: len(e.lengths), "token": lambda e: sum(e.lengths)}
        return sum(of[self.objective.reduction](e) for e in found)

    def _step(self, found: list[Example], optimizer: torch.optim.Optimizer, rate: float, step: int) -> dict[str, float]:
        whole = self._whole(found)
        self.model.train()
        own = (self.ranks.rank,) if self.ranks.rank else ()  # dropout: the same whether or not the run was resumed
        torch.manual_seed(seed_of(self.seed, "step", step, *own))
        count = self._count(found)
        total, tally = self._pass(found, whole, step, lambda losses, counts: (losses.sum() / count * counts).backward())
        parameters = list(checkpoint.trainable(self.model).values())
        self.ranks.reduce(parameters)
        norm = checkpoint.whole(torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf)).item()
        if not math.isfinite(norm):
            rows = ", ".join(e.id for e in found)
            raise UserError(
                f"step {step + 1}: the gradient is not finite; prompts of this batch: {rows}; lower --train.lr"
            )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": total / count, "lr": rate, "grad_norm": norm, **self._of_whole(whole), **tally.means()}

    def _turns(self, found: Sequence[Example]) -> Iterator[tuple[list[Example], bool]]:
        return self.ranks.turns(found, self.settings.micro_tokens)

    def _pass(
        self, found: Sequence[Example], whole: Whole, step: int | None, backward: Callable[[Tensor, bool], None]
    ) -> tuple[float, Tally]:
        """The summed loss and what is followed, over all of `found`, all processes together; `backward` gets each micro-batch's losses
        and whether they count. A loss that is not finite is told to all before anyone refuses it: the others wait in a collective."""
        tally, total, bad = Tally(), 0.0, list[str]()
        for micro, counts in self._turns(found):
            batch = self._forward(micro, whole)
            losses, metrics = called(self.objective, batch)
            with self._told():
                backward(losses, counts)
            if counts:
                bad = bad or self._not_finite(losses, micro)
                total += losses.detach().double().sum().item()
                tally.follow(micro, batch, self.objective)
                if metrics and not bad:
                    ids = [e.id for e in micro for _ in e.losses]
                    for name, (value, number) in sums(self.objective, metrics, batch, ids).items():
                        tally.add_sum(name, value, number)
        parts = self.ranks.gather((total, tally, bad))
        bad = next((bad for *_, bad in parts if bad), [])
        if bad:
            where = f"step {step + 1}, before its update" if step is not None else "after training"
            raise UserError(f"{where}: the loss is not finite for prompts {', '.join(bad)}; lower --train.lr")
        return sum(part[0] for part in parts), merged([part[1] for part in parts])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A user's loss that writes into what it was given fails in the backward pass alone: one line."""
        try:
            yield
        except RuntimeError as error:
            if self.objective.file is None or "modified by an inplace operation" not in str(error):
                raise
            raise UserError(
                f"objective {self.objective.name}: {self.objective.file} changes a Tensor in place that its gradient needs; make a new one "
                "(x = x + 1 instead of x += 1)"
            ) from None

    def _not_finite(self, losses: Tensor, found: Sequence[Example]) -> list[str]:
        lines = [e.id for e in found for _ in e.losses]
        return list(dict.fromkeys(id for id, ok in zip(lines, torch.isfinite(losses).tolist()) if not ok))

    @torch.no_grad()
    def measure(self, found: Sequence[Example]) -> dict[str, float]:
        """Loss, reward accuracy and log-ratios on held-out examples."""
        self.model.eval()
        whole = self._whole(found)
        total, tally = self._pass(found, whole, None, lambda losses, counts: None)
        return {"loss": total / self._count(found), **self._of_whole(whole), **tally.means()}

    def _of_whole(self, whole: Whole) -> dict[str, float]:
        """The batch statistics that the metrics follow."""
        return {"kl_estimate": whole.kl} if "kl" in self.objective.reads else {}

    @torch.no_grad()
    def _check_start(self, found: Sequence[Example]) -> None:
        """Before any update the policy is its own reference; a difference means other weights, ids or template. (Not where the
        reference read another context, as LongPO's.)"""
        own = [e for e in found if not e.turns]
        if not self.objective.reference or not own:
            return
        self.model.eval()
        micro = next(micro_batches(own, self.settings.micro_tokens))
        batch = batch_of(micro, self._scored([e.tree for e in micro]))
        gap = (batch.logratio.abs() / batch.lengths.clamp(min=1)).max().item()
        limit = START_TOLERANCE[self.settings.precision == "bfloat16"]
        if not gap <= limit:
            raise UserError(
                f"the policy's log-probs differ from the cached reference's by {gap:.2g} nats a token before the first step "
                f"(limit {limit:g}): reference.jsonl was made by other weights; remove it to make it again"
            )
