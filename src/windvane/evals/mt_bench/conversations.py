"""MT-Bench with live models: two turns each, graded turn by turn or compared in pairs.

    windvane eval mt-bench --model M ... --questions FILE --judge llm:BACKEND --out DIR [--references FILE] [--pairwise]

In: FastChat's question file; its reference answers for math, reasoning and coding, where there are any. Out: DIR/answers/MODEL.jsonl and
DIR/judgements.jsonl (or pairs.jsonl) in FastChat's layout, which `windvane eval mt-bench DIR/judgements.jsonl` (or `eval arena-hard
DIR/pairs.jsonl`) scores again; DIR/result.json, DIR/plot.svg.

As published the second turn is asked with the model's own first answer in the conversation, temperatures go by category, and a turn
is graded with everything before it. Departures: our own wording and strict reading (evals/mt_bench/prompt.py), so figures are this judge's
own; an answer or a grade that is missing has score -1, its reason, and a place in the counts. A second turn whose first answer is
missing is not asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.core.settings import settle
from windvane.engines.local import Sampling
from windvane.evals.chat_questions import ChatQuestion, Questions, answer_row, read_answers, read_questions
from windvane.evals.live.folder import ModelRun, slug
from windvane.evals.live.model import Candidate, Wanted, run_answers
from windvane.run.store import RunFolder, file_sha256, read_jsonl, write_jsonl

# FastChat's llm_judge/common.py: temperature_config, NEED_REF_CATS; other categories at 0.7
TEMPERATURES = {
    "writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0, "stem": 0.1,
    "humanities": 0.1,
}  # fmt: skip
REFERENCED = frozenset({"math", "reasoning", "coding"})


Turns = dict[str, list[str | None]]  # question id -> the model's answers, None where there is none
Reasons = dict[tuple[str, int], str]  # (question id, turn) -> why


def prepared(options: argparse.Namespace) -> Questions:
    """The questions, with references from a file of their own where it is named; none for other categories than the published."""
    found = read_questions(options.questions, 2, options.limit)
    extra = read_answers(options.references)[1] if options.references else {}
    rows = []
    for q in found.rows:
        references = extra.get(q.id, q.references)[:2] if q.category in REFERENCED else ()
        rows.append(replace(q, references=references if len(references) == 2 else ()))
    bare = [q.written for q in rows if q.category in REFERENCED and not q.references]
    notes = found.notes
    if bare:
        notes = (
            *notes,
            f"{len(bare)} question(s) of math, reasoning or coding judged without a correct answer, where the published ones "
            f"show both turns' (the first: question {bare[0]}); --references FILE gives them",
        )
    return Questions(tuple(rows), found.left_out, notes)


def answer_all(
    options: argparse.Namespace, run: RunFolder, models: Sequence[Candidate], questions: Sequence[ChatQuestion]
) -> dict[str, tuple[Turns, Reasons]]:
    """Both turns of every model: name -> (answers, reasons). Writes DIR/answers/MODEL.jsonl in FastChat's layout."""
    found = {}
    for model in models:
        place = f"answers/{slug(model.name)}"
        drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.dtype)
        settle(run / f"{place}.toml", ModelRun(model.spec, model.name, *drawing))
        turns: Turns = {q.id: [] for q in questions}
        reasons: Reasons = {}
        for turn in (1, 2):
            asked = [q for q in questions if len(turns[q.id]) == turn - 1 and None not in turns[q.id]]
            told = _turn(options, run, model, f"{place}.turn-{turn}", asked, turns)
            for q in asked:
                turns[q.id].append(told[q.id]["text"])
                if told[q.id]["text"] is None:
                    reasons[q.id, turn] = told[q.id]["reason"]
        for q in questions:
            if len(turns[q.id]) < 2:
                turns[q.id].append(None)
                reasons[q.id, 2] = "the first turn has no answer"
        rows = (answer_row(q, model.name, [t for t in turns[q.id] if t is not None]) for q in questions)
        write_jsonl(run / f"{place}.jsonl", rows)
        model.close()
        found[model.name] = (turns, reasons)
    return found


def _turn(
    options: argparse.Namespace,
    run: RunFolder,
    model: Candidate,
    stage: str,
    asked: Sequence[ChatQuestion],
    turns: Turns,
) -> dict[str, dict[str, Any]]:
    if not run.finished(f"{stage}.jsonl"):
        by_heat: dict[float, list[Wanted]] = {}
        for q in asked:
            heat = TEMPERATURES.get(q.category, 0.7) if options.temperature is None else options.temperature
            by_heat.setdefault(heat, []).append(Wanted(q.id, conversation(q, turns[q.id])))
        groups = [
            (Sampling(1, heat, options.top_p, options.max_new_tokens), wanted)
            for heat, wanted in sorted(by_heat.items())
        ]
        run_answers(run, stage, model, groups, options.seed, options.batch, options.quiet)
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}


def conversation(question: ChatQuestion, answers: Sequence[str | None]) -> tuple[Message, ...]:
    """The chat up to the user's next turn, the answers so far in it."""
    found = []
    for turn, answer in enumerate(answers):
        assert answer is not None, "a conversation goes on only where it was answered"
        found += [Message("user", question.turns[turn]), Message("assistant", answer)]
    return (*found, Message("user", question.turns[len(answers)]))


def files_of(options: argparse.Namespace) -> dict[str, str]:
    """SHA-256 of each file that decides what is asked."""
    named = {"questions": options.questions, "references": options.references}
    return {role: file_sha256(path) for role, path in named.items() if path is not None}


def given_answers(path: Any, questions: Sequence[ChatQuestion]) -> tuple[str, tuple[Turns, Reasons]]:
    """(name, answers) of a model whose answers stand in a file."""
    name, table, _ = read_answers(path)
    turns: Turns = {}
    reasons: Reasons = {}
    for q in questions:
        told = table.get(q.id, ())
        turns[q.id] = [told[i] if i < len(told) else None for i in range(2)]
        reasons |= {(q.id, i + 1): f"no answer in {path.name}" for i in range(2) if turns[q.id][i] is None}
    if not any(t is not None for both in turns.values() for t in both):
        raise UserError(f"{path}: answers none of the questions; its question_ids are others")
    return name, (turns, reasons)
