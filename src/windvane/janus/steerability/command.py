"""`windvane eval steerability`: does an answer change the way its system message asks, and only then?

    windvane eval steerability --cases BENCH --model M --judge rubric:http://HOST:PORT/v1#JUDGE --out DIR
    windvane eval steerability --cases world:values --model world:values --judge world:values:programme --out DIR
    windvane eval steerability DIR/grades.jsonl

In: prompts with two or more system messages each (steerability/cases.py), a model, a judge of grades; or the grades of a run before. Out:
DIR/answers.jsonl, DIR/grades.jsonl, DIR/result.json, and DIR/plot.svg: value asked for x value measured. What the figures are stands in
steerability/score.py: the swap test and its difference at equal length, what happens without a system message, and how often two answers
fit their own messages better than each other's, with intervals over prompts, for each split of the cases.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import decode
from windvane.evals.live.flags import add_live_flags, check_live
from windvane.evals.result_files import keep_result, kept_result
from windvane.janus.steerability.score import NAME, Row, result_of
from windvane.janus.steerability.table import plot, table
from windvane.runs.store import RunFolder, read_jsonl


def main(argv: Sequence[str]) -> int:
    """Ask and grade, or score given rows; 0 when a figure was printed."""
    options = _parser().parse_args(list(argv))
    if options.rows is not None:
        return _again(options)
    check_live(options, NAME, ("cases", "model", "judge", "out"))
    from windvane.evals.live.driver import print_live, run_live  # torch: only where something is asked
    from windvane.evals.live.judge import RubricGrades
    from windvane.janus.steerability.live import steerability

    evaluation = steerability(options)
    print_live(evaluation, options, *run_live(evaluation, options, RubricGrades(options.judge, options.device)))
    return 0


def _again(options: argparse.Namespace) -> int:
    """The grades of a run scored again."""
    result = result_of(read_rows(options.rows), options.seed)
    if options.out is not None:
        kept_result(options.out, NAME)
        with RunFolder(options.out) as run:
            keep_result(run.path, result, plot(result, str(options.rows)))
            run.write_manifest()
    print(json.dumps({**result, "spent": None}, allow_nan=False) if options.json else table(result))
    return 0


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
