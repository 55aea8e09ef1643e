"""Training a reward model or a general preference model: preference pairs as examples, and the loss that loop.py trains them by.

In: preference pairs and a `PreferenceModel`. Out: `RewardExample`s (a pair is one tree with two branches) and a `RewardTask`. Which
prompts are held out is a function of (seed, prompt id): a prompt that is in two files is on one side. A mixture draws rows of each source
with its probability, going through a source in its order and beginning again where it ends, until every source was gone through once (or
`samples` are drawn): `datasets.interleave_datasets` with "all_exhausted", as the scripts behind Janus' reward model (arXiv 2405.17977)
use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from datasets import Dataset, interleave_datasets
from torch import Tensor

from windvane.core.errors import UserError
from windvane.core.records import held_out_keys
from windvane.datasets.preference_pairs import PreferencePair
from windvane.models.preference_heads import preference_losses
from windvane.models.preference_model import PreferenceModel, chat_tree
from windvane.models.trees.hidden_states import Pooler, decoder_of
from windvane.models.trees.tree import Tree
from windvane.train.distributed import ALONE, Ranks
from windvane.train.metrics import Losses
from windvane.train.settings import RewardTrain

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RewardExample:
    """Row 0 of `tree` is the chosen response's, row 1 the rejected one's (row 2 the prompt's where a gate reads it)."""

    id: str
    prompt_id: str
    tree: Tree
    probability: float
    margin: float

    @property
    def tokens(self) -> int:
        """Tokens of the tree, the prompt once."""
        return self.tree.tokens


class RewardTask:
    """A preference model and its loss, as the loop trains it (see `windvane.train.loop.Task`): -log sigmoid of the score's margin.

    Several processes train data-parallel: each holds the whole model."""

    betas = (0.9, 0.95)  # of AdamW, as in the scripts of Janus' reward model

    def __init__(self, model: PreferenceModel, settings: RewardTrain) -> None:
        self.model, self.settings = model, settings.as_train()
        self.pooler = Pooler(model.decoder)

    def check(self, examples: Sequence[RewardExample]) -> None:
        """Errors: `UserError` where there is nothing to train on."""
        if not examples:
            raise UserError("nothing to train on: no pairs; lower held_out or give more")

    def prepare(self, ranks: Ranks, examples: Sequence[RewardExample]) -> None:
        """Before the first step; `examples` are for the self-check of trees, which has to come out alike in every process."""
        assert ranks == ALONE or not (ranks.sharded or ranks.sequence > 1), "reward models are trained data-parallel"
        if self.settings.gradient_checkpointing:
            decoder: Any = decoder_of(self.model.decoder)
            decoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.pooler.check([e.tree for e in examples]) if ranks.world > 1 else None

    def finish(self) -> None:
        """After the last step; there is nothing to undo."""

    def check_start(self, examples: Sequence[RewardExample]) -> None:
        """There is no reference whose log-probs the model must start from."""

    def statistics(self, batch: Sequence[RewardExample]) -> None:
        """The loss reads nothing of the whole optimizer batch."""

    def count(self, batch: Sequence[RewardExample]) -> int:
        """The number of pairs: what the summed loss of an optimizer batch is divided by."""
        return len(batch)

    def losses(self, micro_batch: Sequence[RewardExample], statistics: None = None) -> Losses:
        """One value a pair, with the metrics of `pair_metrics`."""
        scores = self.scores(micro_batch)
        probabilities = [e.probability for e in micro_batch]
        margins = scores.new_tensor([e.margin for e in micro_batch])
        temperature = self.model.head.shape.temperature
        values = preference_losses(scores, scores.new_tensor(probabilities), margins, temperature)
        return Losses(values, [e.id for e in micro_batch], pair_metrics(scores.detach(), probabilities))

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss` [] to the parameters'."""
        loss.backward()

    def metrics(self, means: dict[str, float], statistics: None = None) -> dict[str, float]:
        """What a metrics row holds beside the loss."""
        return means

    def scores(self, examples: Sequence[RewardExample]) -> Tensor:
        """s(chosen, rejected) [B], in the head's own unit."""
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            embedded = self.model.embed(self.pooler, [e.tree for e in examples])
        return torch.stack([self.model.head.compare(v[0], v[1], scales) for v, scales in embedded])


def pair_metrics(scores: Tensor, probabilities: Sequence[float]) -> dict[str, list[float]]:
    """`accuracy`: whether the likelier response has the higher score (a tie is half; a probability of 1/2 does not count); `score`: that
    of the chosen response against the rejected one. `scores` are [B], `probabilities` those that the chosen response wins."""
    hits = [0.5 if s == 0 else float((s > 0) == (p > 0.5)) for s, p in zip(scores.tolist(), probabilities) if p != 0.5]
    return {"accuracy": hits, "score": scores.double().tolist()}


def reward_example(model: PreferenceModel, tokenizer: Any, pair: PreferencePair) -> RewardExample:
    """Raises `UserError` naming the row where the template refuses it, it is too long, or its responses are the same tokens."""
    tree = chat_tree(model, tokenizer, pair.prompt.messages, (pair.chosen, pair.rejected), pair.place)
    if tree.leaves[0] == tree.leaves[1]:
        raise UserError(
            f"{pair.place}: field 'rejected': the same tokens as chosen through the chat template; remove the row"
        )
    return RewardExample(pair.place, pair.prompt.id, tree, pair.probability, pair.margin)


def hold_out(
    sources: Sequence[Sequence[PreferencePair]], fraction: float, seed: int
) -> tuple[list[list[PreferencePair]], list[PreferencePair]]:
    """(training pairs of each source, held-out pairs of all): a fraction of the prompts, one at least where there are ten or more."""
    held = held_out_keys((p.prompt.id for pairs in sources for p in pairs), fraction, seed)
    training = [[p for p in pairs if p.prompt.id not in held] for pairs in sources]
    return training, [p for pairs in sources for p in pairs if p.prompt.id in held]


def mixed(sources: Sequence[Sequence[T]], weights: Sequence[float], seed: int, samples: int | None = None) -> list[T]:
    """The rows of one epoch, in the order drawn. `weights` are normed to probabilities. One source is taken as it is."""
    if any(not math.isfinite(w) or w <= 0 for w in weights):
        raise UserError(f"mixture: weights {', '.join(map(str, weights))}; each must be a finite number above 0")
    if len(sources) == 1:
        return list(sources[0][:samples])
    if not all(sources):
        empty = next(i for i, rows in enumerate(sources, 1) if not rows)
        raise UserError(f"mixture: file {empty} has no pair left to train on; leave it out or lower held_out")
    total = sum(weights)
    tables = [Dataset.from_dict({"at": [[s, i] for i in range(len(rows))]}) for s, rows in enumerate(sources)]
    drawn = interleave_datasets(
        tables, probabilities=[w / total for w in weights], seed=seed % 2**32, stopping_strategy="all_exhausted"
    )
    return [sources[s][i] for s, i in drawn["at"][:samples]]
