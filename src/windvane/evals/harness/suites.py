"""The short-context suites of the papers' tables: lm-evaluation-harness tasks with the papers' shots and metrics.

open-llm-v1: the Open LLM Leaderboard, first version, which SPPO's table 3 reports (lm-eval 0.4.1; the leaderboard's own shots).
longpo-short: LongPO's retention table (arXiv 2502.13922, section 4): MMLU 5, ARC-C 25, HellaSwag 10, Winogrande 5 shots.
Both are run without a chat template, as published.
"""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Task:
    """`name` as lm-evaluation-harness knows it, `shots`, and `metric`: its name and filter there ("acc_norm,none")."""

    name: str
    shots: int | None  # None: what the task's own file says
    metric: str
    title: str


_ARC = Task("arc_challenge", 25, "acc_norm,none", "ARC-C")
_HELLASWAG = Task("hellaswag", 10, "acc_norm,none", "HellaSwag")
_MMLU = Task("mmlu", 5, "acc,none", "MMLU")
_WINOGRANDE = Task("winogrande", 5, "acc,none", "Winogrande")

SUITES: dict[str, tuple[Task, ...]] = {
    "open-llm-v1": (
        _ARC,
        Task("truthfulqa_mc2", 0, "acc,none", "TruthfulQA"),
        _WINOGRANDE,
        Task("gsm8k", 5, "exact_match,strict-match", "GSM8k"),
        _HELLASWAG,
        _MMLU,
    ),
    "longpo-short": (_MMLU, _ARC, _HELLASWAG, _WINOGRANDE),
}


def parse_task(text: str) -> Task:
    """`NAME`, `NAME:SHOTS` or `NAME:SHOTS:METRIC` from the command line."""
    name, *rest = text.split(":")
    if not name or len(rest) > 2:
        raise UserError(f"--task {text}: give NAME, NAME:SHOTS or NAME:SHOTS:METRIC")
    shots = None
    if rest and rest[0]:
        if not rest[0].isdecimal():
            raise UserError(f"--task {text}: shots are a whole number, not {rest[0]!r}")
        shots = int(rest[0])
    metric = rest[1] if len(rest) == 2 else "acc,none"
    return Task(name, shots, metric if "," in metric else f"{metric},none", name)
