"""An EvalYaks run on the page: its first sentences, tables and the adapters' losses.

In: a `Gathered` whose summary is speech_finish's, and the run folder's evaluations and metrics. Out: an `Answer`, `Table`s and `Panel`s.
"Closer to the reference" is said only when the whole 95% interval of the paired difference lies above 0; what the adapters are not ahead
of (no weights, a constant) stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windvane.charts.panels import Axis
from windvane.report.browse import browse
from windvane.report.evaluations import evaluations
from windvane.report.gather import Gathered, curve, gather
from windvane.report.page import Contents, render_contents
from windvane.report.panels import Panel, panel, stretches, traced
from windvane.report.tables import Table, number
from windvane.report.verdict import Answer
from windvane.runs.store import read_jsonl

SECTIONS = (
    ("answer", "Answer"),
    ("conversations", "Data"),
    ("training", "Training"),
    ("evaluations", "Evaluations"),
    ("settings", "Settings"),
)
MEASURES = ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk", "coverage")
SPLITS = {
    "train": "trained on",
    "held-out": "held out, with their near-duplicates",
    "test": "another source, tested on",
}
WHERE = {"cefr-test": "conversations of another source", "cefr-held-out": "held-out conversations"}


def render(run: Path) -> str | None:
    """The page of an EvalYaks run; None where the folder is another recipe's."""
    gathered = gather(run)
    if gathered.summary.get("recipe") != "evalyaks":
        return None
    panels, tables = graded_panels(gathered, run), graded_tables(gathered)
    contents = Contents("graded", SECTIONS, graded_answer(gathered, run), panels, tables, browse(run))
    return render_contents(gathered, evaluations(run), contents)


def graded_answer(found: Gathered, run: Path) -> Answer:
    """Trained against base on the test conversations, or the held-out ones where there are none of another source."""
    measured = found.summary.get("evaluations", {})
    name = next((n for n in WHERE if n in measured), None)
    if name is None:
        return Answer("unsure", "Not measured yet", "No conversation has been scored so far.", [], None)
    result = json.loads((run / "evaluations" / name / "result.json").read_text(encoding="utf-8"))
    gaps = {d["other"]: d for d in result["differences"] if _counts(d)}
    rows = {row["system"]: row for row in measured[name]}
    trained, base = rows["trained"], rows["base"]
    sentence = (
        f"On {result['rows']:,} {WHERE[name]} acceptable accuracy goes from {number(base['acceptable_accuracy'], 3)} to "
        f"{number(trained['acceptable_accuracy'], 3)} ({_told(gaps['base'])}), the degree of variation from {number(base['dov'])} to "
        f"{number(trained['dov'])} bands; means over parts."
    )
    remarks = []
    lines = sorted(o for o in gaps if o.startswith("constant"))
    best = max(lines, key=lambda o: rows[o]["acceptable_accuracy"] or 0.0)
    for other, called in (
        ("weight-free", "the scorer that needs no weights"),
        (best, f"answering {best.split()[1]} to everybody"),
    ):
        tone, how = _side(gaps[other])
        remarks.append((tone, f"It is {how} {called} ({_told(gaps[other])})."))
    tone, how = _side(gaps["base"])
    headline = {"good": "Closer to the reference than the base", "bad": "Farther from the reference than the base"}.get(
        tone, "No difference to the base is shown"
    )
    return Answer(tone, headline, sentence, remarks, 1)


def _counts(d: Mapping[str, Any]) -> bool:
    return bool(d["model"] == "trained" and d["part"] == "average" and d["measure"] == "acceptable_accuracy")


def _side(d: Mapping[str, Any]) -> tuple[str, str]:
    if d["low"] is None or d["low"] <= 0 <= d["high"]:
        return "unsure", "not shown to differ from"
    return ("good", "ahead of") if d["low"] > 0 else ("bad", "behind")


def _told(d: Mapping[str, Any]) -> str:
    if d["low"] is None:
        return "no interval"
    return f"difference {d['value']:+.3f}, 95% interval {d['low']:+.3f} to {d['high']:+.3f}"


def graded_tables(found: Gathered) -> dict[str, Table]:
    """conversations, adapters, measured, levels."""
    s = found.summary
    data = [[SPLITS.get(name, name), number(count, 0)] for name, count in s.get("conversations", {}).items()]
    data += [[f"left out: {reason}", number(count, 0)] for reason, count in s.get("left_out", {}).items()]
    losses = ("loss_first", "loss_last", "held_out_first", "held_out_last")
    adapters = [[a["name"], number(a["steps"], 0), *(number(a[k], 3) for k in losses)] for a in s.get("adapters", [])]
    measured = [
        [f"{row['system']}, {name.removeprefix('cefr-')}", *(number(row[m], 3) for m in MEASURES)]
        for name, rows in s.get("evaluations", {}).items()
        for row in rows
    ]
    levels = [
        [
            f"{r['adapter']}, {r['by']}",
            number(r["items"], 0),
            number(r["accurate"], 3),
            f"{r['low']:.3f} to {r['high']:.3f}",
        ]
        for r in s.get("levels", [])
    ]
    head = ["Adapter", "Steps", "Loss, first", "Loss, last", "Held out, first", "Held out, last"]
    return {
        "conversations": Table("Conversations", "split.json", ["What became of them", "Conversations"], data, (0,)),
        "adapters": Table("Adapters: nats a token of the answers", "adapters/*/train/metrics.jsonl", head, adapters),
        "measured": Table(
            "Bands against the reference, means over parts", "evaluations/cefr-*/result.json",
            ["System", "Acceptable", "Strict", "DOV", "QWK", "Valid"], measured,
        ),
        "levels": Table(
            "Level of held-out words and sentences told right", "evaluations/levels/result.json",
            ["By", "Items", "Share", "95% interval"], levels,
        ),
    }  # fmt: skip


def graded_panels(found: Gathered, run: Path) -> dict[str, Panel]:
    """loss: the adapters one after another."""
    names = [a["name"] for a in found.summary.get("adapters", [])]
    for at, name in enumerate(names, 1):
        path = run / "adapters" / name / "train" / "metrics.jsonl"
        if path.exists():
            found.curves[at] = curve([row for _, row in read_jsonl(path)])
    offsets, bands = stretches(found.curves)
    whole = sum(one.steps for one in found.curves.values())
    called: list[tuple[float, str]] = []
    for (at_step, _), number_of in zip(bands, sorted(found.curves)):
        far = (
            not called or at_step - max(x for x, name in called if name) > 0.2 * whole
        )  # names would lie on each other
        called.append((at_step, names[number_of - 1] if far else ""))
    series = [
        traced(found, offsets, "Training", "train", "train", "loss", False),
        traced(found, offsets, "Held out", "heldout", "held-out", "loss", False),
    ]
    x = Axis("Optimizer steps, one adapter after another", "whole", include=(0.0,), limits=(0.0, float("inf")))
    about = "Cross-entropy of the answers alone, nats a token."
    loss = panel(
        "loss", "Loss", about, "adapters/*/train/metrics.jsonl", series, x, Axis("Nats per token"), None, called,
        "Nothing was trained yet.",
    )  # fmt: skip
    return {"loss": loss}
