"""A claim's drawings: SVG files that need nothing else, light and dark, with a tooltip a point.

In: panels of named series. Out: the SVG text, a function of its input alone. `dots` shows the arms' seeds and means with their intervals;
`lines` is any figure over iterations or steps, a logarithmic axis where asked. A series is told apart by colour and by dash.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from studies.record import Claim, over_seeds

FIGURES = {  # a claim's own panels: {name: (title, panels)}
    "janus": "studies.janus.section:panels",
    "rubric-sppo": "studies.rubric_sppo.section:panels",
    "sppo": "studies.sppo.figures:panels",
    "longpo": "studies.longpo.figures:panels",
    "longpo-weight": "studies.longpo.figures:panels",
    "evalyaks": "studies.evalyaks.section:panels",
}
WIDTH, PANEL, HEIGHT, LEFT, TOP = 900, 300, 232, 46, 34
COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0f766e", "#be185d", "#475569")
DARK = ("#6cb2ff", "#ff9d66", "#6ee7a0", "#d0a2ff", "#fbbf24", "#5eead4", "#f9a8d4", "#cbd5e1")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 4", "12 3", "6 2 1 2")


@dataclass(frozen=True, slots=True)
class Series:
    """`points`: (x, y); `style` picks colour and dash (the same arm has the same one in every panel)."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """`rule`: a horizontal line at that y."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    log: bool = False  # both axes
    rule: float | None = None


def draw(claim: Claim) -> dict[str, str]:
    """{file name: SVG text}: the arms, and the claim's own figures."""
    made = {f"{claim.claim}-arms.svg": dots(claim)}
    module, _, function = FIGURES.get(claim.claim, "").partition(":")
    if module:
        for name, (title, panels) in getattr(importlib.import_module(module), function)(claim).items():
            made[f"{claim.claim}-{name}.svg"] = lines(title, panels)
    return made


def _style() -> str:
    def rules(colours: Sequence[str]) -> str:
        return "".join(f".c{i}{{stroke:{c};fill:{c}}}" for i, c in enumerate(colours))

    return (
        "svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#222}.grid{stroke:#e2e2e2}.rule{stroke:#888;stroke-dasharray:3 3}"
        ".line{fill:none!important;stroke-width:2}.thick{stroke-width:3}"
        + rules(COLOURS)
        + "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ddd}.grid{stroke:#333}"
        + rules(DARK)
        + "}"
    )


def _sheet(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    size = min(15.0, max(9.0, 15 * (width / 9.0) / max(1, len(title))))  # a long title is smaller, not cut
    top = f'<text x="14" y="22" font-size="{size:.3g}" font-weight="600">{escape(title)}</text>'
    return "\n".join([head, f"<style>{_style()}</style>", top, *parts, "</svg>", ""])


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round values within [low, high]."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Logarithms within [low, high] of 1 (2 and 5 too, on a short axis) times powers of ten."""
    steps = (1, 2, 5) if high - low < 2 else (1,)
    made = [k + math.log10(m) for k in range(math.floor(low), math.ceil(high) + 1) for m in steps]
    return [v for v in made if low <= v <= high]


def dots(claim: Claim) -> str:
    """A row an arm: its seeds as dots, the mean, and the t interval over seeds where there are two or more."""
    every = [v for values in claim.per_seed.values() for v in values]
    spans = {arm: over_seeds(values) for arm, values in claim.per_seed.items()}
    shown = [arm for arm in claim.per_seed if not claim.arms[arm]["secondary"]]
    ends = [e for arm in shown for e in (spans[arm].low, spans[arm].high) if e is not None]
    low, high = min([*every, *ends]), max([*every, *ends])
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)
    left, right = 150, WIDTH - 30
    bottom = 44 + 34 * len(claim.per_seed)

    def at(value: float) -> str:
        return f"{left + (min(max(value, low), high) - low) / (high - low) * (right - left):.1f}"

    parts = []
    for tick in ticks(low, high, 6):
        parts.append(f'<line class="grid" x1="{at(tick)}" x2="{at(tick)}" y1="36" y2="{bottom}"/>')
        parts.append(f'<text x="{at(tick)}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    for row, (arm, values) in enumerate(claim.per_seed.items()):
        y, span, style = 58 + 34 * row, spans[arm], row % len(COLOURS)
        mark = " *" if claim.arms[arm]["secondary"] else ""
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(arm)}{mark}</text>')
        if span.low is not None and span.high is not None and not claim.arms[arm]["secondary"]:
            parts.append(f'<line class="c{style} thick" x1="{at(span.low)}" x2="{at(span.high)}" y1="{y}" y2="{y}"/>')
        for seed, value in zip(claim.seeds, values):
            tip = escape(f"{arm}, seed {seed}: {value:.3f}")
            parts.append(
                f'<circle class="c{style}" cx="{at(value)}" cy="{y}" r="4" fill-opacity=".55"><title>{tip}</title></circle>'
            )
        tip = escape(f"{arm}, mean {span.mean:.3f}")
        parts.append(f'<path class="c{style} thick" d="M{at(span.mean)} {y - 9}V{y + 9}"><title>{tip}</title></path>')
    note = "dots: seeds; bar: mean; line: 95% t interval over seeds; *: fewer seeds, no interval drawn"
    parts.append(f'<text x="{left}" y="{bottom + 38}">{escape(note)}</text>')
    return _sheet(claim.metric, WIDTH, bottom + 50, parts)


