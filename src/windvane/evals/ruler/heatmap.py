"""Depth x length heat map of what was found, as one inline SVG.

In: rows whose references stand at a known depth. Out: the text of an `<svg>`: a column a length, a row a tenth of depth (start of the
context on top), each cell the percentage of references found there, written in it, with the count in its tooltip. Colour runs from
orange through grey to blue (told apart by colour-blind readers), and the number says the same. Empty cells are dashes, never zeros. Where
the effective length is known it is named and its columns end in a line. In the report the drawing takes the page's colours; alone it has
its own, light or dark.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from windvane.charts.style import HEAT, PAGE, colour, ink
from windvane.evals.ruler.score import Row, found

BINS = 10
LEFT, TOP, WIDTH, HEIGHT = 84, 76, 66, 26
STYLE = PAGE + HEAT + ".reach{stroke:var(--i);stroke-width:2}"


def cells(rows: Sequence[Row], bins: int = BINS) -> dict[tuple[int, int], tuple[int, int]]:
    """(length, depth bin) -> (references found, references asked)."""
    counted: dict[tuple[int, int], tuple[int, int]] = {}
    for row in rows:
        for hit, depth in zip(found(row.prediction, row.references), row.depths):
            if depth is not None:
                key = (row.length, min(bins - 1, int(depth * bins)))
                hits, asked = counted.get(key, (0, 0))
                counted[key] = (hits + hit, asked + 1)
    return counted


def tokens_label(length: int) -> str:
    return f"{length // 1024}K" if length % 1024 == 0 else f"{length:,}"


def heat_map(rows: Sequence[Row], title: str, effective: int | None = None, said: str = "") -> str:
    """The SVG; without any depth to show, it says so. `effective`: the effective length in tokens; `said`: a line under the title."""
    counted = cells(rows)
    lengths = sorted({length for length, _ in counted})
    width = LEFT + WIDTH * max(1, len(lengths)) + 20
    width, height = max(width, 360, 24 + round(8.5 * len(title)), 24 + 7 * len(said)), TOP + HEIGHT * BINS + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="t d"><style>{STYLE}</style>',
        f'<title id="t">{html.escape(title)}</title>',
        '<desc id="d">Share of references found, by depth in the context and by context length in tokens.</desc>',
        f'<rect class="ground" width="{width}" height="{height}"/>',
        f'<text class="i" x="12" y="22" font-size="14" font-weight="600">{html.escape(title)}</text>',
        f'<text class="i" x="12" y="42">{html.escape(said)}</text>',
    ]
    if not lengths:
        out.append(f'<text x="12" y="{TOP + 20}" class="i">No row says where its answer stands.</text></svg>')
        return "\n".join(out) + "\n"
    out.append(f'<text x="{LEFT - 8}" y="{TOP - 10}" text-anchor="end" class="s">depth</text>')
    for b in range(BINS):
        y = TOP + HEIGHT * b + HEIGHT / 2 + 4
        out.append(f'<text x="{LEFT - 8}" y="{y:g}" text-anchor="end" class="s">{10 * b}–{10 * b + 10}%</text>')
    for c, length in enumerate(lengths):
        x = LEFT + WIDTH * c
        name = tokens_label(length)
        out.append(f'<text x="{x + WIDTH / 2:g}" y="{TOP - 10}" text-anchor="middle" class="s">{name}</text>')
        for b in range(BINS):
            y = TOP + HEIGHT * b
            box = f'x="{x + 1}" y="{y + 1}" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="2"'
            if (length, b) not in counted:
                out.append(f'<rect {box} class="none"/>')
                shade, text, tip = 'class="s"', "–", "no reference here"
            else:
                hits, asked = counted[length, b]
                red, green, blue = colour(hits / asked)
                out.append(f'<rect {box} fill="rgb({red},{green},{blue})"/>')
                shade = f'fill="{ink(red, green, blue)}"'
                text, tip = f"{100 * hits / asked:.0f}", f"{hits} of {asked} found"
            middle = f'x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 4:g}"'
            out.append(
                f'<text {middle} text-anchor="middle" {shade}>{text}'
                f"<title>{name} tokens, depth {10 * b}–{10 * b + 10}%: {tip}</title></text>"
            )
    if effective in lengths:
        x = LEFT + WIDTH * (lengths.index(effective) + 1)
        out.append(f'<line class="reach" x1="{x}" x2="{x}" y1="{TOP - 26}" y2="{TOP + HEIGHT * BINS}"/>')
    y = TOP + HEIGHT * BINS + 24
    out.append(f'<text x="{LEFT}" y="{y}" class="s">context length in tokens; % of references found</text></svg>')
    return "\n".join(out) + "\n"
