"""A bridge to a new judge (evals/alpaca/rejudge.py) for a terminal and as a plot: no figure stands without saying whose it is.

In: the result. Out: text; SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windvane.charts.intervals import Point, interval_plot


def rejudge_plot(result: Mapping[str, Any]) -> str:
    """Each model's win rate by both judges."""
    marks = []
    for m in result["models"]:
        if m["shift"] is not None:
            marks.append(Point(m["model"], m["published_win_rate"]))
            half = 1.96 * (m["shift"]["standard_error"] or 0.0)
            marks.append(
                Point(
                    m["model"], m["rejudged_win_rate"], m["rejudged_win_rate"] - half, m["rejudged_win_rate"] + half, 1
                )
            )
    names = (f"published ({result['published_judge']})", f"judged again ({result['judge']}), bar: of the shift")
    return interval_plot(
        marks, f"The same answers under another judge, {result['instructions']} instructions", "win rate (%)", (0, 100), names=names
    )  # fmt: skip


def rejudge_table(r: Mapping[str, Any]) -> str:
    """The result for a terminal; the label comes first."""
    lines = [
        f"{r['label']}; baseline {r['baseline']}, {r['instructions']} instructions (win rates in %)",
        f"{'model':34} {'published':>9} {'rejudged':>9} {'shift':>7} {'95% interval':>16} {'unseen under':>12} {'same side':>9}"
        f" {'rows':>5}",
    ]
    for m in r["models"]:
        if m["shift"] is None:
            lines.append(f"{m['model'][:34]:34} no usable verdict")
            continue
        s = m["shift"]
        side = "-" if m["same_side"] is None else f"{m['same_side']:.3f}"
        span = f"[{s['low']:.2f}, {s['high']:.2f}]"
        mde = "-" if s["mde"] is None else f"{s['mde']:.2f}"
        lines.append(
            f"{m['model'][:34]:34} {m['published_win_rate']:9.2f} {m['rejudged_win_rate']:9.2f} {s['mean']:+7.2f} "
            f"{span:>16} {mde:>12} {side:>9} {m['n']:5}"
        )
    s, order = r["mean_shift"], r["rank_correlation"]
    lines.append(f"mean shift {s['mean']:+.2f} [{s['low']:+.2f}, {s['high']:+.2f}] over {s['clusters']} instructions")
    if order is not None and order["spearman"] is not None:
        lines.append(
            f"order of the models: Spearman {order['spearman']:.3f} [{order['spearman_low']:.3f}, {order['spearman_high']:.3f}], "
            f"Kendall {order['kendall']:.3f} [{order['kendall_low']:.3f}, {order['kendall_high']:.3f}]"
        )
    for c in r["comparisons"][:10]:
        now, old = c["rejudged"], c["published"]
        lines.append(
            f"{c['first']} - {c['second']}: rejudged {now['mean']:+.2f} [{now['low']:+.2f}, {now['high']:+.2f}], "
            f"published {old['mean']:+.2f} [{old['low']:+.2f}, {old['high']:+.2f}]"
        )
    lines.append(
        f"answer shown first: {100 * r['first_shown_win_rate']:.1f}%; {r['unjudged']} questions without a verdict"
    )
    left = ", ".join(f"{count} {why}" for why, count in r["left_out"].items()) or "none"
    return "\n".join([*lines, f"left out: {left}", *(f"note: {note}" for note in r["notes"])])
