"""AlpacaEval's results for a terminal, and the plot of a bridge to a new judge (evals/alpaca/rejudge.py), where every figure says whose
it is.

In: a result. Out: text; SVG.
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


def lookup_table(result: Mapping[str, Any]) -> str:
    return (
        f"{result['model']} against {result['baseline']}: length-controlled win rate {result['length_controlled_winrate']:.2f} "
        f"(standard error {result['lc_standard_error']:.2f}; difficulty file: {result['difficulty']})"
        + "".join(f"\n  note: {note}" for note in result["notes"])
    )


def table(result: Mapping[str, Any]) -> str:
    """The figures of one model for a terminal."""
    rows = [
        f"{result['model']} against {result['baseline'] or 'an unnamed baseline'}, judged by {result['annotator'] or 'an unnamed judge'}"
    ]

    def line(name: str, value: float | None, error: float | None, low: float | None, high: float | None) -> None:
        text = "-" if value is None else f"{value:6.2f}"
        text += f"  se {error:.2f}" if error is not None else ""
        text += f"  [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
        rows.append(f"  {name:32}{text}")

    line("win rate (%)", result["win_rate"], result["standard_error"], None, None)
    line(
        "length-controlled win rate (%)",
        result["length_controlled_winrate"],
        result["lc_standard_error"],
        result.get("lc_low"),
        result.get("lc_high"),
    )
    if "length_adjusted_win_rate" in result:
        names = ("win_rate", "standard_error", "low", "high")
        line("length-adjusted, own pairs (%)", *(result[f"length_adjusted_{n}"] for n in names))
    line("discrete win rate (%)", result["discrete_win_rate"], None, None, None)
    rows.append(f"  {'mean length (characters)':32}{'-' if result['avg_length'] is None else result['avg_length']:>6}")
    left = ", ".join(f"{count} {why}" for why, count in result["left_out"].items()) or "none"
    rows.append(f"  {'rows':32}{result['n_total']:6}  left out: {left}")
    if "comparison" in result:
        c = result["comparison"]
        rows.append(f"minus {c['against']}, paired on {c['n_instructions']} instructions ({c['unpaired']} unpaired)")
        for name, label in (
            ("win_rate_difference", "win rate (points)"),
            ("lc_difference", "length-controlled (points)"),
        ):
            if name in c:
                d = c[name]
                line(label, d["mean"], d["standard_error"], d["low"], d["high"])
                if d["mde"] is not None:
                    rows.append(f"  {'':32}a difference under {d['mde']:.2f} would probably go unseen here")
    return "\n".join([*rows, *(f"  note: {note}" for note in result["notes"])])
