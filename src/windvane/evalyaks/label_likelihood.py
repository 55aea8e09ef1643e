"""The probability of each of a closed set of answers, teacher-forced, in one forward: scoring that is valid by construction.

In: a model in this process, a rendered prompt, answer texts (every valid JSON object of bands, say). Out: each answer's log-probability
(nats, summed over its tokens, no closing token), so that the best one, or the distribution over all, can be taken. Prompt and answers are
one tree: the prompt is computed once, what answers share is computed once. An answer's ids are the tokenizer's of its text by itself,
which is how training makes them; no special token is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from windvane.engines.local import window
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree


def answer_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Ids of an answer that follows a rendered prompt."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


class ClosedAnswers:
    """`model` may be a `PeftModel` whose active adapter changes between calls."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.scorer = Scorer(model)
        self._ids: dict[str, tuple[int, ...]] = {}

    @torch.no_grad()
    def logps(self, prompt_ids: Sequence[int], answers: Sequence[str]) -> np.ndarray | str:
        """[answers] log-probabilities, or why there are none (one line)."""
        rows = [(*prompt_ids, *self._answer(a)) for a in answers]
        limit, longest = window(self.model), max(map(len, rows))
        if limit is not None and longest > limit:
            return f"{len(prompt_ids)} tokens and the answer's {longest - len(prompt_ids)} exceed the model's window of {limit}"
        start = len(prompt_ids)
        tree = Tree.of_rows([(row, start) for row in rows])
        values = self.scorer.logps([tree])[0]
        found = [tree.tail(values, leaf, len(row) - start).double().sum() for leaf, row in zip(tree.leaves, rows)]
        return torch.stack(found).cpu().numpy()

    def _answer(self, text: str) -> tuple[int, ...]:
        if text not in self._ids:
            self._ids[text] = answer_ids(self.tokenizer, text)
        return self._ids[text]


def distribution(logps: np.ndarray) -> np.ndarray:
    """Probabilities among the answers alone: they sum to 1."""
    shifted = np.exp(logps - logps.max())
    return shifted / shifted.sum()
