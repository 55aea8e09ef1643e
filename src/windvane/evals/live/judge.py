"""Judging as resumable stages: a judge of pairs asked in given orders, or a language model whose words are kept.

In: questions (or chats) with stable keys. Out: RUN/<stage>.jsonl with a row a question: `id` and `p` (or `text`), or None and the `reason`.
What can be read neither way is kept and counted, never scored. Also what the judging is going to cost, and one budget over everything
that a run pays for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.core.protocols import PairJudge, Question
from windvane.core.records import Message, Prompt, Response, content_id
from windvane.engines.http.budget import Account, Estimate, Usage, estimate
from windvane.engines.http.calls import Calls
from windvane.engines.http.server import Server
from windvane.engines.names import SERVERS
from windvane.judges.llm import MAX_TOKENS
from windvane.judges.questions import Ask, Asker, ServerAsker, open_asker
from windvane.prompts.pairwise import pairwise_messages
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder

LANGUAGE_MODELS = ("llm", "rubric")


def language_model(spec: str) -> str | None:
    """The backend of a judge that writes text (`llm:B`, `rubric:B`, a server's address); None for every other judge."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return spec
    return rest if kind in LANGUAGE_MODELS and rest else None


def behind_server(spec: str) -> bool:
    """Whether each of the judge's words is a call."""
    return (language_model(spec) or "").partition(":")[0] in SERVERS


class TextJudge:
    """A language model asked for text, with the names that estimates and spending go by."""

    def __init__(self, asker: Asker, max_tokens: int) -> None:
        self.asker, self.max_tokens = asker, max_tokens

    def estimate(self, asks: Sequence[Ask]) -> Estimate | None:
        return self.asker.estimate(asks, self.max_tokens) if isinstance(self.asker, ServerAsker) else None

    @property
    def account(self) -> Account | None:
        return self.asker.endpoint.account if isinstance(self.asker, ServerAsker) else None


def open_text_judge(backend: str, device: str, max_tokens: int, server: Server, calls: Path) -> TextJudge:
    """`backend` as `language_model` gives it."""
    return TextJudge(open_asker(backend, device, "float32", max_tokens, server, calls), max_tokens)


def question(key: str, request: str, first: str, second: str) -> Question:
    """A pairwise question about one request; `first` is shown first."""
    prompt = Prompt.of((Message("user", request),))
    sides = [
        Response(f"{prompt.id}-{content_id(t)}", prompt.id, i, t, (), "stop") for i, t in enumerate((first, second))
    ]
    return Question(key, prompt, sides[0], sides[1])


def run_pairs(
    run: RunFolder, stage: str, judge: PairJudge | None, asked: Sequence[Question], batch: int, quiet: bool
) -> None:
    """`p`: P(the answer shown first wins). `judge` may be None where the stage is finished."""

    def work(part: Sequence[Question]) -> Iterable[dict[str, Any]]:
        assert judge is not None, "an unfinished stage needs its judge"
        told = judge.judge(part)
        reasons = getattr(judge, "reasons", {})
        for q, p in zip(part, told, strict=True):
            yield {"id": q.key, "p": p, "reason": None if p is not None else reasons.get(q.key, "no usable answer")}

    HereRunner(run, quiet).run(stage, _units(asked, batch), work)


def run_texts(
    run: RunFolder, stage: str, judge: TextJudge | None, asked: Sequence[Ask], batch: int, quiet: bool
) -> None:
    """`text`: what the judge wrote."""

    def work(part: Sequence[Ask]) -> Iterable[dict[str, Any]]:
        assert judge is not None, "an unfinished stage needs its judge"
        told = judge.asker.ask(part, judge.max_tokens)
        for ask, answer in zip(part, told, strict=True):
            yield {"id": ask.key, "text": answer.text, "reason": answer.reason}

    HereRunner(run, quiet).run(stage, _units(asked, batch), work)


def _units(asked: Sequence[Any], batch: int) -> list[tuple[str, Sequence[Any]]]:
    """Batches named by their members too: another batch size, or another question, is another unit."""
    parts = [asked[i : i + batch] for i in range(0, len(asked), batch)]
    return [(f"{n:06d}-{content_id([a.key for a in part])}", part) for n, part in enumerate(parts)]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that will be made, its material guessed where it is not there yet."""

    messages: tuple[Message, ...]
    max_tokens: int


def expected_pair(request: str, first: str, second: str, tokens: int = MAX_TOKENS) -> Expected:
    return Expected(pairwise_messages(Prompt.of((Message("user", request),)), first, second), tokens)


def tell_expected(who: str, spec: str, server: Server, calls: Sequence[Expected], guess: str) -> None:
    """One line on standard error before anything is asked, where each word is paid for."""
    if behind_server(spec) and calls:
        print(f"windvane: {who}: {estimate(server, calls).told(server)} ({guess})", file=sys.stderr)


def tell(who: str, found: Estimate | None, server: Server) -> None:
    """The same once what is asked is known; calls kept from before are not in it."""
    if found is not None:
        print(f"windvane: {who}: {found.told(server)}", file=sys.stderr)


def spent_in(calls: Path) -> Usage:
    """What the journal of calls at `calls` says was spent, what may have been billed included."""
    total = Usage()
    if calls.with_suffix(".journal").exists():
        journal = Calls(calls)
        for used, _ in journal.used:
            total = total + used
        journal.close()
    return total


def within(server: Server, others: Iterable[Path]) -> Server:
    """`server` with what the other journals of the run spent taken off its budgets: one budget for the model and the judge."""
    gone = Usage()
    for path in others:
        gone = gone + spent_in(path)
    money = None if server.budget is None else max(0.0, server.budget - gone.cost)
    tokens = None if server.token_budget is None else max(0, server.token_budget - gone.tokens)
    return replace(server, budget=money, token_budget=tokens)
