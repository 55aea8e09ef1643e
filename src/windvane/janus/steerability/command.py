"""`windvane eval steerability`: does an answer change the way its system message asks, and only then?

    windvane eval steerability --cases BENCH --model M --judge rubric:http://HOST:PORT/v1#JUDGE --out DIR
    windvane eval steerability --cases world:values --model world:values --judge world:values:programme --out DIR
    windvane eval steerability DIR/grades.jsonl

In: prompts with two or more system messages each (`steer_cases`), a model, a judge of grades; or the grades of a run before. Out:
DIR/answers.jsonl, DIR/grades.jsonl, DIR/result.json, and DIR/plot.svg: value asked for x value measured. What the figures are stands in
`steer_score`: the swap test and its difference at equal length, what happens without a system message, and how often two answers fit their
own messages better than each other's, with intervals over prompts, for each split of the cases.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, content_id, seed_of
from windvane.core.schema import decode, encode
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.evals.live.flags import add_live_flags, check_live
from windvane.evals.live.folder import JUDGE_CALLS, judge_server, keep
from windvane.evals.live.judge import Expected, tell, tell_expected
from windvane.evals.model_families import warnings
from windvane.evals.result_files import kept_result
from windvane.janus.bench.grade import account_of, estimate, open_rubric_judge
from windvane.janus.steerability.cases import Case, read_cases
from windvane.janus.steerability.plot import heat_maps
from windvane.janus.steerability.run import GRADED, answer_all, grade_all, missing, questions
from windvane.janus.steerability.score import Row, summarise
from windvane.judges.rubric import MAX_TOKENS
from windvane.prompts.rubric import rubric_messages
from windvane.run.store import RunFolder, read_jsonl

NAME = "steerability"
SHOWN = ("own", "swapped", "none", "own_minus_swapped", "at_equal_length", "swapped_minus_none")


@dataclass(frozen=True, slots=True)
class SteerRun:
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


def main(argv: Sequence[str]) -> int:
    """Ask and grade, or score given rows; 0 when a figure was printed."""
    options = _parser().parse_args(list(argv))
    if options.rows is not None:
        result, spent = scored(read_rows(options.rows), options.seed), None
        if options.out is not None:
            kept_result(options.out, NAME)
            with RunFolder(options.out) as run:
                keep(run, result, _plot(result, str(options.rows)))
    else:
        check_live(options, NAME, ("cases", "model", "judge", "out"))
        with RunFolder(options.out) as run:
            result, spent = evaluate(options, run)
    print(json.dumps({**result, "spent": spent}, allow_nan=False) if options.json else table(result, spent))
    return 0


def evaluate(options: argparse.Namespace, run: RunFolder) -> tuple[dict[str, Any], dict[str, float] | None]:
    """(result as in DIR/result.json, what the judge's calls took)."""
    cases = _limited(read_cases(options.cases), options.limit)
    options.name = options.name or options.model
    digest = content_id(encode(cases))
    drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch)
    settings = SteerRun(options.judge, options.model, options.name, digest, options.measure, options.limit, *drawing)
    settle(run / "eval.toml", settings)
    if not run.finished(f"{GRADED}.jsonl"):
        _expect(options, run, cases)
    answers, notes = answer_all(options, run, cases)
    asked = questions(cases, answers, options.measure)
    if not asked:
        raise UserError(
            f"{options.model}: gave no answer to any case; the first: {next(iter(missing(cases, answers)))}"
        )
    judge = None
    if not run.finished(f"{GRADED}.jsonl"):
        server = judge_server(options, run)
        judge = open_rubric_judge(options.judge, options.device, server, run / JUDGE_CALLS)
        tell("the judge", estimate(judge, asked), server)
    rows = grade_all(run, judge, asked, options.batch, options.quiet)
    lost = dict(Counter(missing(cases, answers)).most_common())
    result = {
        **scored(rows, options.seed),
        "model": options.name,
        "judge": options.judge,
        "cases_of": options.cases,
        "measure": options.measure,
        "without_answer": lost,
        "notes": [*notes, *warnings({"judge": options.judge, "model": options.name})],
    }
    keep(run, result, _plot(result, options.name))
    account = account_of(judge)
    return result, spending(argparse.Namespace(account=account)) if account is not None else None


