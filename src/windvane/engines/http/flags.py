"""The settings of a server as flags of a verb: `--concurrency`, `--budget` and the rest, each a field of `Server`.

In: an argparse parser; later its options. Out: a `Server`. Also the two lines that a verb tells about a judge that costs: what the calls
are going to take, before the first one, and what they took.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from windvane.core.protocols import Question
from windvane.engines.http.server import Server

HELP = {
    "concurrency": "calls under way at a time",
    "retries": "further attempts before a row is given up",
    "read_seconds": "the longest silence of the server",
    "price_in": "money for a million prompt tokens",
    "price_out": "money for a million tokens of answers",
    "budget": "the most money that may be spent, over all resumes",
    "token_budget": "the most tokens, prompts and answers together",
}
JUDGE_TOKENS = "what a language model may write for a verdict: thousands where it thinks aloud before its label (16)"


def add_server_flags(
    parser: argparse.ArgumentParser, title: str = "a judge behind a server", pairs: bool = False
) -> None:
    """`pairs`: the verb judges pairs, by a language model perhaps."""
    if pairs:
        parser.add_argument("--judge-tokens", type=int, default=Server().judge_tokens, metavar="N", help=JUDGE_TOKENS)
    group = parser.add_argument_group(title)
    kinds = {"concurrency": int, "retries": int, "token_budget": int}
    for field in dataclasses.fields(Server):
        if field.name in HELP:
            flag, kind = f"--{field.name.replace('_', '-')}", kinds.get(field.name, float)
            shown = "none" if field.default is None else field.default
            group.add_argument(
                flag, type=kind, default=field.default, metavar="N", help=f"{HELP[field.name]} ({shown})"
            )


def server_of(options: argparse.Namespace) -> Server:
    more = {"judge_tokens": options.judge_tokens} if hasattr(options, "judge_tokens") else {}
    return Server(**{name: getattr(options, name) for name in HELP}, **more)


def tell_estimate(judge: Any, questions: Sequence[Question], server: Server) -> None:
    """One line on standard error where the judge is a server's model."""
    found = judge.estimate(questions) if questions and hasattr(judge, "estimate") else None
    if found is not None:
        print(f"windvane: {found.told(server)}", file=sys.stderr)


def spending(judge: Any) -> dict[str, float] | None:
    """What the judge's calls took, over all resumes whose calls were kept; None where the judge is no server's model."""
    account = getattr(judge, "account", None)
    if account is None:
        return None
    return {
        "calls": account.counts.answered + account.counts.reused,
        "prompt_tokens": account.spent.prompt_tokens,
        "completion_tokens": account.spent.completion_tokens,
        "cost": account.spent.cost,
        "perhaps_also_tokens": account.lost.tokens,
        "perhaps_also_cost": account.lost.cost,
    }
