"""Charts as inline SVG, without a chart library: one kind of panel, points with intervals joined by lines.

In: series of points in data units. Out: an `<svg>` with axes, ticks, labels, a title and a description for screen readers, and a
tooltip a point. Colours come from the page's style sheet by the series' class (so that a chart follows light and dark); every
series also has its own marker or dash, so that none is told by colour alone. The drawing is a function of its input: same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 16, 194  # the plotting area
MARKERS = {
    "true": "circle", "proxy": "diamond", "train": "none", "heldout": "circle", "chosen": "circle", "rejected": "square",
    "chosen-train": "none", "rejected-train": "none", "plain": "circle",
    "noise": "square",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One mark; `low`..`high` is drawn as an interval, `inner` as a thicker one within it; `tag` stands beside the mark."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    inner: tuple[float, float] | None = None
    tip: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """`kind` is a key of MARKERS and the CSS class; `pieces` are runs of points, joined within and not between."""

    name: str
    kind: str
    pieces: tuple[tuple[Point, ...], ...]
    nudge: float = 0.0  # pixels to the side, so that two series' intervals at the same x stay apart

    @property
    def points(self) -> list[Point]:
        return [point for piece in self.pieces for point in piece]


@dataclass(frozen=True, slots=True)
class Axis:
    """`form` writes a tick ("percent", "number" or "whole"); `include` are values that must be in sight; `limits` bound the range."""

    label: str
    form: str = "number"
    include: tuple[float, ...] = ()
    limits: tuple[float, float] = (-math.inf, math.inf)
    ticks: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def chart(
    key: str,
    title: str,
    description: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    rule: tuple[float, str] | None = None,
    bands: Sequence[tuple[float, str]] = (),
) -> Markup | None:
    """The panel, or None when no series has a point. `key` makes the ids; `rule` is a horizontal line with its name;
    `bands` are vertical lines with the name of what begins there."""
    points = [p for s in series for p in s.points]
    if not points:
        return None
    ends = [v for p in points for v in (p.y, p.low, p.high, *(p.inner or ())) if v is not None]
    across, up = _range([p.x for p in points], x), _range(ends, y)
    sx, sy = Scale(*across, LEFT + 8, RIGHT - 6), Scale(*up, BOTTOM, TOP)
    parts = [*_axes(x, y, sx, sy)]
    for at, name in bands:
        parts.append(
            f'<line class="band" x1="{sx(at):.1f}" x2="{sx(at):.1f}" y1="{TOP - 6}" y2="{BOTTOM}"/>'
            f'<text class="tick" x="{sx(at) + 3:.1f}" y="{TOP + 1}">{escape(name)}</text>'
        )
    if rule is not None:
        at = sy(rule[0])
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
    parts += [_series(s, sx, sy) for s in series]
    if rule is not None:  # its name last, above the marks
        left, base = _free_spot(rule[1], sy(rule[0]), _drawn(series, sx, sy))
        parts.append(f'<text class="tick halo" x="{left:.1f}" y="{base:.1f}">{escape(rule[1])}</text>')
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escape(title)}</title><desc id="{key}-d">{escape(description)}</desc>'
        + "".join(parts)
        + "</svg>"
    )


def swatch(kind: str) -> Markup:
    """The small mark of a legend."""
    drawn = f'<path class="line {kind}" d="M1 6H23"/>{_marker(MARKERS[kind], 12, 6)}'
    return Markup(f'<svg class="swatch {kind}" viewBox="0 0 24 12" aria-hidden="true">{drawn}</svg>')


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) inside [low, high], about `wanted` of them."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_text(value: float, form: str, step: float) -> str:
    if form == "percent":
        return f"{100 * value:.{0 if step >= 0.01 else 1}f}%"
    if form == "whole" or step >= 1:
        return f"{value:,.0f}".replace("-", "−")
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return (f"{value:.{places}f}" if places < 5 else f"{value:.0e}").replace("-", "−")


def _range(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    """The data's span with room around it, what must be seen included, within the limits; never of zero width."""
    seen = [*values, *axis.include]
    low, high = min(seen), max(seen)
    room = 0.06 * (high - low) or max(abs(high) * 0.1, 0.5 if axis.form == "whole" else 1e-3)
    low, high = max(low - room, axis.limits[0]), min(high + room, axis.limits[1])
    return (low, high) if high > low else (low, low + room)