def scored(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """The figures alone."""
    label = "grades from 1 to 5 by one judge's words: comparable with the same judge and cases alone"
    found = summarise(rows, seed)
    return {"name": NAME, "label": label, **found, "groups": [_plain(part) for part in found["splits"]], "notes": []}


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    """A split in plain numbers, for the report's table."""
    means = {name: None if part[name] is None else part[name]["mean"] for name in (*SHOWN, "swap_accuracy")}
    gap = part["own_minus_swapped"] or {"low": None, "high": None}
    ends = {"own_minus_swapped_low": gap["low"], "own_minus_swapped_high": gap["high"]}
    return {"split": part["split"], **means, **ends}


def read_rows(path: Path) -> list[Row]:
    """DIR/grades.jsonl."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the grades.jsonl of a run, or give --cases, --model and --judge")
    rows = [decode(Row, value, f"{path}: row {number}") for number, value in read_jsonl(path)]
    wrong = next((i for i, r in enumerate(rows, 1) if r.score is not None and not 1 <= r.score <= 5), None)
    if wrong is not None:
        raise UserError(
            f"{path}: row {wrong}: field 'score': {rows[wrong - 1].score}; a grade is a whole number from 1 to 5"
        )
    if not any(r.case is not None for r in rows):
        raise UserError(f"{path}: no row is of an answer under a system message; there is nothing to score")
    return rows


def _limited(cases: list[Case], limit: int | None) -> list[Case]:
    """All cases of `limit` prompts, drawn by their content."""
    if limit is None:
        return cases
    kept = set(sorted({c.prompt for c in cases}, key=lambda p: seed_of("limit", p))[:limit])
    return [c for c in cases if c.prompt in kept]


def _expect(options: argparse.Namespace, run: RunFolder, cases: Sequence[Case]) -> None:
    """What the judge may cost, told before the first answer."""
    guess = "x" * (4 * options.max_new_tokens)
    blank = {c.id: {"text": guess} for c in cases}
    blank |= {f"none-{content_id(c.prompt)}": {"text": guess} for c in cases}
    asked = [q for _, q in questions(cases, blank, options.measure)]
    calls = [
        Expected(rubric_messages(Prompt.of((Message("user", q.prompt.text),)), guess, q.rubric), MAX_TOKENS)
        for q in asked
    ]
    judge = options.judge.removeprefix("rubric:")
    tell_expected("the judge", judge, judge_server(options, run), calls, "were every answer as long as it may be")


def _plot(result: Mapping[str, Any], name: str) -> str:
    d, a = result["own_minus_swapped"], result["swap_accuracy"]
    said = "" if d is None else f"asked for minus not asked for: {d['mean']:+.2f} [{d['low']:+.2f}, {d['high']:+.2f}]"
    said += "" if a is None else f"; swap test right in {100 * a['mean']:.0f}% (chance 50%)"
    return heat_maps(result["matrices"], f"What {name} changes, by what it is asked to"[:90], said)


def table(result: Mapping[str, Any], spent: Mapping[str, float] | None) -> str:
    """A line a split."""
    head = (
        "grades 1 to 5",
        "asked",
        "swapped",
        "none",
        "asked - swapped",
        "at equal length",
        "swapped - none",
        "swap test",
    )
    widths = (18, 6, 8, 6, 22, 22, 22, 20)
    lines = ["".join(f"{h:>{w}}" if i else f"{h:{w}}" for i, (h, w) in enumerate(zip(head, widths)))]
    for part in [*result["splits"], {"split": "all", **result}]:
        cells = [_told(part[name], name.startswith(("own_", "at_", "swapped_"))) for name in SHOWN]
        accuracy = part["swap_accuracy"]
        right = (
            "-"
            if accuracy is None
            else "{:.0f}% [{:.0f}, {:.0f}]".format(*(100 * accuracy[k] for k in ("mean", "low", "high")))
        )
        row = [part["split"][:17], *cells, right]
        lines.append("".join(f"{c:>{w}}" if i else f"{c:{w}}" for i, (c, w) in enumerate(zip(row, widths))))
    lines.append(
        f"{result['cases']} system messages on {result['prompts']} prompts, {result['grades']} grades; 95% intervals over prompts"
    )
    if result["unreadable"]:
        why = ", ".join(f"{n} {reason}" for reason, n in result["reasons"].items())
        lines.append(f"{result['unreadable']} of {result['grades']} grades could not be read: {why}")
    if result["values_without_a_swap"]:
        lines.append(
            f"{result['values_without_a_swap']} values that every other message of their prompt asks for too: not swapped"
        )
    if result.get("without_answer"):
        lines.append("without an answer: " + ", ".join(f"{n} {why}" for why, n in result["without_answer"].items()))
    lines += [f"note: {note}" for note in result["notes"]]
    if spent is not None:
        lines.append(f"{spent['calls']:.0f} calls, {spent['cost']:.4f} in money")
    return "\n".join(lines)


def _told(found: Mapping[str, Any] | None, gap: bool) -> str:
    if found is None:
        return "-"
    return f"{found['mean']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]" if gap else f"{found['mean']:.2f}"


def _parser() -> Parser:
    parser = Parser(
        f"windvane eval {NAME}", description="Does an answer change the way its system message asks, and only then?"
    )
    add = parser.add_argument
    add(
        "rows", nargs="?", type=Path, metavar="FILE", help="grades.jsonl of a run, to be scored again; nothing is asked"
    )
    add(
        "--cases",
        metavar="FILE",
        help="Multifaceted-Bench's layout, perhaps with values, split, targets; or world:values[:N[:SEED]]",
    )
    add("--model", metavar="M", help="the model to ask: a folder, a hub id or a backend's name")
    add("--name", metavar="NAME", help="what the model is called (its spec)")
    add(
        "--measure",
        choices=("prompt", "all"),
        default="prompt",
        help="grade an answer by the values of its own prompt's messages, or by every value there is (prompt)",
    )
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print one JSON object")
    add_live_flags(parser, several=False, temperature=1.0, top_p=0.9, max_new_tokens=1024)
    return parser
