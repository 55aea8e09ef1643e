"""What a live evaluation may spend: one budget over the models and the judge, and an estimate before the first call.

In: the options of `windvane.evals.live.flags`, the run folder with the journals of calls made so far. Out: `Server` settings whose budget
is what is left, and lines on standard error that say what the calls are going to take.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from windvane.core.errors import UserError
from windvane.engines.http.budget import Costly, Estimate, Usage, estimate
from windvane.engines.http.calls import Calls
from windvane.engines.http.flags import HELP
from windvane.engines.http.server import Server
from windvane.runs.store import RunFolder

JUDGE_CALLS = "judge_calls.jsonl"


def judge_server(options: argparse.Namespace, run: RunFolder) -> Server:
    """The judge's settings; its budget is what the models of this run have left."""
    calls = sorted(run.path.glob("answers/*.calls.journal"))
    return within(priced(options, "price_in", "price_out"), [c.with_suffix(".jsonl") for c in calls])


def model_server(options: argparse.Namespace, others: Iterable[Path]) -> Server:
    """A model's settings; its budget is what `others`, the journals of the judge and of the other models, have left."""
    return within(priced(options, "model_price_in", "model_price_out"), others)


def priced(options: argparse.Namespace, price_in: str, price_out: str) -> Server:
    """The server settings at the prices that these flags name. A budget in money applies to what has a price.

    Raises `UserError` if there is a budget in money and nothing has a price."""
    flags = ("price_in", "price_out", "model_price_in", "model_price_out")
    if options.budget is not None and not any(getattr(options, flag) for flag in flags):
        raise UserError(
            f"--budget {options.budget}: in money, so give --price-in and --price-out (for a million tokens) too"
        )
    values = {name: getattr(options, name) for name in HELP}
    values |= {"price_in": getattr(options, price_in), "price_out": getattr(options, price_out)}
    return Server(**values | ({} if values["price_in"] or values["price_out"] else {"budget": None}))


def within(server: Server, others: Iterable[Path]) -> Server:
    """`server` with its budgets reduced by what the journals of calls `others` have spent."""
    spent = Usage()
    for path in others:
        spent = spent + spent_in(path)
    money = None if server.budget is None else max(0.0, server.budget - spent.cost)
    tokens = None if server.token_budget is None else max(0, server.token_budget - spent.tokens)
    return replace(server, budget=money, token_budget=tokens)


def spent_in(calls: Path) -> Usage:
    """What the journal of calls at `calls` has spent, including what may have been billed."""
    total = Usage()
    if calls.with_suffix(".journal").exists():
        journal = Calls(calls)
        for used, _ in journal.used:
            total = total + used
        journal.close()
    return total


def announce(who: str, server: Server, calls: Iterable[Costly], assumption: str) -> None:
    """Print the estimate for `calls`, whose texts are partly guesses; `assumption` says how they were guessed."""
    expected = estimate(server, calls)
    if expected.calls:
        print(f"windvane: {who}: {expected.told(server)} ({assumption})", file=sys.stderr)


def announce_estimate(who: str, expected: Estimate | None, server: Server) -> None:
    """Print an estimate of known calls, from which those already in the journal are left out."""
    if expected is not None:
        print(f"windvane: {who}: {expected.told(server)}", file=sys.stderr)
