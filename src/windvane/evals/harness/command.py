"""`windvane eval harness`: the papers' short-context suites through EleutherAI's lm-evaluation-harness, one command for a run's iterations.

In: models (or a run folder: its start and every iteration), a suite or tasks. Out: a table, one JSON object; DIR/result.json, DIR/plot.svg
and every item's value. The harness is an extra (`pip install 'windvane[harness]'`); its tasks come from the hub unless --include names a
folder of task files. Values are fractions as the harness gives them, standard errors its own; models are compared with the first one in
pairs, item by item, and the smallest difference that so many items can show stands beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.harness.suites import SUITES, Task, parse_task
from windvane.evals.result_files import default_folder, keep_result, kept_result
from windvane.runs.store import RunFolder, read_jsonl
from windvane.stats.paired import paired_difference

PROG = "windvane eval harness"


def summarise(tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """One object: each model's figures and mean over tasks, and each later model minus the first in pairs of items."""
    labels = list(found)
    models = {
        label: {
            "mean": sum(figures[t.name]["value"] for t in tasks) / len(tasks),
            "tasks": {t.name: {k: figures[t.name][k] for k in ("value", "standard_error", "n")} for t in tasks},
        }
        for label, figures in found.items()
    }
    gaps: dict[str, Any] = {}
    for label in labels[1:]:
        gaps[label] = {}
        for task in tasks:
            mine, base = (_values(folder / name / f"{task.name}.jsonl") for name in (label, labels[0]))
            assert mine.keys() == base.keys(), "the same settings ask the same items"
            gap = paired_difference([mine[i] for i in base], list(base.values()), list(base))
            gaps[label][task.name] = {k: getattr(gap, k) for k in ("mean", "low", "high", "mde", "n")}
    columns = {t.name: {"title": t.title, "shots": t.shots, "metric": t.metric} for t in tasks}
    return {"name": "harness", "columns": columns, "models": models, "minus_first": gaps}


def _values(path: Path) -> dict[str, float]:
    return {row["id"]: row["value"] for _, row in read_jsonl(path)}


def table(result: Mapping[str, Any]) -> str:
    """For people: a row a model in percent; differences from the first with their intervals."""
    columns = result["columns"]
    width = max(map(len, result["models"]))
    heads = [f"{c['title']}({'-' if c['shots'] is None else c['shots']})" for c in columns.values()]
    lines = ["  ".join([" " * width, *(f"{h:>14}" for h in heads), "   mean"])]
    for label, model in result["models"].items():
        cells = []
        for name in columns:
            cell = model["tasks"][name]
            error = "" if cell["standard_error"] is None else f" +-{100 * cell['standard_error']:.2f}"
            cells.append(f"{100 * cell['value']:.2f}{error}".rjust(14))
        lines.append("  ".join([label.ljust(width), *cells, f"{100 * model['mean']:7.2f}"]))
    first = next(iter(result["models"]))
    for label, gaps in result["minus_first"].items():
        for name, gap in gaps.items():
            detectable = "" if gap["mde"] is None else f"; smallest detectable {100 * gap['mde']:.2f}"
            lines.append(
                f"{label} minus {first}, {name}: {100 * gap['mean']:+.2f} [{100 * gap['low']:+.2f}, {100 * gap['high']:+.2f}] "
                f"over {gap['n']} items{detectable}"
            )
    return "\n".join(lines)


