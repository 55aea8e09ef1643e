"""Training a policy by a loss of `windvane.losses` over the log-probs of responses, as loop.py trains it.

In: a Scorer, an Objective, examples with cached reference log-probs. Out: a `PolicyTask`. What a loss reads of the whole optimizer batch
(KTO's reference point) comes from a pass over all of it before the first gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.losses.batch import Batch, Objective
from windvane.models.offload import offloaded
from windvane.models.trees.logprobs import Scorer, Values
from windvane.models.trees.tree import Tree
from windvane.train.batches import Example, micro_batches
from windvane.train.distributed import ALONE, Ranks, Score
from windvane.train.loss_checks import called, metric_values
from windvane.train.loss_inputs import BatchStatistics, answer_sums, batch_of, to_score
from windvane.train.metrics import Losses
from windvane.train.settings import Train

# |policy - reference| a token (nats) at step 0: many times what another batch make-up moves it by
START_TOLERANCE = {False: 1e-4, True: 0.05}


class PolicyTask:
    """A policy and its objective, as the loop trains it (see `windvane.train.loop.Task`)."""

    betas = (0.9, 0.999)  # of AdamW: PyTorch's defaults

    def __init__(self, scorer: Scorer, objective: Objective, settings: Train) -> None:
        if settings.objective_sha256 not in (None, objective.sha256):
            raise UserError(
                f"objective {objective.name}: {objective.file} was changed while this run was going on; put it back as it was, or use "
                "another --out"
            )
        self.scorer, self.model, self.objective, self.settings = scorer, scorer.model, objective, settings
        self.ranks = ALONE
        self._score: Score = scorer.logps

    def check(self, examples: Sequence[Example]) -> None:
        """Refuse examples without something that the objective reads before anything is computed. Errors: `UserError`."""
        if not examples:
            raise UserError(
                "nothing to train on: no prompt had a best and a worst answer; look at groups.jsonl for why"
            )
        for example in examples:
            self._check_example(example)

    def prepare(self, ranks: Ranks, examples: Sequence[Example]) -> None:
        """Before the first step: where parameters are sharded they become shards here. `examples` are for the scorer's self-check, which
        wants the model whole."""
        if self.settings.gradient_checkpointing:
            cast(Any, self.model).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.ranks = ranks
        self._score = ranks.spread(self.scorer, [e.tree for e in examples])

    def finish(self) -> None:
        """After the last step: whole parameters on every process again."""
        self.ranks.restore(self.model)
        self._score = self.scorer.logps

    @torch.no_grad()
    def check_start(self, examples: Sequence[Example]) -> None:
        """Before any update the policy is its own reference; a difference means other weights, ids or template. (Not where the
        reference read another context, as LongPO's.) Errors: `UserError`."""
        comparable = [e for e in examples if not e.turns]
        if not self.objective.reference or not comparable:
            return
        self.model.eval()
        micro_batch = next(micro_batches(comparable, self.settings.micro_tokens))
        batch = batch_of(micro_batch, self._logps([e.tree for e in micro_batch]))
        gap = (batch.logratio.abs() / batch.lengths.clamp(min=1)).max().item()
        limit = START_TOLERANCE[self.settings.precision == "bfloat16"]
        if not gap <= limit:
            raise UserError(
                f"the policy's log-probs differ from the cached reference's by {gap:.2g} nats a token before the first step "
                f"(limit {limit:g}): reference.jsonl was made by other weights; remove it to make it again"
            )

    @torch.no_grad()
    def statistics(self, batch: Sequence[Example]) -> BatchStatistics:
        """What the losses of `batch` read of all of it together, by a pass of its own without gradient (and without dropout)."""
        reads, kl, tokens = self.objective.reads, 0.0, 1.0
        if "nll" in reads:
            counts = [e.nll_tokens(i) for e in batch for i in range(len(e.losses))]
            tokens = sum(counts) / len(counts)
        if "kl" in reads:
            self.model.eval()
            gaps = []
            mismatched = [e.mismatch for e in batch if e.mismatch is not None]
            for micro_batch, counted in self.ranks.turns(mismatched, self.settings.micro_tokens):
                for example, nodes in zip(micro_batch, self._logps([e.tree for e in micro_batch])):
                    sums = [s.item() - r for s, r in zip(answer_sums(example, nodes), example.reference)]
                    gaps += sums if counted else []
            gaps = [g for part in self.ranks.gather(gaps) for g in part]
            kl = math.fsum(gaps) / len(gaps)
        return BatchStatistics(kl, tokens)

    def count(self, batch: Sequence[Example]) -> int:
        """What the summed loss of an optimizer batch is divided by: its comparisons, its responses or their tokens."""
        of = {"example": lambda e: len(e.losses), "answer": lambda e: len(e.lengths), "token": lambda e: sum(e.lengths)}
        return sum(of[self.objective.reduction](e) for e in batch)

    def losses(self, micro_batch: Sequence[Example], statistics: BatchStatistics) -> Losses:
        """One value a comparison, with the metrics of `policy_metrics` and those that the loss returns."""
        reads = self.objective.reads
        logps = self._logps([to_score(e, reads) for e in micro_batch])
        batch = batch_of(micro_batch, logps, reads, statistics, self.objective.level == "token")
        values, returned = called(self.objective, batch)
        ids = [e.id for e in micro_batch for _ in e.losses]
        metrics = policy_metrics(micro_batch, batch, self.objective)
        if torch.isfinite(values).all():  # where they are not, the loop refuses the loss itself
            metrics |= metric_values(self.objective, returned, batch, ids)
        return Losses(values, ids, metrics)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss` [] to the parameters'. A user's loss that changes its input in place fails only here: one line."""
        try:
            loss.backward()
        except RuntimeError as error:
            if self.objective.file is None or "modified by an inplace operation" not in str(error):
                raise
            raise UserError(
                f"objective {self.objective.name}: {self.objective.file} changes a Tensor in place that its gradient needs; make a new one "
                "(x = x + 1 instead of x += 1)"
            ) from None

    def metrics(self, means: dict[str, float], statistics: BatchStatistics) -> dict[str, float]:
        """What a metrics row holds beside the loss."""
        kl = {"kl_estimate": statistics.kl} if "kl" in self.objective.reads else {}
        return {**kl, **with_reached(means)}

    def _check_example(self, example: Example) -> None:
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

    def _logps(self, trees: Sequence[Tree]) -> Values:
        device = next(self.model.parameters()).device.type
        bf16, offload = self.settings.precision == "bfloat16", self.settings.offload and torch.is_grad_enabled()
        with torch.autocast(device, torch.bfloat16, enabled=bf16), offloaded(offload):
            return self._score(trees)


def policy_metrics(examples: Sequence[Example], batch: Batch, objective: Objective) -> dict[str, list[float]]:
    """Log-probs of chosen and rejected, their log-ratios where there is a reference, and how often the chosen one's reward is the larger
    (`accuracy`; a tie is half). The reward is the log-ratio, or without a reference what the loss compares: the log-prob, a token for a
    "mean" objective. Where the loss pulls each side to a log-ratio of its own, that target too (SPPO: eta (P - 1/2)); where it holds the
    chosen row's NLL, that too, a token."""
    metrics: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        metrics.setdefault(name, []).append(value)

    rewards = batch.logratio if objective.reference else batch.logps
    if not objective.reference and objective.sequence == "mean":
        rewards = rewards / batch.lengths.clamp(min=1)
    targets = objective.target(batch) if objective.target is not None else None
    for row, example in enumerate(e for e in examples for _ in e.losses):
        chosen, rejected = example.chosen, example.rejected
        if "nll" in objective.reads:
            add("nll", (batch.nll[row] / batch.nll_tokens[row]).item())
        for name, index in (("chosen", chosen), ("rejected", rejected)):
            if index is not None:
                add(f"{name}_logps", batch.logps[row, index].item())
                if objective.reference:
                    add(f"{name}_logratio", batch.logratio[row, index].item())
                if targets is not None:
                    add(f"{name}_target", targets[row, index].item())
        if chosen is not None and rejected is not None and objective.branches != "single":
            ahead = (rewards[row, chosen] - rewards[row, rejected]).item()
            add("accuracy", 1.0 if ahead > 0 else 0.5 if ahead == 0 else 0.0)
    return metrics


def with_reached(means: dict[str, float]) -> dict[str, float]:
    """`means` with `chosen_reached` and `rejected_reached`, the share of the target that is reached: mean log-ratio over mean target
    (1 is there, negative is the wrong way). Left out where the targets cancel."""
    reached = {
        f"{side}_reached": means[f"{side}_logratio"] / means[f"{side}_target"]
        for side in ("chosen", "rejected")
        if means.get(f"{side}_target")
    }
    return dict(sorted({**means, **reached}.items()))
