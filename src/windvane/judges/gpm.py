"""A general preference model as a judge: P(a beats b) = sigmoid(s(a, b) / temperature), cycles and all (arXiv 2410.02197).

In: pairwise questions. Out: probabilities. Each answer is embedded once, K passes for K answers instead of one for each of K(K-1) ordered
pairs, and the answers of one prompt are the branches of one tree, so the prompt is computed once too. P(a beats b) + P(b beats a) = 1
by construction. A chat longer than the model's window is refused by its id, never cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message
from windvane.models.load import load_tokenizer
from windvane.models.preference_model import PreferenceModel, chat_tree, open_gpm
from windvane.models.trees.hidden_states import Pooler
from windvane.models.trees.tree import Tree

BATCH_TOKENS = 8192  # tree tokens in one forward

Chat = tuple[Message, ...]


def open_judge(spec: str, device: str, dtype: str) -> GeneralPreferenceJudge:
    """`gpm:MODEL`: a folder written by `windvane train reward --kind gpm`."""
    return GeneralPreferenceJudge(open_gpm(spec, dtype, device), load_tokenizer(spec), spec)


class GeneralPreferenceJudge:
    """`reasons`: for each question of the last call without an answer, why."""

    def __init__(self, model: PreferenceModel, tokenizer: Any, name: str = "general preference model") -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.reasons: dict[str, str] = {}
        if not tokenizer.chat_template:
            raise UserError(f"gpm:{name}: its tokenizer has no chat template; add the one it was trained with")
        self.pooler = Pooler(model.decoder)

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        """One probability a question; None where an embedding is not finite."""
        self.reasons = {}
        answers: dict[Chat, dict[str, str]] = {}  # prompt -> answer's text -> its prompt's id, for messages
        for q in questions:
            for response in (q.first, q.second):
                answers.setdefault(q.prompt.messages, {}).setdefault(response.text, q.prompt.id)
        vectors, scales = self._embedded(answers)
        found: list[float | None] = []
        for q in questions:
            a, b = (vectors[q.prompt.messages, r.text] for r in (q.first, q.second))
            logit = self.model.head.compare(a, b, scales[q.prompt.messages]) / self.model.head.shape.temperature
            if torch.isfinite(logit):
                found.append(float(torch.sigmoid(logit)))
            else:
                self.reasons[q.key] = f"gpm:{self.name} gave a score that is not finite for {q.key}"
                found.append(None)
        return found

    @torch.no_grad()
    def _embedded(
        self, answers: dict[Chat, dict[str, str]]
    ) -> tuple[dict[tuple[Chat, str], Tensor], dict[Chat, Tensor | None]]:
        """Each answer's embedding, and each prompt's scales, float64 on the CPU."""
        trees = []
        for messages, ids in answers.items():
            name = f"gpm:{self.name}: prompt {next(iter(ids.values()))}"
            trees.append((messages, list(ids), chat_tree(self.model, self.tokenizer, messages, list(ids), name)))
        vectors, scales = {}, {}
        for part in _parts(trees):
            embedded = self.model.embed(self.pooler, [tree for _, _, tree in part])
            for (messages, texts, _), (rows, scale) in zip(part, embedded):
                scales[messages] = None if scale is None else scale.double().cpu()
                vectors.update({(messages, t): v for t, v in zip(texts, rows.double().cpu())})
        return vectors, scales


def _parts(trees: list[tuple[Chat, list[str], Tree]]) -> Iterator[list[tuple[Chat, list[str], Tree]]]:
    held: list[tuple[Chat, list[str], Tree]] = []
    tokens = 0
    for item in trees:
        if held and tokens + item[2].tokens > BATCH_TOKENS:
            yield held
            held, tokens = [], 0
        held.append(item)
        tokens += item[2].tokens
    if held:
        yield held
