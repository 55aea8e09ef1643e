"""Long answers graded by a rubric, in the manner of LongBench-Chat: open questions on long documents, real or one's own.

    windvane eval long-chat --model M ... --questions FILE --judge rubric:BACKEND --out DIR [--rubric FILE] [--with-document]
    windvane eval long-chat --answers FILE ... --questions FILE --judge rubric:BACKEND --out DIR       given answers graded
    windvane eval long-chat DIR/grades.jsonl                                                           given grades summed up

In: questions, answers or grades (evals/long_chat/files.py says which fields). Out: DIR/answers/MODEL.jsonl, DIR/grades.jsonl (score and
feedback, or the reason why there is none), DIR/result.json, DIR/plot.svg; the same command continues an interrupted run.

As there, the model reads the whole document and answers greedily, and the judge sees the question, the reference answer and the answer,
not the document (a row without a reference is left out and counted, unless `--with-document` shows the judge all of it). Departures: the
grade is the rubric judge's, 1 to 5, with our own rubric and words and no scored examples (published: GPT-4, 1 to 10, with examples), so
figures are this judge's own. A prompt that does not fit the model's window is a row with that reason, never cut; what cannot be read of a
judge is kept and counted, never scored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.live.flags import add_live_flags
from windvane.evals.long_chat.files import read_grades
from windvane.evals.long_chat.score import label_of, plot, summarise, table
from windvane.evals.result_files import keep_result


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
    summary, judge = summarise(rows, options.seed), judges[0] if judges else None
    result = {"name": "long-chat", "label": label_of(judge), "judge": judge, **summary, "left_out": left_out}
    if options.out:
        keep_result(options.out, result, plot(summary))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def main(argv: Sequence[str]) -> int:
    """Ask, grade, print; or sum given grades up."""
    options = _parser().parse_args(list(argv))
    if options.grades is not None:
        return _again(options)
    from windvane.evals.live.driver import print_live, run_live  # torch: only where something is asked
    from windvane.evals.live.judge import RubricGrades
    from windvane.evals.long_chat.live import long_chat

    evaluation = long_chat(options)
    print_live(evaluation, options, *run_live(evaluation, options, RubricGrades(options.judge, options.device)))
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
