"""Long-chat with live models and a rubric judge: each question with its document, each answer graded, or given answers graded.

In: the options of `windvane eval long-chat`. Out: DIR/answers/MODEL.jsonl, DIR/grades/MODEL.jsonl, DIR/grades.jsonl, DIR/result.json,
DIR/plot.svg; killed, the same command goes on. A question whose answer is missing is a row with that reason; what cannot be read of a
judge is kept and counted, never scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Message, Prompt, Response, content_id, units
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.engines.names import resolve_rubric_judge
from windvane.evals.live.flags import check_live
from windvane.evals.live.folder import JUDGE_CALLS, ModelRun, candidates, judge_server, keep, slug
from windvane.evals.live.judge import Expected, tell_expected
from windvane.evals.live.model import Candidate, Wanted, run_answers
from windvane.evals.long_chat.files import LongQuestion, read_answers, read_questions
from windvane.evals.long_chat.score import label_of, plot, summarise
from windvane.prompts.rubric import rubric_messages
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder, file_sha256, read_jsonl, write_jsonl

LAYOUT = "{document}\n\n{question}"
RUBRIC = """How well does the answer meet the question, held against the reference answer as the truth about the document?
1: it misses the question, is empty, or contradicts the reference throughout.
2: it touches the question, but most of what it says is wrong or absent from the reference.
3: it has a part of the reference right, with errors or gaps that matter.
4: it has what matters of the reference right, with small gaps or slips.
5: it is complete and right in everything that the reference says, and clear.
Length and style count for nothing."""


@dataclass(frozen=True, slots=True)
class GivenAnswers:
    """A file of answers, by its SHA-256; it must be the same when the command is given again."""

    model: str
    answers: str


@dataclass(frozen=True, slots=True)
class LongChatRun:
    """What must be the same when the command is given again. Models may be added: each has settings of its own."""

    evaluation: str
    judge: str
    questions: str  # SHA-256, as of the rubric
    rubric: str
    with_document: bool
    limit: int | None
    batch: int


def wanted(q: LongQuestion) -> Wanted:
    return Wanted(q.id, (Message("user", LAYOUT.format(document=q.document, question=q.question)),))


def asked_of(q: LongQuestion, with_document: bool) -> Prompt:
    """The request as the judge reads it."""
    text = LAYOUT.format(document=q.document, question=q.question) if with_document else q.question
    return Prompt.of((Message("user", text),))


def answer(
    options: argparse.Namespace, run: RunFolder, model: Candidate, questions: Sequence[LongQuestion]
) -> dict[str, dict[str, Any]]:
    """id -> the model's row; kept as DIR/answers/MODEL.jsonl."""
    stage = f"answers/{slug(model.name)}"
    drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.dtype)
    settle(run / f"{stage}.toml", ModelRun(model.spec, model.name, *drawing))
    if not run.finished(f"{stage}.jsonl"):
        sampling = Sampling(1, options.temperature, options.top_p, options.max_new_tokens)
        group = (sampling, [wanted(q) for q in questions])
        run_answers(run, stage, model, [group], options.seed, options.batch, options.quiet)
        model.close()
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}


def grade(
    options: argparse.Namespace,
    run: RunFolder,
    name: str,
    judge: Any,
    questions: Sequence[LongQuestion],
    answers: Mapping[str, Mapping[str, Any]],
    rubric: str,
) -> list[dict[str, Any]]:
    """A row a question, graded or with the reason why not. `judge` may be None where the stage is finished."""
    asked = []
    for q in questions:
        text = answers[q.id]["text"]
        if text is not None:
            prompt = asked_of(q, options.with_document)
            response = Response(f"{q.id}-0", prompt.id, 0, text, (), "stop")
            asked.append(RubricQuestion(f"{name}-{q.id}", prompt, response, rubric, q.reference))

    def work(part: Sequence[RubricQuestion]) -> Iterable[dict[str, Any]]:
        assert judge is not None, "an unfinished stage needs its judge"
        for g in judge.grade(part):
            yield {"id": g.key, "score": g.score, "feedback": g.feedback, "reason": g.reason}

    HereRunner(run, options.quiet).run(_stage(name), units(asked, options.batch, "key"), work)
    told = {row["id"]: row for _, row in read_jsonl(run / f"{_stage(name)}.jsonl")}
    rows = []
    for q in questions:
        said = answers[q.id]
        word = told.get(f"{name}-{q.id}", {"score": None, "feedback": "", "reason": said["reason"] or "no answer"})
        row = {"question_id": q.id, "model": name, "judge": options.judge, "document": content_id(q.document)}
        row |= {"tokens": said["tokens"], "finish": said["finish"]}
        rows.append(row | {k: word[k] for k in ("score", "feedback", "reason")})
    return rows


