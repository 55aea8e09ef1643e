"""`windvane eval arena-hard`: models rated from files of pairwise judgements (judgements.py says which forms), or judged live first.

    windvane eval arena-hard JUDGEMENTS.jsonl ... --baseline gpt-4-0314 --json
    windvane eval arena-hard --model M ... --questions FILE --baseline ANSWERS --judge J --out DIR      evals/arena_hard/live.py

In: judgements, in both orders where there are two. Out: for each model the Arena-Hard score, its rating and their intervals; for each two
models the paired difference of their scores (evals/arena_hard/score.py); how far the judge leant to the answer shown first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.arena_hard.score import plot, summarise, table
from windvane.evals.judgements import read_judgements
from windvane.evals.live.flags import add_live_flags
from windvane.evals.result_files import keep_result
from windvane.runs.store import write_new

BASELINE = "gpt-4-0314"  # Arena-Hard 0.1's


def main(argv: list[str]) -> int:
    """Rate from files, or ask and judge first; 0 when printed."""
    options = _parser().parse_args(argv)
    if options.resamples < 2:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 2, better 1000")
    if options.model or options.answers or options.judge:
        return _live(options)
    if not options.judgements:
        raise UserError(
            "eval arena-hard: name files of judgements; or --model, --questions, --baseline ANSWERS, --judge and --out"
        )
    baseline = options.baseline or BASELINE
    judgements = read_judgements(options.judgements, baseline)
    result = {"name": "arena-hard", **summarise(judgements, baseline, options.resamples, options.seed)}
    if options.plot:
        write_new(options.plot, plot(result, f"Against {baseline}"), redrawn="<svg")
    if options.out:
        keep_result(options.out, result, plot(result, f"Against {baseline}"))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def _live(options: argparse.Namespace) -> int:
    from windvane.evals.arena_hard.live import arena_hard, judge_of  # torch: only where something is asked
    from windvane.evals.live.driver import print_live, run_live

    if options.judgements:
        raise UserError(
            f"{options.judgements[0]}: a file of judgements is rated as it is; leave --model and --judge out"
        )
    if not (options.model or options.answers):
        raise UserError("eval arena-hard: --judge also needs --model M ... (or --answers FILE ...)")
    if options.baseline is None or not Path(options.baseline).is_file():
        raise UserError(f"--baseline {options.baseline}: with --model, the file of the baseline's answers")
    options.baseline = Path(options.baseline)
    evaluation = arena_hard(options)
    print_live(evaluation, options, *run_live(evaluation, options, judge_of(options)))
    return 0


def _parser() -> Parser:
    parser = Parser("windvane eval arena-hard", description="Bradley-Terry ratings from pairwise judgements")
    add = parser.add_argument
    add("judgements", nargs="*", type=Path, help="Arena-Hard games, MT-Bench pairs or plain battles (JSON lines)")
    add(
        "--baseline",
        help=f"the anchor, and the other side of Arena-Hard's games ({BASELINE}); with --model: the file of its answers",
    )
    add(
        "--questions",
        type=Path,
        metavar="FILE",
        help="what --model is asked: question_id and turns (or uid and prompt)",
    )
    add(
        "--answers",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="judge given answers, a file a model, in Arena-Hard's layout",
    )
    add("--judge-tokens", type=int, default=4096, metavar="N", help="what the judge may write (4096)")
    add("--resamples", type=int, default=1000)
    add("--seed", type=int, default=0, help="of the resampling, and of the model's answers")
    add("--plot", type=Path, metavar="FILE", help="write the scores as SVG")
    add("--json", action="store_true", help="print one JSON object")
    add_live_flags(parser, several=True, temperature=0.0, top_p=1.0, max_new_tokens=4096)
    return parser