def plot(result: Mapping[str, Any]) -> str:
    """SVG: a line a task over the models (a run's iterations), with two standard errors, and their mean."""
    labels, columns = list(result["models"]), result["columns"]
    wide, high, left, top = 640, 300, 46, 16
    step = (wide - left - 150) / max(1, len(labels) - 1)
    points = {c["title"]: [result["models"][m]["tasks"][n] for m in labels] for n, c in columns.items()}
    everything = [v["value"] for v in chain.from_iterable(points.values())]
    low, up = max(0.0, min(everything) - 0.05), min(1.0, max(everything) + 0.05)

    def y(value: float) -> float:
        return top + (high - top - 40) * (1 - (value - low) / (up - low or 1.0))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11">'
    ]
    for i in range(5):
        value = low + (up - low) * i / 4
        out.append(f'<line x1="{left}" x2="{wide - 150}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#8884"/>')
        out.append(
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="currentColor">{100 * value:.0f}</text>'
        )
    for i, label in enumerate(labels):
        anchor = f'x="{left + step * i:.1f}" y="{high - 12}" text-anchor="{"start" if i == 0 else "middle"}"'
        out.append(f'<text {anchor} fill="currentColor">{_escape(label[:24])}</text>')
    colours = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5", "#9c6b4e")
    for k, (title, row) in enumerate(points.items()):
        colour = colours[k % len(colours)]
        path = " ".join(f"{left + step * i:.1f},{y(v['value']):.1f}" for i, v in enumerate(row))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for i, v in enumerate(row):
            x, error = left + step * i, 2 * (v["standard_error"] or 0.0)
            ends = [y(min(up, max(low, v["value"] + s * error))) for s in (-1, 1)]
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}" stroke="{colour}"/>')
            out.append(f'<circle cx="{x:.1f}" cy="{y(v["value"]):.1f}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{wide - 140}" y="{top + 16 * (k + 1)}" fill="{colour}">{_escape(title)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def parser() -> Parser:
    p = Parser(PROG, description="The papers' short-context suites through lm-evaluation-harness.")
    p.add_argument(
        "--model", action="append", required=True, help="a model, or a run folder: its start and iterations; repeatable"
    )
    p.add_argument("--suite", choices=tuple(SUITES), help="a paper's tasks with its shots")
    p.add_argument(
        "--task", action="append", default=[], metavar="NAME[:SHOTS[:METRIC]]", help="a task of the harness; repeatable"
    )
    p.add_argument(
        "--include", type=Path, help="a folder of your own task files (YAML); needs no network if its data are local"
    )
    p.add_argument(
        "--out",
        type=Path,
        help="the folder for results; the same command resumes (evaluations/harness/MODEL below this one)",
    )
    p.add_argument("--limit", type=int, help="only the first so many items of each task: for a trial, not for a table")
    p.add_argument("--chat-template", action="store_true", help="wrap items in the chat template (the papers do not)")
    p.add_argument("--max-length", type=int, help="tokens of context (default: what the model was made for)")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--seed", type=int, default=1234, help="draws the shots")
    p.add_argument("--device", default="auto")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: Sequence[str]) -> int:
    """`windvane eval harness --model RUN --suite open-llm-v1 --out DIR`."""
    a = parser().parse_args(list(argv))
    if bool(a.suite) == bool(a.task):
        raise UserError("give either --suite or --task")
    for name in ("limit", "batch", "max_length"):
        if getattr(a, name) is not None and getattr(a, name) < 1:
            raise UserError(f"--{name.replace('_', '-')}: {getattr(a, name)}; must be at least 1")
    if a.include is not None and not a.include.is_dir():
        raise UserError(f"--include {a.include}: no such folder; give the folder of your task files")
    tasks = list(SUITES[a.suite]) if a.suite else [parse_task(t) for t in a.task]
    if len({t.name for t in tasks}) < len(tasks):
        raise UserError("--task: a task is named twice")
    from windvane.evals.harness.run import Settings, find_models, run  # torch: only once the arguments are right

    if a.out is None:
        a.out = default_folder("harness", "-".join(a.model))
    kept_result(a.out, "harness")
    include = None if a.include is None else str(a.include.resolve())
    models = find_models(a.model)
    settings = Settings(tasks, a.limit, a.chat_template, a.max_length, a.seed, a.dtype, include)
    with RunFolder(a.out) as folder:
        found = run(folder, models, settings, a.device, a.batch)
        result = summarise(tasks, found, a.out)
        if a.limit is not None:
            result["limit"] = a.limit
        keep_result(a.out, result, plot(result))
    print(json.dumps(result) if a.json else table(result))
    return 0