def lines(title: str, panels: Sequence[Panel]) -> str:
    """Panels three in a row over one legend."""
    parts, rows = [], math.ceil(len(panels) / 3)
    for i, panel in enumerate(panels):
        parts += _panel(panel, (i % 3) * PANEL, TOP + (i // 3) * HEIGHT)
    names = {s.name: s.style for panel in panels for s in panel.series}
    y, x = TOP + rows * HEIGHT + 14, 14
    for name, style in names.items():
        width = 44 + 7 * len(name)
        if x + width > WIDTH:
            x, y = 14, y + 20
        parts.append(f'<path class="c{style % 8} line" stroke-dasharray="{DASHES[style % 8]}" d="M{x} {y - 4}h26"/>')
        parts.append(f'<text x="{x + 32}" y="{y}">{escape(name)}</text>')
        x += width
    return _sheet(title, WIDTH, y + 14, parts)


def _panel(panel: Panel, x0: float, y0: float) -> list[str]:
    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-9)) if panel.log else value

    xs = [scaled(x) for s in panel.series for x, _ in s.points]
    ys = [scaled(y) for s in panel.series for _, y in s.points] + (
        [scaled(panel.rule)] if panel.rule is not None else []
    )
    (x_low, x_high), (y_low, y_high) = _span(xs), _span(ys)
    left, right, top, bottom = x0 + LEFT, x0 + PANEL - 12, y0 + 24, y0 + HEIGHT - 42

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (scaled(x) - x_low) / (x_high - x_low) * (right - left),
            bottom - (scaled(y) - y_low) / (y_high - y_low) * (bottom - top),
        )

    def value(tick: float) -> float:
        return 10.0**tick if panel.log else tick

    marks = powers if panel.log else ticks

    parts = [f'<text x="{left}" y="{y0 + 12}" font-weight="600">{escape(panel.title)}</text>']
    for tick in marks(y_low, y_high):
        y = at(value(x_low), value(tick))[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{_text(value(tick))}</text>')
    whole = all(x == int(x) for s in panel.series for x, _ in s.points)
    for tick in marks(x_low, x_high):
        if whole and not panel.log and tick != int(tick):
            continue
        x = at(value(tick), value(y_low))[0]
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_text(value(tick))}</text>')
    label = panel.x if panel.y == panel.title else f"{panel.x}; up: {panel.y}"
    parts.append(f'<text x="{(left + right) / 2:.0f}" y="{bottom + 31}" text-anchor="middle">{escape(label)}</text>')
    if panel.rule is not None:
        y = at(value(x_low), panel.rule)[1]
        parts.append(f'<line class="rule" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for series in panel.series:
        kind = f"c{series.style % 8}"
        spots = [at(x, y) for x, y in series.points]
        if series.joined:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            parts.append(
                f'<polyline class="{kind} line" stroke-dasharray="{DASHES[series.style % 8]}" points="{path}"/>'
            )
        for (px, py), (x, y) in zip(spots, series.points):
            tip = escape(f"{series.name}: {_text(x)}, {y:.4g}")
            parts.append(f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="2.5"><title>{tip}</title></circle>')
    return parts


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def _text(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
