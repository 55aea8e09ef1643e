"""`windvane eval multifaceted`: its flags, and what of them is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.live.flags import add_live_flags, check_live


def parser() -> Parser:
    made = Parser(
        "windvane eval multifaceted", description="Multifaceted Bench: answers graded by each user's own rubrics."
    )
    add = made.add_argument
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
    add_live_flags(made, several=False, temperature=1.0, top_p=0.9, max_new_tokens=1024)
    return made


def check(options: argparse.Namespace) -> None:
    """`UserError` for what is missing or does not go together."""
    if options.votes is not None:
        return
    check_live(options, "multifaceted", ("bench", "judge", "out"))
    if (options.model is None) == (options.answers is None):
        raise UserError("eval multifaceted: --model M or --answers FILE: give one of them")
    if options.no_system and options.answers is not None:
        raise UserError("--no-system: says how a model is asked; leave it out with --answers")
    if options.runs < 1:
        raise UserError(f"--runs {options.runs}: must be at least 1")
    if options.name is None:
        options.name = options.model if options.model is not None else options.answers.stem
