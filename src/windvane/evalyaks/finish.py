"""The end of an EvalYaks run: evaluations of the held-out and test conversations and of levels, summary.json, report, manifest, a table.

In: a run folder whose scores stand. Out: RUN/evaluations/cefr-held-out, cefr-test, levels (result.json and plot.svg each), summary.json,
report.html, manifest.json. Everything is a function of the run's files alone. The base is measured by the same scorer and prompt as what
was trained; the weight-free scorer is fitted on the conversations that were trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.families import is_family, offer
from windvane.evals.result_files import keep_result
from windvane.evalyaks.card import adapter_card
from windvane.evalyaks.evaluation.measures import wilson
from windvane.evalyaks.evaluation.result import evaluate, plot
from windvane.evalyaks.evaluation.rows import scored_of
from windvane.evalyaks.evaluation.systems import Bands, System
from windvane.evalyaks.report import render
from windvane.evalyaks.scoring.baseline import expected
from windvane.evalyaks.scoring.fit import fit
from windvane.evalyaks.scoring.score import LIMITS
from windvane.evalyaks.transcripts.record import LEVELS, Transcript
from windvane.report.page import write_report
from windvane.runs.store import RunFolder, read_jsonl, write_atomic

WHICH = ("base", "trained")


def measure(
    run: RunFolder, split: str, records: Sequence[Transcript], train: Sequence[Transcript], settings: Any
) -> None:
    """RUN/evaluations/cefr-SPLIT."""
    folder = run / "evaluations" / f"cefr-{split}"
    if (folder / "result.json").exists():
        return
    rows = [scored_of(r, r.candidate or r.split_group) for r in records]
    systems, reasons = [], {}
    for which in WHICH:
        told = {row["id"]: row for _, row in read_jsonl(run / f"scores-{which}.jsonl")}
        systems.append(System(which, [bands_of(told[r.id]) for r in records]))
        reasons[which] = _reasons([told[r.id] for r in records])
    scorer = fit(train, "ordinal", "the conversations trained on")
    weighed: list[Bands | None] = [expected(scorer, r) or None for r in records]
    systems.append(System("weight-free", weighed, "model", "readable features, fitted on the conversations trained on"))
    result = evaluate(rows, systems, None, settings.resamples, settings.seed)
    result |= {"left_out": {}, "invalid": {name: found for name, found in reasons.items() if found}}
    folder.mkdir(parents=True, exist_ok=True)
    keep_result(folder, result, plot(result))


def bands_of(row: Mapping[str, Any]) -> Bands | None:
    """Expected bands of a line of scores-*.jsonl; None where there are none."""
    return {b["criterion"]: b["expected"] for b in row["bands"]} or None


def _reasons(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["reason"]:
            found[row["reason"]] = found.get(row["reason"], 0) + 1
    return found


def measure_levels(run: RunFolder) -> dict[str, Any] | None:
    """RUN/evaluations/levels: share of held-out lists and sentences whose level is told right (the paper's accurate), or one level off
    (acceptable); None where no level adapter was trained."""
    found: dict[str, dict[str, Any]] = {}
    for which in WHICH:
        for _, row in read_jsonl(run / f"levels-{which}.jsonl"):
            gaps = found.setdefault(row["adapter"], {}).setdefault(which, [])
            told, right = row["level"], LEVELS.index(row["expected"])
            gaps.append(None if told is None else abs(LEVELS.index(told) - right))
    if not found:
        return None
    rows, points = [], []
    for adapter, own in found.items():
        for which, gaps in own.items():
            n = len(gaps)
            exact, near = (sum(g is not None and g <= most for g in gaps) / n for most in (0, 1))
            low, high = wilson(exact, n)
            rows.append(
                {
                    "adapter": adapter,
                    "by": which,
                    "items": n,
                    "accurate": exact,
                    "low": low,
                    "high": high,
                    "at most one level off": near,
                }
            )
            points.append(Point(f"{adapter}, {which}", exact, low, high, int(which == "base")))
    said = "; ".join(f"{r['adapter']}, {r['by']}: {r['accurate']:.3f}" for r in rows)
    result = {"name": "levels", "headline": f"Level told right, {said}.", "rows": rows}
    folder = run / "evaluations" / "levels"
    folder.mkdir(parents=True, exist_ok=True)
    title = "Level of held-out words and sentences told right"
    keep_result(
        folder,
        result,
        interval_plot(points, title, "share, 95% intervals over items", (0.0, 1.0), names=("trained", "base")),
    )
    return result


def finish(run: RunFolder, settings: Any, names: Sequence[str]) -> None:
    """Write what is missing and print the table."""
    if not run.finished("manifest.json"):
        run.status("report", 0, 1)
        levels = measure_levels(run)
        made = summary(run, settings, names, levels)
        write_atomic(run / "summary.json", json.dumps(made, indent=1, allow_nan=False) + "\n")
        for name in names:
            write_atomic(run / "adapters" / name / "model" / "README.md", adapter_card(made, settings, name))
        write_report(run.path, render)
        run.write_manifest()
    run.status("done", 1, 1)
    print(table(run))
    print(f"\nreport:   {run / 'report.html'}\nadapters: {run / 'adapters'}/NAME/model")


def summary(run: RunFolder, settings: Any, names: Sequence[str], levels: Mapping[str, Any] | None) -> dict[str, Any]:
    """What summary.json holds: the data by split, every adapter's training, the averages of every evaluation."""
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    adapters = []
    for name in names:
        rows = [row for _, row in read_jsonl(run / "adapters" / name / "train" / "metrics.jsonl")]
        trained = [row for row in rows if row["split"] == "train"]
        held = [row for row in rows if row["split"] == "held-out"]
        adapters.append(
            {
                "name": name,
                "steps": len(trained),
                "loss_first": trained[0]["loss"],
                "loss_last": trained[-1]["loss"],
                "held_out_first": held[0]["loss"] if held else None,
                "held_out_last": held[-1]["loss"] if held else None,
            }
        )
    measured = {}
    for folder in sorted((run / "evaluations").glob("cefr-*")):
        measured[folder.name] = json.loads((folder / "result.json").read_text(encoding="utf-8"))["models"]
    toy = [offer(settings.model, "describe")[0]()] if is_family(settings.model) else []
    return {
        "recipe": "evalyaks",
        "objective": settings.train.objective,
        "model": settings.model,
        "arm": settings.arm,
        "conversations": split["conversations"],
        "left_out": split["left_out"],
        "adapters": adapters,
        "evaluations": measured,
        "levels": levels["rows"] if levels else [],
        "iterations": [],
        "report": "report.html",
        "notes": [LIMITS, *toy, *(f"Left out, {reason}: {n}." for reason, n in split["left_out"].items())],
    }


def table(run: RunFolder) -> str:
    """A line a system and evaluation."""
    held = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    counts = ", ".join(f"{n} {name}" for name, n in held["conversations"].items())
    lines = [f"conversations: {counts}; arm {held['arm']}"]
    for name, rows in held["evaluations"].items():
        lines.append(f"{name}: {'acceptable':>20}  strict  DOV   QWK   (mean over parts)")
        for row in rows:
            acceptable, strict, dov, qwk = (
                _shown(row[k]) for k in ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk")
            )
            lines.append(f"  {row['system']:<24} {acceptable:>5}  {strict:>5}  {dov:>5}  {qwk:>5}")
    for row in held["levels"]:
        span = f"{row['accurate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        lines.append(f"{row['adapter']}, {row['by']}: level right {span} of {row['items']} held out")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
