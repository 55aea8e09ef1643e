"""`windvane eval arena-hard`: models rated from files of pairwise judgements (judgements.py says which forms), or judged live first.

    windvane eval arena-hard JUDGEMENTS.jsonl ... --baseline gpt-4-0314 --json
    windvane eval arena-hard --model M ... --questions FILE --baseline ANSWERS --judge J --out DIR      evals/arena_hard/live.py

In: judgements, in both orders where there are two. Out: per model the Arena-Hard `score` (percent: predicted win rate against the
baseline from the Bradley-Terry fit), its rating and both intervals (stats/bradley_terry.py); for every two models the paired difference
of their scores
(rating_gaps.py); how far the judge leant to the answer shown first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.judgements import Judgements, read_judgements
from windvane.evals.live.flags import add_live_flags
from windvane.evals.result_files import keep_result, print_live
from windvane.run.store import write_new
from windvane.stats.bradley_terry import Rating, rate
from windvane.stats.rating_gaps import rating_gaps

BASELINE = "gpt-4-0314"  # Arena-Hard 0.1's
COMPARED = 10  # pairs of models that a table shows


def summarise(found: Judgements, anchor: str, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """One table: models (best first), the judge's lean, counts."""
    ratings = rate(found.battles, anchor, resamples, seed)
    notes = list(found.notes)
    for r in ratings:
        if r.rating is None:
            notes.append(
                f"{r.model}: won or lost every comparison that joins it with {anchor}; its rating has no bound"
            )
    return {
        "anchor": anchor,
        "models": [_row(r) for r in ratings],
        "comparisons": rating_gaps(found.battles, anchor, resamples, seed),
        "n_battles": len(found.battles),
        "n_questions": len({b.question for b in found.battles}),
        "first_shown_win_rate": sum(found.shown_first) / len(found.shown_first) if found.shown_first else None,
        "contradicted_by_order": found.contradicted / found.both_orders if found.both_orders else None,
        "left_out": dict(found.left_out),
        "notes": notes,
    }


def _row(r: Rating) -> dict[str, Any]:
    return {
        "model": r.model,
        "score": 100 * r.win_rate,
        "score_low": 100 * r.win_rate_low,
        "score_high": 100 * r.win_rate_high,
        "rating": r.rating,
        "rating_low": r.low,
        "rating_high": r.high,
        "weight": r.battles,
    }


def table(result: dict[str, Any]) -> str:
    """The same for a terminal."""
    lines = [f"{'model':40} {'score %':>8} {'95% interval':>16} {'rating':>8}"]
    for m in result["models"]:
        rating = "-" if m["rating"] is None else f"{m['rating']:.0f}"
        span = f"{m['score_low']:.1f} - {m['score_high']:.1f}"
        lines.append(f"{m['model'][:40]:40} {m['score']:8.1f} {span:>16} {rating:>8}")
    for c in result["comparisons"][:COMPARED]:
        lines.append(
            f"{c['first']} - {c['second']}: {c['mean']:+.1f} points [{c['low']:+.1f}, {c['high']:+.1f}]; under {c['mde']:.1f} "
            "would probably go unseen"
        )
    if len(result["comparisons"]) > COMPARED:
        lines.append(f"({len(result['comparisons']) - COMPARED} more comparisons: --json)")
    left = ", ".join(f"{count} {why}" for why, count in result["left_out"].items()) or "none"
    lines.append(f"{result['n_battles']} verdicts on {result['n_questions']} questions; left out: {left}")
    if result["first_shown_win_rate"] is not None:
        lines.append(
            f"the answer shown first won {100 * result['first_shown_win_rate']:.1f}% (a judge without a lean: 50%)"
        )
    if result["contradicted_by_order"] is not None:
        lines.append(
            f"{100 * result['contradicted_by_order']:.1f}% of judgements turned round with the order of the answers"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


def plot(result: dict[str, Any], title: str) -> str:
    """Each model's score with its interval, the baseline's at 50."""
    points = [Point(m["model"], m["score"], m["score_low"], m["score_high"]) for m in result["models"][:40]]
    return interval_plot(points, title[:90], "win rate against the baseline (%)", (0, 100), mark=50)


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
    found = read_judgements(options.judgements, baseline)
    result = {"name": "arena-hard", **summarise(found, baseline, options.resamples, options.seed)}
    if options.plot:
        write_new(options.plot, plot(result, f"Against {baseline}"), redrawn="<svg")
    if options.out:
        keep_result(options.out, result, plot(result, f"Against {baseline}"))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def _live(options: argparse.Namespace) -> int:
    from windvane.evals.arena_hard import live as arena_hard_run

    if options.judgements:
        raise UserError(
            f"{options.judgements[0]}: a file of judgements is rated as it is; leave --model and --judge out"
        )
    if not (options.model or options.answers):
        raise UserError("eval arena-hard: --judge also needs --model M ... (or --answers FILE ...)")
    if options.baseline is None or not Path(options.baseline).is_file():
        raise UserError(f"--baseline {options.baseline}: with --model, the file of the baseline's answers")
    options.baseline = Path(options.baseline)
    result, text, spent = arena_hard_run.run_live(options)
    print_live(options, result, text, spent, "judgements.jsonl")
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
