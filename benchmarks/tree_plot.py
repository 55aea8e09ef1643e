"""The growth part of `benchmarks/trees.py --json` as a picture: `python benchmarks/tree_plot.py RESULT.json OUT.svg`.

CPU seconds of one step against the trunk's length, both axes logarithmic, beside what the FLOP count says at one rate (the median's).
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 380, 70, 50


def picture(growth: list[dict[str, float]]) -> str:
    """An SVG with dots (measured) and a line (FLOPs at the median rate)."""
    rate = statistics.median(g["gflop"] / g["cpu"] for g in growth)
    said = [g["gflop"] / rate for g in growth]
    seconds = [g["cpu"] for g in growth] + said
    xs, ys = [math.log2(g["trunk"]) for g in growth], [math.log10(s) for s in seconds]
    x0, x1, y0, y1 = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys))

    def place(trunk: float, second: float) -> tuple[float, float]:
        x = LEFT + (math.log2(trunk) - x0) / (x1 - x0) * (WIDTH - LEFT - 20)
        y = HEIGHT - BOTTOM - (math.log10(second) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - 20)
        return round(x, 1), round(y, 1)

    line = " ".join(f"{x},{y}" for x, y in (place(g["trunk"], s) for g, s in zip(growth, said)))
    parts = [f'<polyline points="{line}" fill="none" stroke="#888" stroke-width="2"/>']
    for g in growth:
        x, y = place(g["trunk"], g["cpu"])
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#1664c0"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{g["trunk"]:,}</text>')
    for power in range(y0, y1 + 1):
        y = place(growth[0]["trunk"], 10**power)[1]
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y}" y2="{y}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{10**power:g} s</text>')
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">tokens in the trunk (two branches of 64)</text>'
    )
    parts.append(
        f'<text x="{LEFT + 10}" y="32">CPU seconds of a step: dots measured, line FLOPs at {rate:.0f} GFLOP/s</text>'
    )
    style = 'font-family="sans-serif" font-size="12" style="background:#fff"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>'
    return "\n".join([head, *parts, "</svg>\n"])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(json.loads(Path(sys.argv[1]).read_text())["growth"]))
