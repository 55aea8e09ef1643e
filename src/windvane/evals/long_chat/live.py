"""Long-chat with live models and a rubric judge: each question with its document, each response graded, or given responses graded.

In: the options of `windvane eval long-chat`. Out: DIR/answers/MODEL.jsonl, DIR/grades/MODEL.jsonl, DIR/grades.jsonl, DIR/result.json,
DIR/plot.svg. A question whose response is missing is a row with that reason; a grade that cannot be read is kept and counted, never scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Message, Prompt, content_id
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.flags import check_live
from windvane.evals.live.judge import rubric_question
from windvane.evals.live.model import Request, Rows, names_of, slug
from windvane.evals.long_chat.files import LongQuestion, read_questions, read_responses
from windvane.evals.long_chat.score import label_of, plot, summarise, table
from windvane.runs.store import file_sha256, write_jsonl

LAYOUT = "{document}\n\n{question}"
RUBRIC = """How well does the answer meet the question, held against the reference answer as the truth about the document?
1: it misses the question, is empty, or contradicts the reference throughout.
2: it touches the question, but most of what it says is wrong or absent from the reference.
3: it has a part of the reference right, with errors or gaps that matter.
4: it has what matters of the reference right, with small gaps or slips.
5: it is complete and right in everything that the reference says, and clear.
Length and style count for nothing."""


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """A file of responses, by its SHA-256; it must be the same when the command is given again."""

    model: str
    answers: str


@dataclass(frozen=True, slots=True)
class LongChatSettings:
    """What must be the same when the command is given again. Models may be added: each has settings of its own."""

    evaluation: str
    judge: str
    questions: str  # SHA-256, as of the rubric
    rubric: str
    with_document: bool
    limit: int | None
    batch: int


def long_chat(options: argparse.Namespace) -> Evaluation:
    """The evaluation that `options` describe. Raises `UserError` for what is missing or does not go together."""
    check_live(options, "long-chat", ("questions", "judge"))
    if not options.model and not options.answers:
        raise UserError("eval long-chat: --model M ... or --answers FILE ... is needed too")
    kind, _, backend = options.judge.partition(":")
    if kind != "rubric" or not backend:  # before hours of responses
        raise UserError(f"--judge {options.judge}: gives no grades; take rubric:BACKEND")
    questions, left_out = read_questions(options.questions, options.with_document, options.limit)
    rubric = RUBRIC if options.rubric is None else options.rubric.read_text(encoding="utf-8").strip()
    if not rubric:
        raise UserError(f"{options.rubric}: is empty; write what deserves 1 to 5")
    given: dict[str, list[Rows]] = {}
    given_settings: dict[str, GivenSettings] = {}
    models = names_of(options)
    for path in options.answers or ():
        name, rows = read_responses(path, questions)
        if slug(name) in {slug(n) for n in (*given, *models)}:
            raise UserError(f"{path}: answers of {name}, which stands there already; give each model a name of its own")
        given[name], given_settings[name] = [rows], GivenSettings(name, file_sha256(path))
    names = [*models, *given]

    def judged(responses: Responses) -> dict[str, list[RubricQuestion]]:
        return {
            _stage(name): [
                _question(name, q, text, rubric, options.with_document)
                for q in questions
                if (text := responses[name][0][q.id]["text"]) is not None
            ]
            for name in names
        }

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        rows = []
        for name in names:
            responses, verdicts = collected.responses[name][0], collected.verdicts[_stage(name)]
            rows += [_row(name, options.judge, q, responses[q.id], verdicts.get(f"{name}-{q.id}")) for q in questions]
        write_jsonl(collected.run / "grades.jsonl", rows)
        summary = summarise(rows, options.seed)
        result = {"name": "long-chat", "label": label_of(options.judge), "judge": options.judge, **summary}
        return result | {"questions": len(questions), "left_out": left_out}, plot(summary)

    settings = (options.with_document, options.limit, options.batch)
    return Evaluation(
        name="long-chat",
        settings=LongChatSettings(
            "long-chat", options.judge, file_sha256(options.questions), content_id(rubric), *settings
        ),
        requests=lambda _: [Request(q.id, (Message("user", _request(q, True)),)) for q in questions],
        questions=judged,
        figures=figures,
        table=table,
        stage="answers/{model}",
        given=given,
        given_settings=given_settings,
        rows="grades.jsonl",
    )


def _request(q: LongQuestion, with_document: bool) -> str:
    return LAYOUT.format(document=q.document, question=q.question) if with_document else q.question


def _question(name: str, q: LongQuestion, text: str, rubric: str, with_document: bool) -> RubricQuestion:
    prompt = Prompt.of((Message("user", _request(q, with_document)),))
    return rubric_question(f"{name}-{q.id}", prompt, text, rubric, q.reference)


def _row(
    name: str, judge: str, q: LongQuestion, response: Mapping[str, Any], verdict: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A question graded, or with the reason why not."""
    grade = verdict or {"score": None, "feedback": "", "reason": response["reason"] or "no answer"}
    row = {"question_id": q.id, "model": name, "judge": judge, "document": content_id(q.document)}
    row |= {"tokens": response["tokens"], "finish": response["finish"]}
    return row | {k: grade[k] for k in ("score", "feedback", "reason")}


def _stage(name: str) -> str:
    return f"grades/{slug(name)}"
