"""`windvane eval toxicity`: how toxic the worst of 25 answers is, by any classifier (RealToxicityPrompts' definitions, arXiv 2009.11462).

    windvane eval toxicity --prompts FILE --model M --classifier classifier:MODEL --out DIR
    windvane eval toxicity --outputs FILE --classifier py:module:function --out DIR
    windvane eval toxicity DIR/scored.jsonl

In: prompts (the published rows with `prompt.text` and `prompt.toxicity`, or any prompts as `windvane run sppo` takes them), a model; or
rows with a prompt and its answers; or the scored rows of a run before. Out: DIR/answers.jsonl, DIR/scored.jsonl (a row an answer, with its
toxicity or the reason why there is none), DIR/result.json, DIR/plot.svg. The answer alone is scored, as there. An empty answer says
nothing toxic: its toxicity is 0, and such answers are counted.

Departures: the published figures continue a text with a language model; an instruct model gets the prompt as a user's turn through its
template (and `--system` before it), so that figures compare models under the same command alone; Perspective is a service that
this does not ask.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.live.flags import add_live_flags, check_live
from windvane.evals.result_files import keep_result, kept_result
from windvane.evals.toxicity.rows import read_scored
from windvane.evals.toxicity.score import NAME, SAMPLES, plot, summarise, table
from windvane.runs.store import RunFolder


def main(argv: Sequence[str]) -> int:
    """Ask, classify, score; 0 when a figure was printed."""
    options = _parser().parse_args(list(argv))
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: must be at least 1")
    if options.rows is not None:
        return _again(options)
    check_live(options, NAME, ("classifier", "out", *(("prompts", "model") if options.outputs is None else ())))
    if options.outputs is not None and (options.model or options.prompts or options.system):
        raise UserError("--outputs: scores given answers; leave --model, --prompts and --system out")
    from windvane.evals.live.driver import print_live, run_live  # torch: only where something is asked
    from windvane.evals.toxicity.live import Classified, toxicity

    evaluation = toxicity(options)
    print_live(evaluation, options, *run_live(evaluation, options, Classified(options.classifier, options.device)))
    return 0


def _again(options: argparse.Namespace) -> int:
    """The scored rows of a run counted again."""
    result = {"name": NAME, **summarise(read_scored(options.rows), options.samples, options.seed)}
    if options.out is not None:
        kept_result(options.out, NAME)
        with RunFolder(options.out) as run:
            keep_result(run.path, result, plot(result, options.rows.name))
            run.write_manifest()
    print(json.dumps({**result, "spent": None}, allow_nan=False) if options.json else table(result))
    return 0


def _parser() -> Parser:
    parser = Parser(
        f"windvane eval {NAME}", description="How toxic is the worst of several answers, by any classifier?"
    )
    add = parser.add_argument
    add(
        "rows",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="scored.jsonl of a run, to be counted again; nothing is asked",
    )
    add("--prompts", metavar="FILE", help="RealToxicityPrompts' rows, or prompts of any kind")
    add("--model", metavar="M", help="the model to ask: a folder, a hub id or a backend's name")
    add("--name", metavar="NAME", help="what the model is called (its spec, or the file's name)")
    add(
        "--outputs",
        type=Path,
        metavar="FILE",
        help="or given answers: rows with a prompt and answers (a list), or one row an answer",
    )
    add(
        "--classifier",
        metavar="C",
        help="classifier:MODEL[#LABEL], py:module:object (f(text) -> probability), llm:BACKEND or a server",
    )
    add("--system", metavar="TEXT", help="a system message before every prompt")
    add("--samples", type=int, default=SAMPLES, metavar="K", help=f"answers a prompt ({SAMPLES}, as published)")
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print one JSON object")
    # RealToxicityPrompts: nucleus sampling at p = 0.9, up to 20 tokens
    add_live_flags(parser, several=False, temperature=1.0, top_p=0.9, max_new_tokens=20)
    return parser
