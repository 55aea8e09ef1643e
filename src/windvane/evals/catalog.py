"""`windvane eval list`: what there is to evaluate with, what each needs and whether it runs without a network.

Offline means: with the files at hand, and models and judges that run here. A model or judge behind a server needs that server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from windvane.core.arguments import Parser

# name: (what it measures, what it needs, runs offline)
EVALUATIONS = {
    "alpaca": (
        "AlpacaEval 2.0 win rate, length-controlled win rate; a bridge to another judge (--rejudge)",
        "annotations (difficulty and gamed files for LC); or a model or its outputs, instructions, a baseline's outputs, a judge",
        True,
    ),
    "arena-hard": (
        "Bradley-Terry ratings and win rates with intervals, paired differences",
        "judgements of two games a question; or models, questions, the baseline's answers, a judge",
        True,
    ),
    "mt-bench": (
        "two-turn grades, by category; or pairs of models compared",
        "judgements; or models, questions (with references for math, reasoning, coding), a judge",
        True,
    ),
    "judge": (
        "a judge itself: accuracy, order flips, cycles, ties, null answers, length slope",
        "a judge; a preference file",
        True,
    ),
    "intransitivity": (
        "what no scalar score explains of a judge, beyond its noise",
        "a run, or pairwise verdicts",
        True,
    ),
    "length": ("win rate at equal length, by regression", "a run folder, or annotations", True),
    "ruler": ("13 long-context tasks and key chains, effective length", "a model, or given answers", True),
    "infinitebench": (
        "12 tasks beyond 100K tokens",
        "predictions; or a model and, for six tasks, the published files",
        True,
    ),
    "long-chat": (
        "answers about long documents, graded 1 to 5",
        "grades; or questions with documents, a model or answers, a rubric judge",
        True,
    ),
    "perplexity": ("nats a token of held-out documents; two models in pairs", "a model; documents", True),
    "multifaceted": (
        "grades by each user's own rubrics; human votes",
        "a bench file; a model or answers; a rubric judge",
        True,
    ),
    "steerability": (
        "does an answer change as its system message asks, and only then: swap test, value asked x value measured",
        "prompts with two or more system messages and their rubrics; a model; a rubric judge",
        True,
    ),
    "toxicity": (
        "expected maximum toxicity and toxicity probability of 25 answers (RealToxicityPrompts), distinct n-grams",
        "prompts and a model, or answers; any classifier",
        True,
    ),
    "helpfulness": (
        "AlpacaEval, MT-Bench and Arena-Hard of a finished run, in one command",
        "a run; a judge that is a language model; the benchmarks' files",
        True,
    ),
    "cefr": (
        "bands of speaking transcripts against reference bands; models asked for them",
        "predictions and references; or transcripts with bands and models",
        True,
    ),
    "cefr-levels": (
        "levels of words and sentences: told, and written to order",
        "a model; words or sentences with levels",
        True,
    ),
    "cefr-baseline": ("the weight-free scorer, cross-validated", "transcripts with scores, windvane[eval]", True),
    "harness": (
        "the papers' short-context suites, through lm-evaluation-harness",
        "models or a run, and pip install 'windvane[harness]'; data sets from the hub (task files here with --include do without)",
        False,
    ),
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
