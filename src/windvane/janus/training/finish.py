"""The end of `windvane train janus`: what each model's training came to, the report, RUN/model with a card, the manifest.

In: a run folder whose models stand. Out: summary.json, report.html, model/, manifest.json. Everything is a function of the run's files
alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from windvane.core.families import is_family
from windvane.janus.training.best_of import BEST, counts
from windvane.janus.training.report import render
from windvane.janus.training.settings import Name, TrainJanus, start_of
from windvane.report.page import write_report
from windvane.runs.publish import publish_model
from windvane.runs.store import RunFolder, read_jsonl, write_atomic

REWARDS = ("reward", "reward-general")


def finish(run: RunFolder, s: TrainJanus, notes: list[str]) -> None:
    """Write everything."""
    found = {name: _reward(run / name, name) if name in REWARDS else _model(run / name, name) for name in s.wanted}
    summary: dict[str, Any] = {
        "recipe": "train janus",
        "model": s.model,
        "models": [{"name": name, "start": start_of(name) or s.model, **figures} for name, figures in found.items()],
        "notes": notes,
    }
    if s.best_of.model is not None:
        summary["best_of"] = _best_of(run, s)
    write_atomic(run / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    write_report(run.path, render)
    last = [name for name in s.wanted if name not in REWARDS]
    if last:
        _publish(run, last[-1], found[last[-1]], s)
    run.write_manifest()
    run.status("done", 1, 1)


def _model(folder: Path, name: Name) -> dict[str, Any]:
    """Held-out loss before and after (of the step that was kept), and what rows shared."""
    rows = [row for _, row in read_jsonl(folder / "train" / "metrics.jsonl")]
    held = [row for row in rows if row["split"] == "held-out"]
    steps = [row for row in rows if row["split"] == "train"]
    return {
        "steps": len(steps),
        "train_loss": steps[-1]["loss"],
        "test_loss_start": held[0]["loss"] if held else None,
        "test_loss": held[-1]["loss"] if held else None,
        **json.loads((folder / "shared.json").read_text(encoding="utf-8")),
    }


def _reward(folder: Path, name: Name) -> dict[str, Any]:
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    test, held, tokens = found.get("test", {}), found["held_out"], found["tokens"]
    general = {"general_accuracy": held.get("accuracy"), "general_pairs": held["pairs"]}
    return {
        "pairs": found["drawn"],
        "accuracy": test.get("accuracy"),  # on the collection's test instructions, which no model before it saw
        "test_pairs": test.get("pairs", 0),
        **(general if name == "reward-general" else {}),
        "row_tokens": tokens["rows"],
        "tree_tokens": tokens["trees"],
        "saved": round(1 - tokens["trees"] / tokens["rows"], 4),
    }


def _best_of(run: RunFolder, s: TrainJanus) -> dict[str, Any]:
    """Mean reward of the favourite of N over the prompts."""
    rows = [row for _, row in read_jsonl(run / f"{BEST}.jsonl")]
    curve = {str(n): sum(row["curve"][str(n)] for row in rows) / len(rows) for n in counts(s.best_of.most)}
    return {"model": s.best_of.model, "prompts": len(rows), "reward": curve}


def _publish(run: RunFolder, name: Name, figures: dict[str, Any], s: TrainJanus) -> None:
    """RUN/model: the last model that answers, linked where the file system can."""
    lines = [f"- {key.replace('_', ' ')}: {value}" for key, value in figures.items() if value is not None]
    base = "an embedded toy model" if is_family(s.model) else f"`{Path(s.model).name}`"
    text = (
        f"# {name}\n\nTrained by `windvane train janus` (Aligning to Thousands of Preferences, arXiv 2405.17977) from {base}: it "
        "takes a person's values in the system message. Measured in training; losses in nats, held out on the collection's test "
        "instructions:\n\n" + "\n".join(lines) + "\n"
    )
    publish_model(run / name / "model", run / "model", text)


def table(summary: dict[str, Any], folder: Path) -> str:
    """For a terminal."""
    lines = []
    for row in summary["models"]:
        if "accuracy" in row:
            told = (
                f"accuracy {row['accuracy']:.3f} on {row['test_pairs']} test pairs"
                if row["test_pairs"]
                else "no test pairs"
            )
            if row.get("general_pairs"):
                told += f", {row['general_accuracy']:.3f} on {row['general_pairs']} general ones held out"
            what = told
        elif row["test_loss"] is None:
            what = f"{row['steps']} steps, training loss {row['train_loss']:.4g}, nothing held out"
        else:
            what = f"{row['steps']} steps, test loss {row['test_loss_start']:.4g} -> {row['test_loss']:.4g}"
        lines.append(f"{row['name']:>14}  from {row['start']}: {what}; {row['saved']:.1%} of the rows' tokens shared")
    if "best_of" in summary:
        curve = ", ".join(f"{n}: {reward:.3f}" for n, reward in summary["best_of"]["reward"].items())
        lines.append(f"best of N by the reward model, its own mean reward (it rises by its making): {curve}")
    model = f"\nmodel:  {folder / 'model'}" if (folder / "model").exists() else ""
    return "\n".join([*lines, *summary["notes"], f"report: {folder / 'report.html'}{model}"])
