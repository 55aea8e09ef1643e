"""`windvane eval list`: what there is to evaluate with, what each needs and whether it runs without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence

from windvane.arguments import Parser

# name: (what it measures, what it needs, runs offline)
EVALUATIONS = {
    "alpaca": (
        "AlpacaEval 2.0 win rate, length-controlled win rate",
        "annotations; difficulty and gamed files for LC",
        True,
    ),
    "arena-hard": ("Bradley-Terry ratings with intervals", "pairwise judgements of two games a question", True),
    "mt-bench": ("two-turn scores", "single-answer judgements", True),
    "judge": (
        "a judge itself: accuracy, order flips, cycles, ties, null answers, length slope",
        "a judge; a preference file",
        True,
    ),
    "length": ("win rate at equal length, by regression", "a run folder, or annotations", True),
    "ruler": ("13 long-context tasks and key chains, effective length", "a model, or given answers", True),
    "infinitebench": ("12 tasks beyond 100K tokens", "predictions, or a model and the published task files", True),
}


def main(argv: Sequence[str]) -> int:
    """Print the table, or with --json one object."""
    parser = Parser("windvane eval list", description="What can be evaluated.")
    parser.add_argument("--json", action="store_true")
    if parser.parse_args(list(argv)).json:
        keys = ("measures", "needs", "offline")
        print(json.dumps({name: dict(zip(keys, row)) for name, row in EVALUATIONS.items()}))
        return 0
    for name, (measures, needs, offline) in EVALUATIONS.items():
        print(f"{name:14} {measures}\n{'':14} needs {needs}; {'offline' if offline else 'needs a network'}")
    return 0
