"""The page of a `windvane train janus` run: each model's losses before and after, what trees shared, best-of-N, evaluations beside it.

In: a run folder with summary.json. Out: the page's text, self-contained and the same bytes for the same run; None where the folder is
another recipe's. All text is escaped by the template.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from windvane.charts.panels import Axis, Point, Series, chart, swatch
from windvane.report.evaluations import evaluations
from windvane.report.frame import fill
from windvane.report.gather import shorten
from windvane.report.panels import Panel
from windvane.report.tables import Table
from windvane.runs.store import read_jsonl

RECIPE = "train janus"
HEAD = ["Model", "From", "Steps or pairs", "Held out, before", "after", "Accuracy", "Shared"]


SECTIONS = (("answer", "Answer"), ("training", "Training"), ("evaluations", "Evaluations"))


def render(run: Path) -> str | None:
    """The page of a `windvane train janus` run; None where the folder is another recipe's."""
    path = run / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):  # the other page says so where it matters
        return None
    if not isinstance(summary, dict) or summary.get("recipe") != RECIPE:
        return None
    summary = shorten(summary)
    models = summary["models"]
    names = [row["name"] for row in models]
    return fill(
        "models.html",
        SECTIONS,
        headline=f"{len(names)} model{'s' if len(names) > 1 else ''} trained",
        lead=f"{', '.join(names)}. What they are worth is for an evaluation to say: a loss says only that training went its way.",
        recipe=RECIPE,
        model=summary["model"],
        notes=summary["notes"],
        models=Table(
            "Models, in the order of their making", "summary.json", HEAD, [_row(row) for row in models], (0, 1)
        ),
        figures=[*(f for name in names if (f := _loss(run, name))), *_best_of(summary.get("best_of"))],
        evaluations=evaluations(run),
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def _row(row: dict[str, Any]) -> list[str]:
    accuracy = row.get("accuracy")
    told = "–" if accuracy is None else f"{100 * accuracy:.1f}% of {row.get('test_pairs', row.get('held_out_pairs'))}"
    size = row["steps"] if "steps" in row else row["pairs"]
    losses = [_number(row.get(name)) for name in ("test_loss_start", "test_loss")]
    return [row["name"], row["start"], f"{size:,}", *losses, told, f"{100 * row['saved']:.1f}%"]


def _loss(run: Path, name: str) -> Panel | None:
    """Loss by step: every step's, and the held-out examples'."""
    file = f"{name}/train/metrics.jsonl"
    if not (run / file).exists():
        return None
    rows, series, legend = [row for _, row in read_jsonl(run / file)], list[Series](), list[tuple[Markup, str]]()
    for kind, split, label in (("train", "train", "training batches"), ("heldout", "held-out", "held out")):
        points = tuple(
            Point(r["step"], r["loss"], tip=f"step {r['step']}: {r['loss']:.4g}") for r in rows if r["split"] == split
        )
        if points:
            series.append(Series(label, kind, (points,)))
            legend.append((swatch(kind), label))
    svg = chart(
        f"loss-{name}", f"{name}: loss", "Loss by optimizer step.", series, Axis("step", "whole"), Axis("loss")
    )  # fmt: skip
    return None if svg is None else Panel(name, "Loss by optimizer step.", file, svg, legend, "")


def _best_of(found: dict[str, Any] | None) -> list[Panel]:
    """The reward model's own mean reward, by N."""
    if found is None:
        return []
    points = tuple(
        Point(math.log2(int(n)), reward, tip=f"best of {n}: {reward:.4g}") for n, reward in found["reward"].items()
    )
    svg = chart(
        "best-of", "Best of N", "Mean reward of the favourite of N answers.", [Series("reward", "plain", (points,))],
        Axis("log2 of N", "whole"), Axis("mean reward"),
    )  # fmt: skip
    caption = (
        f"Answers of {found['model']} to {found['prompts']} test prompts, the reward model’s favourite of N, by its own reward: this rises "
        "with N by its making."
    )
    return [Panel("Best of N", caption, "best-of.jsonl", svg, [(swatch("plain"), "mean reward")], "")] if svg else []
