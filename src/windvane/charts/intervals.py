"""Values with their intervals, a line each, as one SVG file without any other: light and dark, readable in a browser or a page.

In: labelled points, each of one or two series. Out: the SVG text; a point without an interval has no bar, one without a value is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from windvane.charts.style import SERIES

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 720, 220, 60, 80, 26, 44
STYLE = SERIES + ".mark{stroke-dasharray:3 3}.bar{stroke-width:2}"


@dataclass(frozen=True, slots=True)
class Point:
    """`series`: 0 or 1, a circle or a square. Points with the same label share a line."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    series: int = 0


def interval_plot(
    points: Sequence[Point],
    title: str,
    axis: str,
    bounds: tuple[float, float],
    ticks: int = 4,
    mark: float | None = None,
    names: Sequence[str] = (),
) -> str:
    """`bounds`: the ends of the axis, `ticks` parts between them; `mark`: a value that stands for no difference; `names` of the series."""
    low, high = bounds
    labels = list(dict.fromkeys(p.label for p in points))
    height = TOP + ROW * max(1, len(labels)) + BOTTOM

    def across(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}</text>']
    for i in range(ticks + 1):
        value = low + (high - low) * i / ticks
        x = across(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    if mark is not None:
        x = across(mark)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 8}" text-anchor="middle">{escape(axis)}</text>')
    for number, name in enumerate(names[:2]):
        place = f'class="s{number}" x="16" y="{44 + 16 * number}"'
        parts.append(f"<text {place}>{'●■'[number]} {escape(name[:100])}</text>")
    two = len({p.series for p in points}) > 1
    for row, label in enumerate(labels):
        middle = TOP + ROW * row + ROW / 2
        parts.append(f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end">{escape(label[-30:])}</text>')
        for p in points:
            if p.label == label and p.value is not None:
                parts += _drawn(p, across, middle + (p.series * 10 - 5 if two else 0))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _drawn(p: Point, across: object, y: float) -> list[str]:
    assert callable(across) and p.value is not None
    tip, bar = f"{p.label}: {p.value:.2f}", []
    if p.low is not None and p.high is not None:
        tip += f" [{p.low:.2f}, {p.high:.2f}]"
        bar = [
            f'<line class="s{p.series} bar" x1="{across(p.low):.1f}" x2="{across(p.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        ]
    x, title = across(p.value), f"<title>{escape(tip)}</title>"
    if p.series:
        shape = f'<rect class="s1" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{title}</rect>'
    else:
        shape = f'<circle class="s0" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'
    return [*bar, shape]
