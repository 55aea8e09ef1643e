"""The end of `windvane train`: summary.json, the page, RUN/model with its card, manifest.json; a few lines on the terminal.

In: a run folder whose model stands. What is measured is the loss, and for preferences the accuracy, on rows whose prompts were never
trained on, before and after. The accuracy's 95% interval is Wilson's, over the held-out rows; the loss has none, one seed was run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from windvane.finetune.card import own_card
from windvane.finetune.panels import render
from windvane.report.page import write_report
from windvane.runs.publish import publish_model
from windvane.runs.store import RunFolder, read_jsonl, write_atomic
from windvane.stats.clustered import wilson

FOLLOWED = (
    "loss",
    "accuracy",
    "chosen_logratio",
    "rejected_logratio",
    "chosen_logps",
    "rejected_logps",
    "nll",
    "kl_estimate",
)


def finish_own(run: RunFolder, settings: Any) -> None:
    """Write what is missing and print what was measured."""
    if not run.finished("manifest.json"):
        run.status("report", 0, 1)
        write_atomic(
            run / "summary.json", json.dumps(own_summary(run.path, settings), indent=1, allow_nan=False) + "\n"
        )
        write_report(run.path, render)
        publish_model(run / "iter-1" / "model", run / "model", own_card(run.path))
        run.write_manifest()
    run.status("done", 1, 1)
    print(told(json.loads((run / "summary.json").read_text(encoding="utf-8"))))
    print(f"\nreport: {run / 'report.html'}\nmodel:  {run / 'model'}")


def own_summary(run: Path, s: Any) -> dict[str, Any]:
    """What summary.json holds; `held_out` is None where no row was held out."""
    metrics = [row for _, row in read_jsonl(run / "iter-1/train/metrics.jsonl")]
    measured = [r for r in metrics if r["split"] == "held-out"]
    trained = [r for r in metrics if r["split"] == "train"]
    groups = [row for _, row in read_jsonl(run / "iter-1/groups.jsonl")]
    held_ids = {row["id"] for _, row in read_jsonl(run / "iter-1/held_out.jsonl")}
    refused = [row for _, row in read_jsonl(run / "iter-1/refused.jsonl")]
    later = [r for r in measured if r["step"] > 0]
    held = None
    if measured and later:
        kept = min(later, key=lambda r: r["loss"]) if s.train.keep == "best" else later[-1]
        held = {
            "rows": len(held_ids),
            "start": _followed(measured[0]),
            "end": _followed(kept),
            "kept_step": kept["step"],
        }
        if "accuracy" in kept:
            low, high = wilson(kept["accuracy"], len(held_ids))
            held |= {"accuracy_low": low, "accuracy_high": high}
    notes = []
    if held is None:
        notes.append("No row was held out, so nothing says whether what was learnt holds for other prompts.")
    if refused:
        notes.append(f"{len(refused)} rows of the data were left out: iter-1/refused.jsonl has each with its reason.")
    return {
        "recipe": "train",
        "objective": s.objective,
        "model": s.model,
        "data": s.data,
        "rows": len(groups),
        "used": {name: sum(g["status"] == name for g in groups) for name in sorted({g["status"] for g in groups})},
        "refused": len(refused),
        "steps": len(trained),
        "first_loss": trained[0]["loss"],
        "last_loss": trained[-1]["loss"],
        "held_out": held,
        "iterations": [],
        "report": "report.html",
        "notes": notes,
    }


def _followed(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in FOLLOWED if name in row}


def told(summary: dict[str, Any]) -> str:
    """What was measured, in plain lines."""
    lines = [
        f"{summary['rows']} rows, {summary['refused']} refused, {summary['steps']} steps of {summary['objective']}: training loss "
        f"{summary['first_loss']:.4f} at the first step, {summary['last_loss']:.4f} at the last"
    ]
    held = summary["held_out"]
    if held is None:
        return "\n".join([*lines, *summary["notes"]])
    rows = held["rows"]
    lines.append(f"on {rows} held-out rows: loss {held['start']['loss']:.4f} before, {held['end']['loss']:.4f} after")
    if "accuracy_low" in held:
        lines[-1] += (
            f"; chosen above rejected in {held['end']['accuracy']:.3f} of them "
            f"[{held['accuracy_low']:.3f}, {held['accuracy_high']:.3f}]"
        )
    return "\n".join(lines)
