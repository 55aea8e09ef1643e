"""What the calls cost: tokens and money, estimated before the first call, held back before each, counted after it.

In: calls and what the server says it used. Out: a running `Account` that never lets a call start whose worst case would pass the budget.
The worst case of a prompt is a token a byte; what was held back and not used is given back. An attempt that broke off after it was sent may
have been billed: it counts at its worst case, apart from what is known (`lost`). A server that reports no usage is counted the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.engines.http.server import Server

MESSAGE_TOKENS = 16  # what a chat template may put around a turn


class Costly(Protocol):
    """What costs: a prompt and at most `max_tokens` of answer."""

    @property
    def messages(self) -> tuple[Message, ...]: ...
    @property
    def max_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that is going to be made; where its texts are not known yet they are guesses."""

    messages: tuple[Message, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, and money by the server's prices."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        prompt, completion = (
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )
        return Usage(prompt, completion, self.cost + other.cost)

    def __sub__(self, other: Usage) -> Usage:
        return self + Usage(-other.prompt_tokens, -other.completion_tokens, -other.cost)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def priced(server: Server, prompt_tokens: int, completion_tokens: int) -> Usage:
    cost = (prompt_tokens * server.price_in + completion_tokens * server.price_out) / 1e6
    return Usage(prompt_tokens, completion_tokens, cost)


def worst_case(server: Server, call: Costly) -> Usage:
    """No tokenizer makes more tokens than there are bytes; the answer is bounded by `max_tokens`."""
    prompt = sum(len(m.content.encode()) + MESSAGE_TOKENS for m in call.messages)
    return priced(server, prompt, call.max_tokens)


@dataclass(frozen=True, slots=True)
class Estimate:
    """`likely` takes four bytes a token and full-length answers: about right for English prompts, high for short answers."""

    calls: int
    likely: Usage

    def told(self, server: Server) -> str:
        money = f", {self.likely.cost:.2f} in money" if server.price_in or server.price_out else ""
        used = self.likely
        return f"{self.calls} calls, about {used.prompt_tokens} prompt tokens, at most {used.completion_tokens} of answers{money}"


def estimate(server: Server, calls: Iterable[Costly]) -> Estimate:
    """One after another: all calls of a run at once, with their texts, would be gigabytes."""
    count = prompt = answers = 0
    for call in calls:
        count += 1
        prompt += sum(len(m.content.encode()) // 4 + 4 for m in call.messages)
        answers += call.max_tokens
    return Estimate(count, priced(server, prompt, answers))


class BudgetSpent(UserError):
    """The next call could pass the budget. Everything answered so far is kept."""


@dataclass(frozen=True, slots=True)
class Counts:
    """`answered` by the server, `reused` from the journal, `attempts` sent, `failed` rows given up, `lost` attempts maybe billed."""

    answered: int = 0
    reused: int = 0
    attempts: int = 0
    failed: int = 0
    lost: int = 0
    unreported: int = 0  # answers whose server named no usage


class Account:
    """Shared by the threads of one endpoint. `spent` is known, `lost` may have been billed, both count against the budget."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.spent, self.lost, self.counts = Usage(), Usage(), Counts()
        self._held, self._out = Usage(), 0
        self._change = threading.Condition()

    def hold(self, call: Costly) -> Usage:
        """Set the worst case of one attempt aside; waits for running calls to give back before it refuses with `BudgetSpent`."""
        need = worst_case(self.server, call)
        with self._change:
            while not self._fits(need):
                if self._out == 0:
                    raise BudgetSpent(self._refusal(need))
                self._change.wait()
            self._held, self._out = self._held + need, self._out + 1
            self.counts = replace(self.counts, attempts=self.counts.attempts + 1)
        return need

    def settle(self, held: Usage, used: Usage = Usage(), lost: bool = False) -> None:
        """Give `held` back and count what was `used`."""
        with self._change:
            self._held, self._out = self._held - held, self._out - 1
            self._add(used, lost)
            self._change.notify_all()

    def count(self, **more: int) -> None:
        with self._change:
            self.counts = replace(self.counts, **{k: getattr(self.counts, k) + n for k, n in more.items()})

    def carry(self, used: Usage, lost: bool) -> None:
        """What an earlier process of the same run had used."""
        with self._change:
            self._add(used, lost)

    def _add(self, used: Usage, lost: bool) -> None:
        if lost:
            self.lost = self.lost + used
            self.counts = replace(self.counts, lost=self.counts.lost + 1)
        else:
            self.spent = self.spent + used

    def _fits(self, need: Usage) -> bool:
        total, s = self.spent + self.lost + self._held + need, self.server
        return (s.budget is None or total.cost <= s.budget + 1e-12) and (
            s.token_budget is None or total.tokens <= s.token_budget
        )

    def _refusal(self, need: Usage) -> str:
        gone, s = self.spent + self.lost, self.server
        limits = [f"{s.budget} in money"] if s.budget is not None else []
        limits += [f"{s.token_budget} tokens"] if s.token_budget is not None else []
        return (
            f"{self.name}: the budget of {' and '.join(limits)} does not hold one more call (spent {gone.tokens} tokens, "
            f"{gone.cost:.4f} in money; the call could take {need.tokens}, {need.cost:.4f}); what is answered is kept: raise the "
            "budget and give the same command"
        )
