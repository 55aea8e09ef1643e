"""`windvane eval multifaceted`: Multifaceted Bench, each answer graded from 1 to 5 by its own user's rubrics (arXiv 2405.17977).

    windvane eval multifaceted --bench BENCH --model M --judge rubric:http://HOST:PORT/v1#JUDGE --out DIR
    windvane eval multifaceted --bench BENCH --answers FILE --judge rubric:BACKEND --shuffled --out DIR
    windvane eval multifaceted --votes VOTES

In: the bench, a model or its answers, a judge. Out: DIR/answers.jsonl, DIR/own.jsonl (and shuffled.jsonl), DIR/result.json and plot.svg.
An instance without an answer, and a grade that cannot be read, are counted with their reasons. The judge is asked in our words, so figures
are not comparable with published ones. A model whose template has no system role gets the system message in the user's turn, and a note.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.live.flags import add_live_flags, check_live
from windvane.janus.bench.votes import read_votes, summarise_votes


def main(argv: Sequence[str]) -> int:
    """Grade, or count votes; 0 when a figure was printed."""
    options = _parser().parse_args(list(argv))
    if options.votes is not None:
        votes = summarise_votes(read_votes(options.votes), options.seed)
        print(json.dumps(votes) if options.json else votes_table(votes))
        return 0
    _check(options)
    from windvane.evals.live.driver import print_live, run_live  # torch: only where something is asked
    from windvane.evals.live.judge import RubricGrades
    from windvane.janus.bench.live import multifaceted

    evaluation = multifaceted(options)
    print_live(evaluation, options, *run_live(evaluation, options, RubricGrades(options.judge, options.device)))
    return 0


def votes_table(votes: Mapping[str, Any]) -> str:
    lines = [f"{votes['votes']} votes on {votes['instances']} instances, percent with 95% intervals over instances"]
    shown = {name: v for name, v in votes.items() if isinstance(v, dict)}
    lines += [f"{name:12} {v['percent']:5.1f}  [{v['low']:.1f}, {v['high']:.1f}]" for name, v in shown.items()]
    return "\n".join(lines)


def _check(options: argparse.Namespace) -> None:
    """`UserError` for what is missing or does not go together."""
    check_live(options, "multifaceted", ("bench", "judge", "out"))
    if (options.model is None) == (options.answers is None):
        raise UserError("eval multifaceted: --model M or --answers FILE: give one of them")
    if options.no_system and options.answers is not None:
        raise UserError("--no-system: says how a model is asked; leave it out with --answers")
    if options.runs < 1:
        raise UserError(f"--runs {options.runs}: must be at least 1")
    if options.name is None:
        options.name = options.model if options.model is not None else options.answers.stem


def _parser() -> Parser:
    parser = Parser(
        "windvane eval multifaceted", description="Multifaceted Bench: answers graded by each user's own rubrics."
    )
    add = parser.add_argument
    add(
        "--bench", metavar="FILE", help="instances with system, prompt, reference_answer, rubrics; a file or a data set"
    )
    add("--model", metavar="M", help="the model to ask: a folder, a hub id or a backend's name")
    add(
        "--answers",
        type=Path,
        metavar="FILE",
        help='or its answers: {"ID": {"response": ...}} or rows with id and response',
    )
    add("--name", metavar="NAME", help="what the model is called (its spec, or the file's name)")
    add("--runs", type=int, default=3, metavar="N", help="times that everything is graded (3)")
    add("--shuffled", action="store_true", help="grade by other instances' rubrics too: a control of the judge")
    add("--no-system", action="store_true", help="ask the model without the system message")
    add("--writer", metavar="NAME", help="who wrote system messages and references (published: gpt-4-0125-preview)")
    add("--rubric-maker", metavar="NAME", help="who wrote the rubrics (published: gpt-4-0125-preview)")
    add(
        "--votes",
        type=Path,
        metavar="FILE",
        help="people's votes instead: JSON lines with instance and vote; nothing is asked",
    )
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print one JSON object")
    # the released inference: temperature 1, top-p 0.9, 1024 tokens (and a repetition penalty of 1.03, which is not known here)
    add_live_flags(parser, several=False, temperature=1.0, top_p=0.9, max_new_tokens=1024)
    return parser
