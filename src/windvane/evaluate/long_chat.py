"""Long answers graded by a rubric, in the manner of LongBench-Chat: open questions on long documents, real or one's own.

    windvane eval long-chat --model M ... --questions FILE --judge rubric:BACKEND --out DIR [--rubric FILE] [--with-document]
    windvane eval long-chat --answers FILE ... --questions FILE --judge rubric:BACKEND --out DIR       given answers graded
    windvane eval long-chat DIR/grades.jsonl                                                           given grades summed up

In: questions, answers or grades (long_chat_files.py says which fields). Out: DIR/answers/MODEL.jsonl, DIR/grades.jsonl (score, feedback,
or the reason why there is none), DIR/result.json, DIR/plot.svg; killed, the same command goes on.

As there, the model reads the whole document and answers greedily, and the judge sees the question, the reference answer and the answer,
not the document (a row without a reference is left out and counted, unless `--with-document` shows the judge all of it). Departures: the
grade is the rubric judge's, 1 to 5, with our own rubric and words and no scored examples (published: GPT-4, 1 to 10, with examples), so
figures are this judge's own. A prompt that does not fit the model's window is a row with that reason, never cut; what cannot be read of a
judge is kept and counted, never scored.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.backends.local import Sampling
from windvane.backends.names import resolve_rubric_judge
from windvane.backends.server_flags import spending
from windvane.errors import UserError
from windvane.evaluate.interval_plot import Point, interval_plot
from windvane.evaluate.intervals import paired_difference
from windvane.evaluate.live_flags import add_live_flags, check_live
from windvane.evaluate.live_judge import Expected, tell_expected
from windvane.evaluate.live_model import Candidate, Wanted, run_answers
from windvane.evaluate.live_run import JUDGE_CALLS, candidates, judge_server, keep, slug
from windvane.evaluate.long_chat_files import LongQuestion, read_answers, read_grades, read_questions
from windvane.evaluate.mt_bench_run import ModelRun, write_lines
from windvane.evaluate.result_files import keep_result
from windvane.evaluate.score_interval import interval
from windvane.prompts.rubric import rubric_messages
from windvane.protocols import RubricQuestion
from windvane.records import Message, Prompt, Response, content_id
from windvane.runners.here import HereRunner
from windvane.settings import settle
from windvane.store import RunFolder, file_sha256, read_jsonl

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

    size = options.batch
    parts = [asked[i : i + size] for i in range(0, len(asked), size)]
    units = [(f"{n:06d}-{content_id([a.key for a in part])}", part) for n, part in enumerate(parts)]
    HereRunner(run, options.quiet).run(_stage(name), units, work)
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


def summarise(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Mean grade (1 to 5) of each model with a 95% interval over documents, the grades counted, what has none by reason; every two
    models, the later one minus the earlier, on the questions that both have a grade for."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    models, graded = [], {}
    for name in names:
        own = [row for row in rows if row["model"] == name]
        graded[name] = {r["question_id"]: r for r in own if r["score"] is not None}
        reasons = Counter(" ".join(str(r["reason"]).split())[:80] for r in own if r["score"] is None)
        entry: dict[str, Any] = {
            "model": name,
            "asked": len(own),
            "graded": len(graded[name]),
            "ungraded": dict(reasons.most_common()),
            "cut": sum(r["finish"] == "length" for r in own),
            "scores": {str(s): sum(r["score"] == s for r in own) for s in range(1, 6)},
        }
        if graded[name]:
            scores = list(graded[name].values())
            m = interval([(r["score"] - 1) / 4 for r in scores], [r["document"] for r in scores])  # of shares
            entry |= {
                "average": 1 + 4 * m.mean,
                "low": 1 + 4 * m.low,
                "high": 1 + 4 * m.high,
                "standard_error": None if m.standard_error is None else 4 * m.standard_error,
                "documents": m.clusters,
            }
        models.append(entry)
    comparisons = []
    for second, first in combinations(names, 2):
        both = [i for i in graded[first] if i in graded[second]]
        if both:
            gap = paired_difference(
                [graded[first][i]["score"] for i in both],
                [graded[second][i]["score"] for i in both],
                [graded[first][i]["document"] for i in both],
                seed,
            )
            found = {k: getattr(gap, k) for k in ("mean", "standard_error", "low", "high", "mde", "n", "clusters")}
            comparisons.append({"first": first, "second": second, **found})
    return {"models": models, "comparisons": comparisons}


def table(result: Mapping[str, Any]) -> str:
    lines = [f"{'model':40} {'grade, 1-5':>24} {'graded':>10} {'cut':>5}"]
    for m in result["models"]:
        told = f"{m['average']:.2f} [{m['low']:.2f}, {m['high']:.2f}]" if "average" in m else "-"
        lines.append(f"{m['model'][:40]:40} {told:>24} {m['graded']:>4} of {m['asked']:<3} {m['cut']:>4}")
        lines += [f"  {n} without a grade: {why}" for why, n in m["ungraded"].items()]
    for c in result["comparisons"]:
        seen = "" if c["mde"] is None else f"; under {c['mde']:.2f} would probably go unseen"
        lines.append(
            f"{c['first']} - {c['second']}: {c['mean']:+.2f} [{c['low']:+.2f}, {c['high']:+.2f}] on {c['n']} questions{seen}"
        )
    left = ", ".join(f"{n} {why}" for why, n in result["left_out"].items()) or "none"
    return "\n".join([result["label"], *lines, f"rows left out: {left}"])


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
        write_lines(run, "grades.jsonl", rows)
        found = summarise(rows, options.seed)
        label = (
            f"Long documents, graded 1 to 5 by {options.judge}; not comparable with LongBench-Chat's published scores"
        )
        result = {"name": "long-chat", "label": label, "judge": options.judge, **found}
        result |= {"questions": len(questions), "left_out": left_out}
        keep(run, result, _plot(found))
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


def _plot(found: Mapping[str, Any]) -> str:
    points = [Point(m["model"][-30:], m.get("average"), m.get("low"), m.get("high")) for m in found["models"]]
    return interval_plot(points, "Long documents", "grade, 95% intervals over documents", (1, 5))


def _again(options: argparse.Namespace) -> int:
    """Given grades summed up."""
    if options.model or options.answers or options.judge or options.questions:
        raise UserError(
            f"{options.grades}: given grades are summed up as they are; leave models, questions and judge out"
        )
    rows, left_out = read_grades(options.grades)
    judges = sorted({str(r["judge"]) for r in rows if r.get("judge")})
    if len(judges) > 1:
        raise UserError(f"{options.grades}: grades of {len(judges)} judges: {', '.join(judges[:3])}; a file a judge")
    found, judge = summarise(rows, options.seed), judges[0] if judges else None
    label = f"Long documents, graded 1 to 5 by {judge or 'an unnamed judge'}; not comparable with LongBench-Chat's published scores"
    result = {"name": "long-chat", "label": label, "judge": judge, **found, "left_out": left_out}
    if options.out:
        keep_result(options.out, result, _plot(found))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def main(argv: Sequence[str]) -> int:
    """Ask, grade, print; or sum given grades up."""
    options = _parser().parse_args(list(argv))
    if options.grades is not None:
        return _again(options)
    result, spent = run_live(options)
    if options.json:
        print(json.dumps({**result, "out": str(options.out), "spent": spent}, allow_nan=False))
    else:
        print(f"{table(result)}\nrows: {options.out}/grades.jsonl")
    return 0


def _parser() -> Parser:
    parser = Parser("windvane eval long-chat", description="Long answers graded by a rubric, 1 to 5")
    add = parser.add_argument
    add("grades", nargs="?", type=Path, metavar="GRADES.jsonl", help="grades to sum up: question_id, model, score")
    add("--answers", nargs="+", type=Path, metavar="FILE", help="grade given answers, a file a model: id and text")
    add("--questions", type=Path, metavar="FILE", help="JSON or JSON lines: document, question, reference")
    add("--rubric", type=Path, metavar="FILE", help="a rubric of your own, 1 to 5 (ours: against the reference)")
    add("--with-document", action="store_true", help="the judge reads the document too; rows need no reference then")
    add("--seed", type=int, default=0, help="of the answers where they are sampled, and of the resampling")
    add("--json", action="store_true", help="print one JSON object")
    add_live_flags(parser, several=True, temperature=0.0, top_p=1.0, max_new_tokens=1024)
    return parser
