"""The page's charts, each with its title, caption, legend and the file its numbers are from.

In: a `Gathered`. Out: `Panel`s by name, ready for the template; one without data says so in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from windvane.charts.panels import Axis, Point, Series, chart, swatch
from windvane.report.gather import Curve, Gathered, Quantiles
from windvane.report.tables import number
from windvane.report.verdict import NOT_MEASURED, interval, measured_on, percent

HALF = (0.5, "no difference")
SPREAD = "Dot: median; thick: the middle half; thin: the middle 90%"
RATE = ("Win rate", "percent", (0.5,), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    caption: str
    file: str
    svg: Markup | None
    legend: list[tuple[Markup, str]]
    empty: str


def panels(found: Gathered) -> dict[str, Panel]:
    """Every chart of the page."""
    return {**_wins(found), **_training(found), **_drift(found), **_judge(found)}


def panel(
    key: str, title: str, caption: str, file: str, series: Sequence[Series], x: Axis, y: Axis,
    rule: tuple[float, str] | None = None, bands: Sequence[tuple[float, str]] = (), empty: str = "Not measured yet.",
) -> Panel:  # fmt: skip
    drawn = [s for s in series if s.points]
    description = f"{caption} {' '.join(_told(s, y) for s in drawn)}"
    svg = chart(f"chart-{key}", title, description, drawn, x, y, rule, bands)
    return Panel(title, caption, file, svg, [(swatch(s.kind), s.name) for s in drawn], empty)


def _told(series: Series, y: Axis) -> str:
    """The series' ends in words, for who cannot see it."""
    first, last = series.points[0].y, series.points[-1].y
    form: Callable[[float], str] = percent if y.form == "percent" else number
    return f"{series.name}: from {form(first)} to {form(last)}."


def _iterations(found: Gathered) -> Axis:
    known = sorted({*found.iterations, *found.judged, *found.lengths})
    step = max(1, len(known) // 12)
    return Axis("Iteration", "whole", ticks=tuple(float(n) for n in known[::step]))


def _rates(found: Gathered, kind: str, keys: tuple[str, str, str], over: str = "", first: int = 0) -> Series:
    """One win rate by iteration, or by the number under `over`, where the held-out judge's points carry their iteration."""
    name, nudge = ("Held-out judge", -3.0) if kind == "true" else ("Proxy (trained on)", 3.0)
    points = []
    for n, row in sorted(found.iterations.items()):
        rate, low, high = (row.get(key) for key in keys)
        x = row.get(over) if over else n
        if n < first or rate is None or x is None:
            continue
        tip = f"{name}, iteration {n}: {percent(rate)} (95% interval {interval(low, high)})"
        tag = str(n) if over and n and (kind == "true" or row.get("win_rate") is None) else ""
        points.append(Point(x, rate, low, high, tip=tip, tag=tag))
    return Series(name, kind, (tuple(points),), nudge)


def _wins(found: Gathered) -> dict[str, Panel]:
    true, proxy = ("win_rate", "low", "high"), ("proxy_win_rate", "proxy_low", "proxy_high")
    before = ("win_rate_previous", "low_previous", "high_previous")
    proxy_before = ("proxy_win_rate_previous", "proxy_low_previous", "proxy_high_previous")
    judged = bool(found.summary.get("evaluation_judge")) or not found.iterations
    empty = "Not measured yet." if judged else f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}."
    x, y = _iterations(found), Axis(*RATE)
    both = [_rates(found, "true", true), _rates(found, "proxy", proxy)]
    steps = [_rates(found, "true", before, first=1), _rates(found, "proxy", proxy_before, first=1)]
    drift = [_rates(found, "true", true, "kl"), _rates(found, "proxy", proxy, "kl")]
    kl = Axis("KL to the start, nats per sequence", include=(0.0,), limits=(0.0, float("inf")))
    seen = "" if judged else f" Held-out judge {NOT_MEASURED}."
    wins = {n: q for n, q in found.wins.items() if n}
    return {
        "start": panel(
            "start", "Win rate against the start", f"Bars: 95% intervals.{seen}", "summary.json", both, x, y, HALF, empty=empty,
        ),
        "previous": panel(
            "previous", "Against the iteration before", "Does another iteration still help? Bars: 95% intervals.", "summary.json",
            steps, x, y, HALF, empty=empty,
        ),
        "kl_wins": panel(
            "kl-wins", "Win rate against KL", "What the drift bought; the numbers are iterations. A proxy that rises alone is being gamed.",
            "summary.json", drift, kl, y, HALF, empty=empty,
        ),
        "spread": panel(
            "spread", "Prompt by prompt", f"Held-out judge, against the start. {SPREAD} of prompts.", "iter-*/evaluation.jsonl",
            [_spread(wins, "Win probability", percent)], x, Axis("P(wins)", "percent", (0.5,), (0.0, 1.0)), HALF, empty=empty,
        ),
    }  # fmt: skip


