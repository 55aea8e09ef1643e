"""Arena-Hard's figures from pairwise judgements: ratings, predicted win rates against the baseline, paired differences.

In: battles with the judge's lean (`windvane.evals.judgements`). Out: one result, best model first: `score` is in percent, the win rate
against the baseline that the Bradley-Terry fit predicts (stats/bradley_terry.py), with intervals; each two models have the paired
difference of their scores (stats/rating_gaps.py). Also the result's table and its plot.
"""

from __future__ import annotations

from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.evals.judgements import Judgements
from windvane.stats.bradley_terry import Rating, rate
from windvane.stats.rating_gaps import rating_gaps

COMPARED = 10  # pairs of models that a table shows


def summarise(judgements: Judgements, anchor: str, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Models (best first), the judge's lean to the response shown first, counts."""
    ratings = rate(judgements.battles, anchor, resamples, seed)
    notes = list(judgements.notes)
    for r in ratings:
        if r.rating is None:
            notes.append(
                f"{r.model}: won or lost every comparison that joins it with {anchor}; its rating has no bound"
            )
    return {
        "anchor": anchor,
        "models": [_row(r) for r in ratings],
        "comparisons": rating_gaps(judgements.battles, anchor, resamples, seed),
        "n_battles": len(judgements.battles),
        "n_questions": len({b.question for b in judgements.battles}),
        "first_shown_win_rate": sum(judgements.shown_first) / len(judgements.shown_first)
        if judgements.shown_first
        else None,
        "contradicted_by_order": judgements.contradicted / judgements.both_orders if judgements.both_orders else None,
        "left_out": dict(judgements.left_out),
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
    """The result for a terminal."""
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
