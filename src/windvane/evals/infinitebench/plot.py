"""InfiniteBench scores by task as one inline SVG: a bar a task with its 95% interval.

In: results of tasks (`task`, `score`, `low`, `high`, `n`, in percent). Out: the text of an `<svg>`. In the report it takes the page's
colours; alone it has its own, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from windvane.charts.style import PAGE
from windvane.evals.infinitebench.tasks import TASKS

LEFT, RIGHT, TOP, ROW = 190, 640, 66, 28
STYLE = (
    PAGE
    + """text{fill:var(--s)}.t{fill:var(--i);font-size:15px;font-weight:600}.n{fill:var(--i)}
.e{text-anchor:end}.m{text-anchor:middle}.g{stroke:var(--l)}.bar{fill:var(--a);opacity:.75}.span{stroke:var(--i);stroke-width:1.5}"""
)


def bars(results: Sequence[Mapping[str, Any]], title: str) -> str:
    """The SVG, tasks in the order of the published table."""
    order = {task: n for n, task in enumerate(TASKS)}
    rows = sorted(results, key=lambda r: order[r["task"]])
    bottom = TOP + ROW * len(rows)
    height = bottom + 48
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{STYLE}</style><rect class="ground" width="720" height="{height}"/>',
        f'<text class="t" x="12" y="26">{escape(title)}</text>',
        '<text x="12" y="46">score in percent, higher is better; lines: 95% intervals</text>',
    ]
    for tick in range(0, 101, 20):
        x = LEFT + (RIGHT - LEFT) * tick / 100
        out.append(f'<line class="g" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        out.append(f'<text class="m" x="{x:.1f}" y="{bottom + 18}">{tick}%</text>')
    for n, row in enumerate(rows):
        y = TOP + ROW * n + ROW / 2
        ends = [LEFT + (RIGHT - LEFT) * row[key] / 100 for key in ("score", "low", "high")]
        name = TASKS[row["task"]].title
        tip = f"{name}: {row['score']:.1f}% ({row['low']:.1f}% to {row['high']:.1f}%), {row['n']} rows"
        out.append(f'<text class="n e" x="{LEFT - 10}" y="{y + 4:.1f}">{escape(name)}</text>')
        out.append(
            f'<g><title>{escape(tip)}</title><rect class="bar" x="{LEFT}" y="{y - 8:.1f}" width="{ends[0] - LEFT:.1f}" height="16"/>'
        )
        out.append(f'<line class="span" x1="{ends[1]:.1f}" x2="{ends[2]:.1f}" y1="{y:.1f}" y2="{y:.1f}"/></g>')
        out.append(f'<text class="n e" x="710" y="{y + 4:.1f}">{row["score"]:.1f}%</text>')
    return "\n".join([*out, "</svg>", ""])