def _stage(name: str) -> str:
    return f"grades/{slug(name)}"


def _expect(
    options: argparse.Namespace,
    run: RunFolder,
    models: Sequence[Candidate],
    questions: Sequence[LongQuestion],
    rubric: str,
    given: Sequence[str],
) -> None:
    """What it may cost, where a server is paid, before anything is asked."""
    guess, note = "x" * (4 * options.max_new_tokens), f"were every answer {options.max_new_tokens} tokens long"
    calls: list[Expected] = []
    for model in models:
        if model.server is not None and not run.finished(f"answers/{slug(model.name)}.jsonl"):
            chats = [Expected(wanted(q).messages, options.max_new_tokens) for q in questions]
            tell_expected(model.name, model.spec, model.server, chats, note)
    for name in [*(m.name for m in models), *given]:
        if not run.finished(f"{_stage(name)}.jsonl"):
            for q in questions:
                chat = rubric_messages(asked_of(q, options.with_document), guess, rubric, q.reference)
                calls.append(Expected(chat, 512))
    tell_expected("the judge", options.judge, judge_server(options, run), calls, note)


def run_live(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(result, what the judge's server took)."""
    check_live(options, "long-chat", ("questions", "judge"))
    if not options.model and not options.answers:
        raise UserError("eval long-chat: --model M ... or --answers FILE ... is needed too")
    kind, _, backend = options.judge.partition(":")
    if kind != "rubric" or not backend:  # before hours of answers
        raise UserError(f"--judge {options.judge}: gives no grades; take rubric:BACKEND")
    questions, left_out = read_questions(options.questions, options.with_document, options.limit)
    rubric = RUBRIC if options.rubric is None else options.rubric.read_text(encoding="utf-8").strip()
    if not rubric:
        raise UserError(f"{options.rubric}: is empty; write what deserves 1 to 5")
    with RunFolder(options.out) as run:
        given = (options.with_document, options.limit, options.batch)
        settle(
            run / "eval.toml",
            LongChatRun("long-chat", options.judge, file_sha256(options.questions), content_id(rubric), *given),
        )
        models = candidates(options, run, options.model) if options.model else []
        answers = _given(options, run, [m.name for m in models], questions)
        _expect(options, run, models, questions, rubric, list(answers))
        answers = {m.name: answer(options, run, m, questions) for m in models} | answers
        judge: Any = None
        if not all(run.finished(f"{_stage(name)}.jsonl") for name in answers):
            server = judge_server(options, run)
            judge = resolve_rubric_judge(options.judge, options.device, server=server, calls=run / JUDGE_CALLS)
        rows = [r for name in answers for r in grade(options, run, name, judge, questions, answers[name], rubric)]
        write_jsonl(run / "grades.jsonl", rows)
        found = summarise(rows, options.seed)
        result = {"name": "long-chat", "label": label_of(options.judge), "judge": options.judge, **found}
        result |= {"questions": len(questions), "left_out": left_out}
        keep(run, result, plot(found))
    return result, spending(getattr(getattr(judge, "asker", None), "endpoint", None))


def _given(
    options: argparse.Namespace, run: RunFolder, asked: Sequence[str], questions: Sequence[LongQuestion]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Model -> question id -> its given row."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in options.answers or ():
        name, rows = read_answers(path, questions)
        if name in found or slug(name) in {slug(n) for n in (*found, *asked)}:
            raise UserError(f"{path}: answers of {name}, which stands there already; give each model a name of its own")
        settle(run / f"answers/{slug(name)}.toml", GivenAnswers(name, file_sha256(path)))
        found[name] = rows
    return found
