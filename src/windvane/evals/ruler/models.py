"""Asking a model long questions: its prompt tokens, answer prefix included, and greedy answers written as resumable rows.

In: `Asked` questions (prompt ids, the text for servers, a row of facts about the question). Out: a finished journal of rows, each the
facts plus `prediction` and `finish`. Whatever has a tokenizer and gives a `Generator` for an answer budget can be asked (`Answerer`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from windvane.core.errors import UserError
from windvane.core.protocols import Generator
from windvane.core.records import Message, Prompt
from windvane.engines.http.budget import Estimate, priced
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling, window
from windvane.engines.open import Opened
from windvane.prompts.chat import render
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder


class Answerer(Protocol):
    """What is evaluated. `spec` names it in every row; `window()` is the most tokens it takes, None where unknown; `tell` says before
    the first call what the calls, their prompt tokens and their answers' tokens will take, where that costs."""

    spec: str

    @property
    def tokenizer(self) -> Any: ...
    def window(self) -> int | None: ...
    def generator(self, max_new_tokens: int) -> Generator: ...
    def tell(self, calls: int, prompt_tokens: int, answer_tokens: int) -> None: ...


class Models:
    """A model by its spec (a path or hub id, `local:MODEL`, `world:FAMILY`, or any other generator name), greedy. Local weights are
    loaded once for all answer budgets, and only when the first answer is asked for. A server is asked as `server` says, its answers
    journaled in `calls` as they arrive."""

    def __init__(
        self,
        spec: str,
        tokenizer: str | None = None,
        device: str = "auto",
        dtype: str = "float32",
        server: Server | None = None,
        calls: Path | None = None,
    ) -> None:
        self.spec, self.server = spec, server or Server()
        self._opened = Opened(spec, device, dtype, self.server, calls, tokenizer)
        if tokenizer is None and self._opened.local is None:
            raise UserError(f"--model {spec}: name its tokenizer with --tokenizer; lengths are counted by it")

    @property
    def tokenizer(self) -> Any:
        return self._opened.tokenizer

    def window(self) -> int | None:
        return window(self._opened.model) if self._opened.local is not None else None

    def generator(self, max_new_tokens: int) -> Generator:
        return self._opened.generator(Sampling(k=1, temperature=0.0, top_p=1.0, max_new_tokens=max_new_tokens))

    @property
    def at_once(self) -> int:
        """The least number of questions that it should be given together."""
        return self.server.concurrency if self.remote else 1

    @property
    def remote(self) -> bool:
        """Behind a server: its answers may cost, and do not depend on how many are asked at a time."""
        return self._opened.behind_server

    def tell(self, calls: int, prompt_tokens: int, answer_tokens: int) -> None:
        """One line on standard error, before a server's first call: what there is to pay for."""
        if self.remote and calls:
            estimate = Estimate(calls, priced(self.server, prompt_tokens, answer_tokens))
            print(f"windvane: {estimate.told(self.server)}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Asked:
    """`facts` become the row, under `id`. `tokens`: those of `prompt_ids`, which are made when the question is put (five hundred
    prompts of 128K tokens would be gigabytes of integers)."""

    id: str
    text: str
    prefix: str
    tokens: int
    max_new_tokens: int
    facts: dict[str, Any]


def prompt_ids(tokenizer: Any, text: str, prefix: str = "", chat: bool = True) -> tuple[int, ...]:
    """The tokens the model gets: `text` as the user's turn through the chat template, then the answer's beginning.

    The prefix is tokenised by itself, without the blank at its head where the template already ends in white space. `chat=False`:
    plain text with the tokenizer's own special tokens, for base models.
    """
    if not chat:
        return tuple(tokenizer(text + prefix)["input_ids"])
    ids = render(tokenizer, [Message("user", text)])
    if not prefix:
        return ids
    tail = tokenizer.decode(list(ids[-1:]))
    begun = prefix.lstrip() if tail[-1:].isspace() else prefix
    return ids + tuple(tokenizer(begun, add_special_tokens=False)["input_ids"])


def make_prompt(ids: tuple[int, ...], text: str, prefix: str = "") -> Prompt:
    """Token ids for a model here; for one behind a server the same as messages, the prefix as a begun assistant turn."""
    messages = (Message("user", text), Message("assistant", prefix)) if prefix else (Message("user", text),)
    return replace(Prompt.of(messages), token_ids=ids)


def ask(
    run: RunFolder, stage: str, answerer: Answerer, questions: Sequence[Asked], seed: int, batch: int, chat: bool = True
) -> None:
    """Fill `RUN/<stage>.jsonl`, a batch a unit; what was answered before is not asked again. Raises `UserError` for a question
    longer than the model's window, before any is asked."""
    if run.finished(f"{stage}.jsonl"):
        return
    limit = answerer.window()
    for q in questions:
        total = q.tokens + q.max_new_tokens
        if limit is not None and total > limit:
            raise UserError(
                f"{q.id}: takes {total} tokens with its answer, the model's window is {limit}; lower the length"
            )
    generators: dict[int, Generator] = {}

    def work(members: Sequence[Asked]) -> Iterable[dict[str, Any]]:
        budget = members[0].max_new_tokens
        if budget not in generators:
            generators[budget] = answerer.generator(budget)
        prompts = [
            make_prompt(prompt_ids(answerer.tokenizer, q.text, q.prefix, chat), q.text, q.prefix) for q in members
        ]
        answers = generators[budget].generate(prompts, [0], seed)
        for q, found in zip(members, answers):
            if not found:
                raise UserError(
                    f"question {q.id}: the server gave no answer; the same command asks again for what is missing"
                )
            response = found[0]
            yield {"id": q.id, **q.facts, "prediction": response.text, "finish": response.finish}

    units: list[tuple[str, Sequence[Asked]]] = []
    for budget in sorted({q.max_new_tokens for q in questions}):
        same = [q for q in questions if q.max_new_tokens == budget]
        units += [(f"{budget:06d}-{i // batch:06d}", same[i : i + batch]) for i in range(0, len(same), batch)]
    LocalRunner(run).run(stage, units, work)