def stretches(curves: Mapping[int, Curve]) -> tuple[dict[int, int], list[tuple[float, str]]]:
    """Where each iteration begins on the common axis of steps, and the lines that say so."""
    offsets, total = {}, 0
    for n, one in sorted(curves.items()):
        offsets[n] = total
        total += one.steps
    every = max(1, len(offsets) // 6)
    return offsets, [(float(at), f"it. {n}") for i, (n, at) in enumerate(offsets.items()) if i % every == 0]


def traced(
    found: Gathered, offsets: Mapping[int, int], name: str, kind: str, split: str, key: str, percents: bool
) -> Series:
    pieces = []
    for n, one in sorted(found.curves.items()):
        rows = one.train if split == "train" else one.heldout
        points = []
        for row in rows:
            if key in row:
                told = percent(row[key]) if percents else number(row[key], 4)
                tip = f"{name}, iteration {n}, step {row['step']:,.0f}: {told}" if split != "train" else ""
                points.append(Point(offsets[n] + row["step"], row[key], tip=tip))
        pieces.append(tuple(points))
    return Series(name, kind, tuple(pieces))


def _training(found: Gathered) -> dict[str, Panel]:
    offsets, bands = stretches(found.curves)
    x = Axis("Optimizer steps, all iterations", "whole", include=(0.0,), limits=(0.0, float("inf")))
    thin = max((c.per_point for c in found.curves.values()), default=1.0)
    mean = f" Each training point is a mean of about {thin:.0f} steps." if thin >= 1.5 else ""
    file, empty = "iter-*/train/metrics.jsonl", "No training step has been taken yet."

    def pair(key: str, percents: bool) -> list[Series]:
        return [
            traced(found, offsets, "Training", "train", "train", key, percents),
            traced(found, offsets, "Held aside", "heldout", "held-out", key, percents),
        ]

    ratios = [
        traced(found, offsets, "Chosen, training", "chosen-train", "train", "chosen_logratio", False),
        traced(found, offsets, "Rejected, training", "rejected-train", "train", "rejected_logratio", False),
        traced(found, offsets, "Chosen, held aside", "chosen", "held-out", "chosen_logratio", False),
        traced(found, offsets, "Rejected, held aside", "rejected", "held-out", "rejected_logratio", False),
    ]
    return {
        "loss": panel("loss", "Loss", f"The objective’s own units.{mean}", file, pair("loss", False), x, Axis("Loss"), None, bands, empty),
        "accuracy": panel(
            "accuracy", "Reward accuracy", f"How often the chosen answer has the higher log-ratio.{mean}", file, pair("accuracy", True), x,
            Axis("Accuracy", "percent", (0.5,), (0.0, 1.0)), (0.5, "chance"), bands, empty,
        ),
        "ratios": panel(
            "ratios", "Log-ratio of chosen and of rejected", "log π(y|x) − log π_ref(y|x), summed over tokens, nats.", file, ratios, x,
            Axis("Log-ratio, nats", include=(0.0,)), (0.0, "the reference"), bands, empty,
        ),
    }  # fmt: skip


def _spread(found: Mapping[int, Quantiles], name: str, form: Callable[[float], str]) -> Series:
    points = []
    for n, q in sorted(found.items()):
        p5, p25, p50, p75, p95 = map(form, q)
        tip = f"{name}, iteration {n}: median {p50}, half between {p25} and {p75}, 90% between {p5} and {p95}"
        points.append(Point(n, q[2], q[0], q[4], (q[1], q[3]), tip))
    return Series(name, "plain", (tuple(points),))


def _single(found: Gathered, name: str, kind: str, key: str) -> Series:
    rows = [(n, row[key]) for n, row in sorted(found.iterations.items()) if row.get(key) is not None]
    return Series(name, kind, (tuple(Point(n, v, tip=f"{name}, iteration {n}: {number(v, 3)} nats") for n, v in rows),))


def _drift(found: Gathered) -> dict[str, Panel]:
    x = _iterations(found)
    aside = [
        _single(found, "Chosen", "chosen", "chosen_logps"),
        _single(found, "Rejected", "rejected", "rejected_logps"),
    ]
    lengths = [_spread(found.lengths, "Length", lambda v: f"{v:,.0f} tokens")]
    drift = [_spread(found.kl, "KL", lambda v: f"{v:.2f} nats")]
    floor = (0.0, float("inf"))
    return {
        "aside": panel(
            "aside", "Log-prob of chosen and rejected", f"Policy minus reference, mean over {measured_on(found)}.",
            "summary.json", aside, x, Axis("Change, nats", include=(0.0,)), (0.0, "the reference"),
        ),
        "lengths": panel(
            "lengths", "Length of answers", f"{SPREAD} of answers.", "iter-*/answers.jsonl", lengths, x,
            Axis("Tokens", include=(0.0,), limits=floor),
        ),
        "kl": panel(
            "kl", "KL to the start", f"{SPREAD} of prompts.", "iter-*/evaluation.jsonl", drift, x,
            Axis("Nats per sequence", include=(0.0,), limits=floor),
        ),
    }  # fmt: skip


def _share(found: Gathered, name: str, kind: str, key: str, nudge: float) -> Series:
    points = []
    for n, result in sorted(found.cycles.by_iteration.items()):
        mean, low, high = (result[key][end] for end in ("mean", "low", "high"))
        points.append(Point(n, mean, low, high, tip=f"{name}, iteration {n}: {percent(mean)} ({interval(low, high)})"))
    return Series(name, kind, (tuple(points),), nudge)


def _judge(found: Gathered) -> dict[str, Panel]:
    x = _iterations(found)
    disagreement = {n: j.disagreement for n, j in found.judged.items() if j.disagreement}
    gap = {n: j.gap for n, j in found.judged.items() if j.gap}
    shares = [(n, j.cyclic_triples, j.triples) for n, j in sorted(found.judged.items()) if j.triples]
    cycles = [Point(n, c / t, tip=f"Iteration {n}: {c:,} of {t:,} triples") for n, c, t in shares]
    unit, empty = (0.0, 1.0), "Nothing has been judged yet."
    unexplained = [
        _share(found, "The judge", "plain", "share", -3.0),
        _share(found, "A transitive judge, as noisy", "noise", "null", 3.0),
    ]
    return {
        "intransitivity": panel(
            "intransitivity", "What no scalar score explains",
            "Share of the judge’s log-odds. Bars: 95% over prompts; of the transitive judge, 95% of its draws.",
            "iter-*/verdicts.jsonl", unexplained, x, Axis("Share", "percent", (0.0, 0.05), unit),
            empty="Nothing has been judged in a circle yet." if found.judged else empty,
        ),
        "disagreement": panel(
            "disagreement", "Order disagreement", f"{SPREAD} of judged pairs.", "iter-*/verdicts.jsonl",
            [_spread(disagreement, "Order disagreement", lambda v: f"{v:.3f}")], x,
            Axis("Disagreement", include=(0.0, 0.05), limits=unit), empty=empty,
        ),
        "gap": panel(
            "gap", "How far chosen is from rejected", f"{SPREAD} of pairs. P(beats the other answers), chosen minus rejected.",
            "iter-*/groups.jsonl", [_spread(gap, "Gap", lambda v: f"{v:.3f}")], x,
            Axis("Gap in P", include=(0.0,), limits=unit), empty=empty,
        ),
        "cycles": panel(
            "cycles", "Cyclic triples", "Share of answer triples that the judge puts in a circle.", "iter-*/groups.jsonl",
            [Series("Cyclic triples", "plain", (tuple(cycles),))], x, Axis("Share", "percent", (0.0, 0.05), unit), empty=empty,
        ),
    }  # fmt: skip
