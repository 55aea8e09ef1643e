"""Steerability, asked and graded: every system message and none at all to each prompt, every answer by the values of all of them.

In: cases, a model, a `RubricJudge`, the run folder. Out: DIR/answers.jsonl (a row a case, and one a prompt without a system message),
DIR/graded.jsonl (what the judge said), DIR/grades.jsonl (one `Row` a grade: what anyone can score again). Killed, it goes on.

An answer is graded by the values of all system messages of its prompt and split, or of every value of all cases (`measure` "all", so that
the heat map has no empty cells: grades = answers x values). The judge reads the prompt without the system message, and no reference
answer: one would fit one of the messages alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windvane.core.protocols import RubricJudge, RubricQuestion
from windvane.core.records import Message, Prompt, Response, content_id
from windvane.core.schema import encode
from windvane.engines.local import Sampling
from windvane.evals.live.folder import candidates
from windvane.evals.live.judge import Expected, tell_expected
from windvane.evals.live.model import Wanted, run_answers
from windvane.janus.bench.grade import run_questions
from windvane.janus.steerability.cases import Case, by_prompt
from windvane.janus.steerability.score import Row
from windvane.models.load import load_tokenizer
from windvane.prompts.chat import merged
from windvane.prompts.system_role import system_mode
from windvane.run.store import RunFolder, read_jsonl, write_jsonl

ANSWERS, GRADED, ROWS = "answers", "graded", "grades.jsonl"


def bare_id(prompt: str) -> str:
    """The answer to a prompt without a system message."""
    return f"none-{content_id(prompt)}"


def answer_all(options: argparse.Namespace, run: RunFolder, cases: Sequence[Case]) -> tuple[dict[str, Any], list[str]]:
    """(answer's row by its id, what there is to say of the template)."""
    model = candidates(options, run, [options.model])[0]
    mode, note = ("template", None) if model.local is None else system_mode(load_tokenizer(model.local))
    if not run.finished(f"{ANSWERS}.jsonl"):
        wanted = [Wanted(c.id, _chat(c, mode)) for c in cases]
        wanted += [Wanted(bare_id(p), (Message("user", p),)) for p in dict.fromkeys(c.prompt for c in cases)]
        if model.server is not None:
            calls = [Expected(w.messages, options.max_new_tokens) for w in wanted]
            tell_expected(model.name, model.spec, model.server, calls, "calls kept from before included")
        sampling = Sampling(1, options.temperature, options.top_p, options.max_new_tokens)
        run_answers(run, ANSWERS, model, [(sampling, wanted)], options.seed, options.batch, options.quiet)
        model.close()
    rows = {row["id"]: row for _, row in read_jsonl(run / f"{ANSWERS}.jsonl")}
    return rows, [note] if note is not None else []


def _chat(case: Case, mode: Any) -> tuple[Message, ...]:
    chat = (Message("system", case.system), Message("user", case.prompt))
    return tuple(merged(chat)) if mode == "merge" else chat


def questions(
    cases: Sequence[Case], answers: Mapping[str, Mapping[str, Any]], measure: str
) -> list[tuple[Row, RubricQuestion]]:
    """Every answer that is there x every value it is measured by; the `Row` waits for its grade."""
    every = {name: text for case in cases for name, text in case.rubrics.items()}
    found: dict[str, tuple[Row, RubricQuestion]] = {}
    for (prompt, _), group in by_prompt(cases).items():
        measured = every if measure == "all" else {n: t for case in group for n, t in case.rubrics.items()}
        for case in (*group, None):
            id = bare_id(prompt) if case is None else case.id
            text = answers[id]["text"] or ""
            if not text.strip():
                continue
            for name, rubric in measured.items():
                key = f"{id}-{content_id(name)}"
                if key not in found:
                    found[key] = _one(key, prompt, case, name, rubric, text)
    return list(found.values())


def _one(key: str, prompt: str, case: Case | None, name: str, rubric: str, text: str) -> tuple[Row, RubricQuestion]:
    asked = Prompt.of((Message("user", prompt),))
    response = Response(f"{asked.id}-{content_id(text)}", asked.id, 0, text, (), "stop")
    split, values, targets = ("", (), ()) if case is None else (case.split, tuple(case.rubrics), case.targets)
    row = Row(
        asked.id, split, None if case is None else case.id, values, name, name in targets, None, len(text.split())
    )
    return row, RubricQuestion(key, asked, response, rubric)


def grade_all(
    run: RunFolder, judge: RubricJudge | None, asked: Sequence[tuple[Row, RubricQuestion]], batch: int, quiet: bool
) -> list[Row]:
    """Every row with its grade, kept in DIR/grades.jsonl; `judge` may be None where all grades stand."""
    told = run_questions(run, GRADED, judge, [q for _, q in asked], batch, quiet)
    rows = []
    for row, q in asked:
        fields = encode(row) | {"score": told[q.key]["score"], "reason": told[q.key]["reason"]}
        rows.append(Row(**{**fields, "asked": tuple(fields["asked"])}))
    write_jsonl(run / ROWS, rows)
    return rows


def missing(cases: Sequence[Case], answers: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """Why each answer that is not there is not."""
    for id in [*(c.id for c in cases), *dict.fromkeys(bare_id(c.prompt) for c in cases)]:
        if not (answers[id]["text"] or "").strip():
            yield (answers[id]["reason"] or "empty answer").partition(": ")[0]
