"""`windvane eval mt-bench`: two-turn scores from a file of single-answer judgements, or from models and a judge.

    windvane eval mt-bench gpt-4_single.jsonl --json
    windvane eval mt-bench --model M ... --questions FILE --judge J --out DIR      evals/mt_bench/live.py, evals/mt_bench/pairs.py

In: judgements of single responses in FastChat's layout; or questions, models and a judge. Out: for each model the mean of each turn and of
all rows (evals/mt_bench/score.py). Pairwise files (`g1_winner`) go through `windvane eval arena-hard`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.chat_questions import read_questions
from windvane.evals.live.flags import add_live_flags
from windvane.evals.mt_bench.score import plot, read_scores, summarise, table
from windvane.evals.result_files import keep_result


def main(argv: list[str]) -> int:
    """Score from a file, or ask and judge first; 0 when printed."""
    options = _parser().parse_args(argv)
    if options.resamples < 2:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 2, better 1000")
    if options.model or options.answers or options.judge:
        return _live(options)
    if options.judgements is None:
        raise UserError("eval mt-bench: name a file of judgements; or --model, --questions, --judge and --out")
    known = {q.id: q.category for q in read_questions(options.questions, 1).rows} if options.questions else None
    result = {"name": "mt-bench", **summarise(read_scores(options.judgements, known), options.seed)}
    if options.out:
        keep_result(options.out, result, plot(result, f"MT-Bench, {options.judgements.name}"))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def _live(options: argparse.Namespace) -> int:
    from windvane.evals.live.driver import print_live, run_live  # torch: only where something is asked
    from windvane.evals.mt_bench import live, pairs

    if options.judgements is not None:
        raise UserError(f"{options.judgements}: a file of judgements is scored as it is; leave --model and --judge out")
    if not (options.model or options.answers):
        raise UserError("eval mt-bench: --judge also needs --model M ... (or --answers FILE ...)")
    evaluation, judge = pairs.mt_bench_pairs(options) if options.pairwise else live.mt_bench(options)
    print_live(evaluation, options, *run_live(evaluation, options, judge))
    return 0


def _parser() -> Parser:
    parser = Parser("windvane eval mt-bench", description="MT-Bench's two-turn scores from judgements, or from a model")
    add = parser.add_argument
    add("judgements", nargs="?", type=Path, help="*_single.jsonl: question_id, model, turn, score")
    add(
        "--questions",
        type=Path,
        metavar="FILE",
        help="question.jsonl: what --model is asked; with a file: the categories",
    )
    add("--references", type=Path, metavar="FILE", help="reference_answer/*.jsonl, where the questions hold none")
    add(
        "--answers",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="judge given answers, a file a model, in FastChat's layout",
    )
    add("--pairwise", action="store_true", help="compare every two models in both orders instead of grading each")
    allowed = "what a language model that judges may write (for a grade 1024, with --pairwise 16)"
    add("--judge-tokens", type=int, metavar="N", help=allowed)
    add("--resamples", type=int, default=1000, help="with --pairwise: of the ratings' intervals (1000)")
    add("--seed", type=int, default=0, help="of the resampling, and of the model's answers")
    add("--json", action="store_true", help="print one JSON object")
    add_live_flags(parser, several=True, temperature=None, top_p=1.0, max_new_tokens=1024)
    return parser