def _axes(x: Axis, y: Axis, sx: Scale, sy: Scale) -> list[str]:
    parts = []
    ups = nice_ticks(sy.low, sy.high)
    for value in ups:
        at = f"{sy(value):.1f}"
        text = tick_text(value, y.form, ups[1] - ups[0] if len(ups) > 1 else 0.01)
        parts.append(f'<line class="guide" x1="{LEFT}" x2="{RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 5}" y="{sy(value) + 4:.1f}">{text}</text>')
    outs = [v for v in x.ticks if sx.low <= v <= sx.high] if x.ticks is not None else nice_ticks(sx.low, sx.high)
    if x.form == "whole":
        outs = [v for v in outs if v == int(v)]
    gap = outs[1] - outs[0] if len(outs) > 1 else 1.0
    for value in outs:
        text = tick_text(value, x.form, gap)
        parts.append(f'<text class="tick mid" x="{sx(value):.1f}" y="{BOTTOM + 15}">{text}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
    parts.append(f'<text class="label mid" x="{(LEFT + RIGHT) / 2:.0f}" y="{HEIGHT - 8}">{escape(x.label)}</text>')
    middle = (TOP + BOTTOM) / 2
    parts.append(f'<text class="label mid" transform="translate(9 {middle:.0f}) rotate(-90)">{escape(y.label)}</text>')
    return parts


def _drawn(series: Sequence[Series], sx: Scale, sy: Scale) -> list[tuple[float, float]]:
    """Pixels that the marks, intervals and lines pass through, a few to each."""
    found = []
    for one in series:
        for p in one.points:
            ends = [p.y if v is None else v for v in (p.low, p.high)]
            found += [(sx(p.x) + one.nudge, sy(ends[0] + (ends[1] - ends[0]) * i / 8)) for i in range(9)]
        for piece in one.pieces:
            for a, b in pairwise(piece):
                found += [(sx(a.x + (b.x - a.x) * i / 8), sy(a.y + (b.y - a.y) * i / 8)) for i in range(9)]
    return found


def _free_spot(name: str, at: float, drawn: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where (left, base line) a rule's name covers the least: at either end of the rule at height `at`, under or over it."""
    width = 5.9 * len(name)
    under = [at + 12] if at + 16 < BOTTOM else []
    over = [at - 4] if at - 16 > TOP else []
    spots = [(left, base) for left in (RIGHT - width, LEFT + 2) for base in (*under, *over)]

    def covered(spot: tuple[float, float]) -> int:
        left, base = spot
        return sum(left - 4 <= x <= left + width + 4 and base - 13 <= y <= base + 6 for x, y in drawn)

    return min(spots, key=covered)


def _series(series: Series, sx: Scale, sy: Scale) -> str:
    parts = [f'<g class="{series.kind}">']
    for piece in series.pieces:
        if len(piece) > 1:
            path = "L".join(f"{sx(p.x) + series.nudge:.1f} {sy(p.y):.1f}" for p in piece)
            parts.append(f'<path class="line" d="M{path}"/>')
    marker, half = MARKERS[series.kind], len(series.points) > 24  # many marks are drawn at half the size
    for point in series.points:
        x = sx(point.x) + series.nudge
        at = f"{x:.1f}"
        parts.append("<g>" + (f"<title>{escape(point.tip)}</title>" if point.tip else ""))
        if point.low is not None and point.high is not None:
            parts.append(f'<line class="span" x1="{at}" x2="{at}" y1="{sy(point.low):.1f}" y2="{sy(point.high):.1f}"/>')
        if point.inner is not None:
            low, high = (f"{sy(v):.1f}" for v in point.inner)
            parts.append(f'<line class="inner" x1="{at}" x2="{at}" y1="{low}" y2="{high}"/>')
        parts.append(_marker(marker, x, sy(point.y), 0.5 if half else 1.0))
        if point.tag:
            parts.append(
                f'<text class="tag halo" x="{x + 7:.1f}" y="{sy(point.y) + 14:.1f}">{escape(point.tag)}</text>'
            )
        parts.append("</g>")
    return "".join(parts) + "</g>"


def _marker(marker: str, x: float, y: float, size: float = 1.0) -> str:
    if marker == "circle":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{4 * size:g}"/>'
    if marker == "square":
        side = 7 * size
        return f'<rect class="mark" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:g}" height="{side:g}"/>'
    if marker == "diamond":
        r = 5 * size
        return f'<path class="mark" d="M{x:.1f} {y - r:.1f}l{r:g} {r:g}l{-r:g} {r:g}l{-r:g} {-r:g}z"/>'
    return ""
