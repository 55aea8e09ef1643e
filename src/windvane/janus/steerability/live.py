"""Steerability with a live model: every system message and none at all to each prompt, every response by the values of all of them.

In: the options of `windvane eval steerability`. Out: DIR/answers.jsonl (a row a case, and one a prompt without a system message),
DIR/graded.jsonl (what the judge gave), DIR/grades.jsonl (one `Row` a grade, which anyone can score again), DIR/result.json, DIR/plot.svg.

A response is graded by the values of all system messages of its prompt and split, or by every value of all cases (`measure` "all", so that
the heat map has no empty cells: grades = responses x values). The judge reads the prompt without the system message, and no reference
answer: one would fit one of the messages alone.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Message, Prompt, content_id, seed_of
from windvane.core.schema import encode
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.judge import rubric_question
from windvane.evals.live.model import Request, Rows
from windvane.evals.model_families import warnings
from windvane.janus.steerability.cases import Case, by_prompt, read_cases
from windvane.janus.steerability.score import NAME, Row, result_of
from windvane.janus.steerability.table import plot, table
from windvane.runs.store import write_jsonl

GRADED, ROWS = "graded", "grades.jsonl"


@dataclass(frozen=True, slots=True)
class SteerabilitySettings:
    """What must be the same when the command is given again. `cases` by their content."""

    judge: str
    model: str
    name: str
    cases: str
    measure: str
    limit: int | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    batch: int


def steerability(options: argparse.Namespace) -> Evaluation:
    """The evaluation that checked `options` describe."""
    cases = _limited(read_cases(options.cases), options.limit)
    options.name = options.name or options.model

    def questions(responses: Responses) -> dict[str, list[RubricQuestion]]:
        (rows,) = responses[options.name]
        asked = [q for _, q in pending(cases, rows, options.measure)]
        if not asked:
            raise UserError(
                f"{options.model}: gave no answer to any case; the first: {next(iter(missing(cases, rows)))}"
            )
        return {GRADED: asked}

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        (responses,), verdicts = collected.responses[options.name], collected.verdicts[GRADED]
        rows = [
            replace(row, score=verdicts[q.key]["score"], reason=verdicts[q.key]["reason"])
            for row, q in pending(cases, responses, options.measure)
        ]
        write_jsonl(collected.run / ROWS, rows)
        result = {
            **result_of(rows, options.seed),
            "model": options.name,
            "judge": options.judge,
            "cases_of": options.cases,
            "measure": options.measure,
            "without_answer": dict(Counter(missing(cases, responses)).most_common()),
            "notes": [*collected.notes, *warnings({"judge": options.judge, "model": options.name})],
        }
        return result, plot(result, options.name)

    drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch)
    digest = content_id(encode(cases))
    return Evaluation(
        name=NAME,
        settings=SteerabilitySettings(
            options.judge, options.model, options.name, digest, options.measure, options.limit, *drawing
        ),
        requests=lambda _: _requests(cases),
        questions=questions,
        figures=figures,
        table=table,
    )


def _limited(cases: list[Case], limit: int | None) -> list[Case]:
    """All cases of `limit` prompts, drawn by their content."""
    if limit is None:
        return cases
    kept = set(sorted({c.prompt for c in cases}, key=lambda p: seed_of("limit", p))[:limit])
    return [c for c in cases if c.prompt in kept]


def bare_id(prompt: str) -> str:
    """The response to a prompt without a system message."""
    return f"none-{content_id(prompt)}"


def _requests(cases: Sequence[Case]) -> list[Request]:
    """Every case, and every prompt without a system message."""
    requests = [Request(c.id, (Message("system", c.system), Message("user", c.prompt))) for c in cases]
    return requests + [Request(bare_id(p), (Message("user", p),)) for p in dict.fromkeys(c.prompt for c in cases)]


def pending(cases: Sequence[Case], responses: Rows, measure: str) -> list[tuple[Row, RubricQuestion]]:
    """Every response x every value it is measured by; the `Row` is still without its grade."""
    every = {name: text for case in cases for name, text in case.rubrics.items()}
    questions: dict[str, tuple[Row, RubricQuestion]] = {}
    for (prompt, _), group in by_prompt(cases).items():
        measured = every if measure == "all" else {n: t for case in group for n, t in case.rubrics.items()}
        for case in (*group, None):
            id = bare_id(prompt) if case is None else case.id
            text = responses[id]["text"] or ""
            if not text.strip():
                continue
            for name, rubric in measured.items():
                key = f"{id}-{content_id(name)}"
                if key not in questions:
                    questions[key] = _one(key, prompt, case, name, rubric, text)
    return list(questions.values())


def _one(key: str, prompt: str, case: Case | None, name: str, rubric: str, text: str) -> tuple[Row, RubricQuestion]:
    request = Prompt.of((Message("user", prompt),))
    split, values, targets = ("", (), ()) if case is None else (case.split, tuple(case.rubrics), case.targets)
    row = Row(
        request.id, split, None if case is None else case.id, values, name, name in targets, None, len(text.split())
    )
    return row, rubric_question(key, request, text, rubric)


def missing(cases: Sequence[Case], responses: Rows) -> Iterable[str]:
    """Why each missing response is missing."""
    for id in [*(c.id for c in cases), *dict.fromkeys(bare_id(c.prompt) for c in cases)]:
        if not (responses[id]["text"] or "").strip():
            yield (responses[id]["reason"] or "empty answer").partition(": ")[0]
