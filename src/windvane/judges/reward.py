"""A reward model as a judge: P(a beats b) = sigmoid(r_a - r_b), the Bradley-Terry model that such models are trained with.

In: pairwise questions. Out: probabilities. Any `AutoModelForSequenceClassification` with one label; the chat, answer included, is rendered
through the reward model's own template. Each answer is scored once a call; rows are batched by length and padded right, which changes no
score beyond rounding. A chat longer than the model's window is refused by its id, never cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Prompt, Response
from windvane.models.generate.decode import micro_batches
from windvane.models.load import load_sequence_classifier, load_tokenizer
from windvane.prompts.chat import answered
from windvane.prompts.system_role import seated

BATCH_TOKENS = 8192  # padded tokens in one forward


def open_judge(spec: str, device: str, dtype: str) -> RewardJudge:
    """`reward:MODEL`: a folder or a hub id."""
    return RewardJudge(load_sequence_classifier(spec, dtype, device), load_tokenizer(spec), spec)


class RewardJudge:
    """`reasons`: for each question of the last call without an answer, why."""

    def __init__(self, model: Any, tokenizer: Any, name: str = "reward model") -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.reasons: dict[str, str] = {}
        if model.config.num_labels != 1:
            raise UserError(
                f"reward:{name}: has {model.config.num_labels} labels; a reward model gives one number (num_labels = 1)"
            )
        if not tokenizer.chat_template:
            raise UserError(
                f"reward:{name}: its tokenizer has no chat template; add the one it was trained with (chat_template.jinja)"
            )
        self.limit = _limit(model, tokenizer)

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        """sigmoid of the difference of rewards; None where a reward is not finite."""
        self.reasons = {}
        answers = {_key(q.prompt, r): (q.prompt, r) for q in questions for r in (q.first, q.second)}
        rewards = dict(zip(answers, self.rewards(list(answers.values()))))
        return [self._answer(q, rewards[_key(q.prompt, q.first)], rewards[_key(q.prompt, q.second)]) for q in questions]

    @torch.no_grad()
    def rewards(self, answers: Sequence[tuple[Prompt, Response]]) -> list[float]:
        """One scalar an answer, in the model's own unit (logits)."""
        rows = [self._render(prompt, response) for prompt, response in answers]
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        found = [math.nan] * len(rows)
        for part in micro_batches([len(rows[i]) for i in order], BATCH_TOKENS):
            taken = [order[i] for i in part]
            for i, reward in zip(taken, self._forward([rows[i] for i in taken])):
                found[i] = reward
        return found

    def _forward(self, rows: list[list[int]]) -> list[float]:
        # A decoder reads the score at the last token that is not the padding id, so padding must be an id that its config names; one
        # without such an id reads the last column, and is given an id that ends none of these rows.
        config = self.model.config
        named = config.pad_token_id
        pad = named if named is not None else min(set(range(len(rows) + 1)) - {row[-1] for row in rows})
        device = self.model.device
        ids = pad_sequence([torch.tensor(row, device=device) for row in rows], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
        config.pad_token_id = pad
        try:
            return self.model(input_ids=ids, attention_mask=mask).logits[:, 0].double().tolist()
        finally:
            config.pad_token_id = named

    def _render(self, prompt: Prompt, response: Response) -> list[int]:
        try:
            ids = list(answered(self.tokenizer, seated(self.tokenizer, prompt.messages), response.text))
        except UserError as error:
            raise UserError(f"reward:{self.name}: prompt {prompt.id}: {error}") from None
        if self.limit is not None and len(ids) > self.limit:
            raise UserError(
                f"reward:{self.name}: prompt {prompt.id}, answer {response.id}: {len(ids)} tokens exceed its window of "
                f"{self.limit}; take shorter prompts or answers, or another reward model"
            )
        return ids

    def _answer(self, question: Question, first: float, second: float) -> float | None:
        if not (math.isfinite(first) and math.isfinite(second)):
            self.reasons[question.key] = f"reward:{self.name} gave {first} and {second} for {question.key}"
            return None
        return float(torch.sigmoid(torch.tensor(first - second, dtype=torch.float64)))


def _key(prompt: Prompt, response: Response) -> tuple[Any, str]:
    return prompt.messages, response.text


def _limit(model: Any, tokenizer: Any) -> int | None:
    """The smaller of what the config and the tokenizer name (encoders with offset positions hold less than their config says)."""
    text = model.config.get_text_config()
    named = [getattr(text, "max_position_embeddings", None), tokenizer.model_max_length]
    limits = [int(n) for n in named if n is not None and 0 < n < 2**31]
    return min(limits, default=None)
