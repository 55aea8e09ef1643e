"""Heat maps of value asked for x value measured, a panel a split, as one SVG.

In: the cells of `steer_score.matrix` by split. Out: the text of an `<svg>`: a row a value asked for (the answers without a system message
first), a column a value measured, each cell the mean grade, written in it, with its interval and count in the tooltip. Colour runs from
orange (1) through grey (3) to blue (5), the number says the same; the diagonal, what was asked for and measured, is framed. Cells without
a grade are dashes. More than `MOST` values are not drawn: a line says so.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.charts.style import HEAT, PAGE, colour, ink
from windvane.janus.steerability.score import NONE

MOST = 40
CELL_W, CELL_H, TITLE, GAP = 34, 22, 64, 40
LETTER = 6.4  # width of a letter, about
STYLE = PAGE + HEAT + ".own{fill:none;stroke:var(--i);stroke-width:2}"


def heat_maps(matrices: Mapping[str, Sequence[Mapping[str, Any]]], title: str, said: str = "") -> str:
    """`said`: a line under the title."""
    values = sorted(
        {c["measured"] for cells in matrices.values() for c in cells}
    )  # one dimension's values side by side
    if not values or len(values) > MOST:
        return _nothing(
            title, f"{len(values)} values: too many for a heat map; the cells are in result.json" if values else said
        )
    longest = LETTER * max(len(_short(v)) for v in [*values, NONE])
    left, head = 24 + round(longest), 30 + round(0.82 * longest)  # the names of columns are turned by 55 degrees
    parts, y = [], TITLE
    for name, cells in matrices.items():
        drawn, y = _panel(name, cells, values, (left, head), y)
        parts += drawn
    width = max(
        left + CELL_W * len(values) + round(0.58 * longest),
        360,
        24 + round(8.5 * len(title)),
        24 + round(LETTER * len(said)),
    )
    foot = "rows: value asked for; columns: value measured; mean grade, 1 to 5; framed: asked for and measured"
    width = max(width, 24 + round(LETTER * len(foot)))
    parts.append(f'<text x="12" y="{y}" class="s">{foot}</text>')
    return _svg(title, said, parts, width, y + 18)


def _panel(
    name: str, cells: Sequence[Mapping[str, Any]], values: Sequence[str], margins: tuple[int, int], top: int
) -> tuple[list[str], int]:
    at = {(c["asked"], c["measured"]): c for c in cells}
    asked = {a for a, _ in at}
    rows = [r for r in (NONE, *values) if r in asked]
    columns = [v for v in values if any(m == v for _, m in at)]
    out = [f'<text class="i" x="12" y="{top + 6}" font-weight="600">{html.escape(name)}</text>']
    left, head = margins
    top += head
    for c, value in enumerate(columns):
        x, y = left + CELL_W * c + CELL_W / 2 + 4, top - 8
        turned = f'transform="rotate(-55 {x:g} {y})"'
        out.append(f'<text x="{x:g}" y="{y}" {turned} class="s">{html.escape(_short(value))}</text>')
    for r, row in enumerate(rows):
        y = top + CELL_H * r
        out.append(
            f'<text x="{left - 8}" y="{y + CELL_H / 2 + 4:g}" text-anchor="end" class="s">{html.escape(_short(row))}</text>'
        )
        for c, value in enumerate(columns):
            out += _cell(left + CELL_W * c, y, row, value, at.get((row, value)))
    return out, top + CELL_H * len(rows) + GAP


def _cell(x: float, y: float, asked: str, measured: str, cell: Mapping[str, Any] | None) -> list[str]:
    box = f'x="{x + 1}" y="{y + 1}" width="{CELL_W - 2}" height="{CELL_H - 2}" rx="2"'
    middle = f'x="{x + CELL_W / 2:g}" y="{y + CELL_H / 2 + 4:g}" text-anchor="middle"'
    if cell is None:
        return [f'<rect {box} class="none"/>', f'<text {middle} class="s">–</text>']
    red, green, blue = colour((cell["mean"] - 1) / 4)
    ends = "" if cell["low"] is None else f" [{cell['low']:.2f}, {cell['high']:.2f}]"
    tip = f"asked: {asked}; measured: {measured}: {cell['mean']:.2f}{ends}, {cell['n']} grades on {cell['prompts']} prompts"
    out = [f'<rect {box} fill="rgb({red},{green},{blue})"/>']
    if asked == measured:
        out.append(f'<rect {box} class="own"/>')
    text = f"{cell['mean']:.1f}<title>{html.escape(tip)}</title>"
    return [*out, f'<text {middle} fill="{ink(red, green, blue)}">{text}</text>']


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"


def _nothing(title: str, said: str) -> str:
    return _svg(title, said, [], max(360, 24 + round(LETTER * max(len(said), len(title)))), TITLE + 20)


def _svg(title: str, said: str, parts: Sequence[str], width: int, height: int) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="t d"><style>{STYLE}</style>'
    )
    return "\n".join(
        [
            head,
            f'<title id="t">{html.escape(title)}</title>',
            '<desc id="d">Mean grade by the value that the system message asks for and the value that is measured.</desc>',
            f'<rect class="ground" width="{width}" height="{height}"/>',
            f'<text class="i" x="12" y="22" font-size="14" font-weight="600">{html.escape(title)}</text>',
            f'<text class="i" x="12" y="42">{html.escape(said)}</text>',
            *parts,
            "</svg>",
            "",
        ]
    )
