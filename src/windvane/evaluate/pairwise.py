"""`windvane eval arena-hard`: models rated from files of pairwise judgements (judgements.py says which forms).

    windvane eval arena-hard JUDGEMENTS.jsonl ... --baseline gpt-4-0314 --json

In: judgements, in both orders where there are two. Out: per model the Arena-Hard `score` (percent: predicted win rate against the
baseline from the Bradley-Terry fit), its rating and both intervals (ratings.py); how far the judge leant to the answer shown first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.errors import UserError
from windvane.evaluate.judgements import Judgements, read_judgements
from windvane.evaluate.ratings import Rating, rate

BASELINE = "gpt-4-0314"  # Arena-Hard 0.1's


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


def main(argv: list[str]) -> int:
    """Rate from files; 0 when printed."""
    parser = Parser("windvane eval arena-hard", description="Bradley-Terry ratings from pairwise judgements")
    parser.add_argument(
        "judgements", nargs="+", type=Path, help="Arena-Hard games, MT-Bench pairs or plain battles (JSON lines)"
    )
    parser.add_argument(
        "--baseline", default=BASELINE, help=f"the anchor, and the other side of Arena-Hard's games ({BASELINE})"
    )
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.resamples < 2:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 2, better 1000")
    found = read_judgements(options.judgements, options.baseline)
    result = summarise(found, options.baseline, options.resamples, options.seed)
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0
