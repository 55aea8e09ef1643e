"""Preference pairs -> training examples (a pair is one tree with two branches), held out by prompt, mixed from several sources.

In: pairs, the model and tokenizer that say what their tokens are. Out: `PreferenceExample`s. Which prompts are held out is a function of
(seed, prompt id): a prompt that is in two files is on one side. A mixture draws rows of each source with its probability, going
through a source in its order and beginning again where it ends, until every source was gone through once (or `samples` are drawn):
`datasets.interleave_datasets` with "all_exhausted", as the scripts behind Janus' reward model (arXiv 2405.17977) use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from datasets import Dataset, interleave_datasets

from windvane.core.errors import UserError
from windvane.core.records import held_out_keys
from windvane.datasets.preference_pairs import PreferencePair
from windvane.models.preference_model import PreferenceModel, chat_tree
from windvane.models.trees.tree import Tree

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PreferenceExample:
    """Row 0 of `tree` is the chosen answer's, row 1 the rejected one's (row 2 the prompt's where a gate reads it)."""

    id: str
    prompt_id: str
    tree: Tree
    probability: float
    margin: float

    @property
    def tokens(self) -> int:
        """Tokens of the tree, the prompt once."""
        return self.tree.tokens


def preference_example(model: PreferenceModel, tokenizer: Any, pair: PreferencePair) -> PreferenceExample:
    """Raises `UserError` naming the row where the template refuses it, it is too long, or its answers are the same tokens."""
    tree = chat_tree(model, tokenizer, pair.prompt.messages, (pair.chosen, pair.rejected), pair.place)
    if tree.leaves[0] == tree.leaves[1]:
        raise UserError(
            f"{pair.place}: field 'rejected': the same tokens as chosen through the chat template; remove the row"
        )
    return PreferenceExample(pair.place, pair.prompt.id, tree, pair.probability, pair.margin)


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
