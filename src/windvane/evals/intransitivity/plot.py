"""Drawing of an intransitivity result as one SVG: what no score explains, what a transitive judge as noisy would show, and cyclic triples.

In: a result of `evaluate.intransitivity`. Out: the text of an `<svg>` with a row a measure (and an iteration), dot and 95% interval. It
takes the report's colours where it stands in the report, and its own, light or dark, where it stands alone.
"""

from __future__ import annotations

from html import escape
from typing import Any

from windvane.charts.style import PAGE

WIDTH, LEFT, RIGHT, TOP, ROW = 720, 220, 690, 58, 30
STYLE = (
    PAGE
    + """text{fill:var(--s)}.t{fill:var(--i);font-size:15px;font-weight:600}.n{fill:var(--i)}.e{text-anchor:end}
.m{text-anchor:middle}.g{stroke:var(--l)}.judge{stroke:var(--a);fill:var(--a)}.noise{stroke:var(--b);fill:var(--b)}.bar{stroke-width:2}
.noise .bar,.noise.bar{stroke-dasharray:5 3}"""
)


def rows_of(result: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """(label, class, {mean, low, high}) from top to bottom."""
    rows = [("no score explains", "judge", result["share"]), ("a transitive judge shows", "noise", result["null"])]
    rows.append(("beyond that", "judge", result["beyond_null"]))
    for one in result.get("by_iteration", []):
        rows.append(
            (
                f"beyond that, {one['name']}",
                "judge",
                {k: one[f"beyond_null{s}"] for k, s in (("mean", ""), ("low", "_low"), ("high", "_high"))},
            )
        )
    if result["cyclic_triples"] and result["cyclic_triples"]["mean"] is not None:
        rows.append(("cyclic triples", "judge", result["cyclic_triples"]))
        rows.append(("… of a transitive judge", "noise", result["cyclic_triples"]["null"]))
    return [row for row in rows if row[2] and row[2]["mean"] is not None]


def plot(result: dict[str, Any]) -> str:
    """The SVG's text; where nothing could be measured it says so."""
    rows = rows_of(result)
    height = TOP + ROW * max(1, len(rows)) + 52
    ends = [v for _, _, r in rows for v in (r["mean"], r["low"], r["high"]) if v is not None]
    low, high = min([0.0, *ends]), max([0.1, *ends])
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 8 or s == 0.5)
    low, high = step * (low // step), step * -(-high // step)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (RIGHT - LEFT)

    title = "How intransitive the judge is"
    parts = [f'<text class="t" x="12" y="24">{title}</text>']
    bottom = TOP + ROW * max(1, len(rows))
    for tick in range(round(low / step), round(high / step) + 1):
        at = f"{x(tick * step):.1f}"
        parts.append(f'<line class="g" x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="m" x="{at}" y="{bottom + 18}">{100 * tick * step:.0f}%</text>'.replace("-", "−", 1) if tick < 0 else
                     f'<text class="m" x="{at}" y="{bottom + 18}">{100 * tick * step:.0f}%</text>')  # fmt: skip
    for n, (label, kind, r) in enumerate(rows):
        y = TOP + ROW * n + ROW / 2
        parts.append(f'<text class="n e" x="{LEFT - 14}" y="{y + 4:.1f}">{escape(label)}</text>')
        tip = f"{label}: {100 * r['mean']:.1f}%"
        if r["low"] is not None:
            parts.append(f'<line class="{kind} bar" x1="{x(r["low"]):.1f}" x2="{x(r["high"]):.1f}" y1="{y}" y2="{y}"/>')
            tip += f" ({100 * r['low']:.1f}% to {100 * r['high']:.1f}%)"
        mark = f'<circle class="{kind}" cx="{x(r["mean"]):.1f}" cy="{y}" r="5">' if kind == "judge" else (
            f'<rect class="{kind}" x="{x(r["mean"]) - 4.5:.1f}" y="{y - 4.5}" width="9" height="9">')  # fmt: skip
        parts.append(f"{mark}<title>{escape(tip)}</title></{'circle' if kind == 'judge' else 'rect'}>")
    if not rows:
        parts.append(f'<text x="12" y="{TOP + 18}">Nothing could be measured.</text>')
    parts.append(
        f'<text class="m" x="{(LEFT + RIGHT) / 2}" y="{height - 12}">share; bars: 95% over prompts, a transitive judge’s: of draws</text>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])
