"""Win rate against length, as one SVG file without any other: light and dark, readable in a browser or a page.

In: named series of (length difference of a pair, share for the model). Out: for each, the mean share in bins of equal count with a
95% interval, against the bins' median difference; a model that wins by writing more climbs to the right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from windvane.charts.style import SERIES

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 64, 36, 56, 64
STYLE = SERIES + ".line{fill:none!important;stroke-width:2}.bar{stroke-width:1.5}.s1.line{stroke-dasharray:6 3}"


def binned(
    differences: Sequence[float], shares: Sequence[float], bins: int = 8
) -> list[tuple[float, float, float, int]]:
    """(median difference, mean share, half-width of its 95% interval, rows) of bins with equally many rows, in order."""
    x, y = np.asarray(differences, dtype=float), np.asarray(shares, dtype=float)
    order = np.argsort(x, kind="stable")
    found = []
    for part in np.array_split(order, max(1, min(bins, len(order) // 5))):
        half = 1.96 * y[part].std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else 0.0
        found.append((float(np.median(x[part])), float(y[part].mean()), float(half), len(part)))
    return found


def length_plot(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, unit: str) -> str:
    """The SVG text. `series`: one or two names -> (model's length - baseline's, share in [0, 1]) of each pair."""
    assert 1 <= len(series) <= 2, "two series at most can be told apart here"
    points = {name: binned(*pairs) for name, pairs in series.items()}
    xs = [p[0] for bins in points.values() for p in bins]
    low, high = min([*xs, 0.0]), max([*xs, 0.0])
    pad = (high - low or 1.0) * 0.05
    low, high = low - pad, high + pad

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (1 - min(max(y, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="22" font-size="15" font-weight="600">{escape(title)}</text>']
    for percent in range(0, 101, 25):
        y = place(0, percent / 100)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}%</text>')
    for tick in _ticks(low, high):
        x, floor = place(tick, 0)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor:.1f}" y2="{floor + 5:.1f}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{floor + 20:.1f}" text-anchor="middle">{tick:+g}</text>'.replace(">+0<", ">0<")
        )
    zero = place(0, 0)[0]
    parts.append(
        f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke-dasharray="2 3"/>'
    )
    label = f"how much longer the model's answer is than the baseline's ({unit})"
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 18}" text-anchor="middle">{escape(label)}</text>'
    )
    for number, (name, bins) in enumerate(points.items()):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y, _, _ in bins)
        parts.append(f'<polyline class="s{number} line" points="{path}"/>')
        for x, y, half, rows in bins:
            (across, at), top, floor = place(x, y), place(x, y + half)[1], place(x, y - half)[1]
            parts.append(
                f'<line class="s{number} bar" x1="{across:.1f}" x2="{across:.1f}" y1="{top:.1f}" y2="{floor:.1f}"/>'
            )
            tip = f"{name}: {x:+.0f} {unit}, {100 * y:.1f}% of {rows} rows"
            parts.append(
                f'<circle class="s{number}" cx="{across:.1f}" cy="{at:.1f}" r="4"><title>{escape(tip)}</title></circle>'
            )
        parts.append(f'<text class="s{number}" x="{LEFT + number * 300}" y="42">{escape(name[:44])}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _ticks(low: float, high: float) -> list[float]:
    """About six round numbers between the ends."""
    raw = (high - low) / 6
    size = 10 ** np.floor(np.log10(raw))
    step = float(next(size * m for m in (1, 2, 5, 10) if size * m >= raw))
    return [round(i * step, 10) for i in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
