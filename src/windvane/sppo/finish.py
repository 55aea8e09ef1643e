"""The end of a run: summary.json, report.html, RUN/model with its card, manifest.json; then a table on the terminal.

In: a run folder whose iterations stand. Everything written here but the manifest is a function of the run's files alone.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from windvane.core.families import is_family, offer
from windvane.core.records import Group
from windvane.datasets.prompt_splits import sources
from windvane.engines.http.budget import Account
from windvane.evals.winrate import summarise
from windvane.report.model_card import model_card
from windvane.report.page import render_self_play, write_report
from windvane.runs.run import Run, RunResult
from windvane.runs.store import RunFolder, read_jsonl, read_records
from windvane.sppo.settings import Sppo


def finish(run: Run[Sppo], account: Account | None) -> RunResult:
    """Write what is missing and print the table. `account`: what the run's servers were asked for."""
    result = run.finish(
        lambda: summary(run),
        page=lambda: write_report(run.path, render_self_play),
        model=run / f"iter-{run.settings.iterations}" / "model",
        card=lambda: model_card(run.path),
    )
    print(table(result))
    print(f"\nreport: {run / 'report.html'}\nmodel:  {result.model}")
    if account is not None:
        spent, counts = account.spent, account.counts
        print(
            f"{counts.answered} answered calls, {counts.reused} taken from the journals; {spent.tokens} tokens, {spent.cost:.4f} in money, "
            "over all resumes"
        )
    return result


def summary(run: Run[Sppo]) -> dict[str, Any]:
    """What summary.json holds: the settings that name the run, and one entry an iteration, the start first."""
    s, notes = run.settings, []
    if not s.evaluate.judge:
        notes.append(
            "The win rate is not measured: no held-out judge was given (evaluate.judge), and the judge that trained must not "
            "evaluate. The proxy win rate is that judge's own."
        )
    if is_family(s.model):
        notes.append(offer(s.model, "describe")[0]())
    iterations = [
        iteration(run.folder, t, s.seed, s.train.keep, s.evaluate.judge is not None) for t in range(s.iterations + 1)
    ]
    if s.evaluate.judge and any(row["unjudged"] for row in iterations):
        counts = ", ".join(
            f"{row['unjudged']} of {row['prompts']} at iteration {row['iteration']}" for row in iterations
        )
        notes.append(f"The held-out judge gave no usable answer on some prompts, which no win rate counts: {counts}.")
    return {
        "recipe": type(s).__name__.lower(),
        "objective": s.train.objective,
        "model": s.model,
        "judge": s.judge,
        "evaluation_judge": s.evaluate.judge,
        "proxy_judge": s.evaluate.proxy or s.judge,
        "prompts": ", ".join(sources(s.prompts)),
        "iterations": iterations,
        "report": "report.html",
        "notes": notes,
    }


def iteration(run: RunFolder, t: int, seed: int, keep: str, judged: bool) -> dict[str, Any]:
    """One entry: held-out figures, and from t = 1 what judging and training showed; log-ratios are those of the step that was kept."""
    folder = run / f"iter-{t}"
    entry = {"iteration": t, **summarise([row for _, row in read_jsonl(folder / "evaluation.jsonl")], seed, judged)}
    if t == 0:
        return entry
    groups = read_records(folder / "groups.jsonl", Group)
    gaps = [g.disagreement for g in groups if g.disagreement is not None]
    rows = [row for _, row in read_jsonl(folder / "train" / "metrics.jsonl")]
    measured = [r for r in rows if r["split"] == "held-out" and r["step"] > 0]
    kept = (min(measured, key=lambda r: r["loss"]) if keep == "best" else measured[-1]) if measured else rows[-1]
    return {
        **entry,
        "chosen_logps": kept.get("chosen_logratio"),
        "rejected_logps": kept.get("rejected_logratio"),
        **{
            f"{side}_{name}": kept.get(f"{side}_{name}")
            for side in ("chosen", "rejected")
            for name in ("target", "reached")
        },
        "logps_of": "held-out groups" if measured else "the last training batch",
        "pairs": sum(g.status == "pair" for g in groups),
        "ties": sum(g.status in ("tie", "same") for g in groups),
        "failed": sum(g.status in ("failed", "few") for g in groups),
        "failed_verdicts": sum(g.failed_pairs for g in groups),
        "disagreement": sum(gaps) / len(gaps) if gaps else None,
        "cyclic_triples": sum(g.cyclic_triples for g in groups),
        "triples": sum(g.triples for g in groups),
    }


def whole_lines(path: Path) -> list[Any]:
    """The rows of a file that a full disk or a kill may have torn (it is no part of the manifest); what is torn is no row."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def table(result: RunResult) -> str:
    """Win rate against the start with its 95% interval, proxy, length, KL and seconds, an iteration a line."""
    held = result.summary
    seconds: dict[str, float] = {}
    for row in whole_lines(result.folder / "timings.jsonl"):
        stage, _, name = row["stage"].partition("/")
        name = "evaluate" if name in ("answers", "samples", "evaluation") else name
        for key in (stage, f"{stage}/{name}"):
            seconds[key] = seconds.get(key, 0.0) + row["seconds"]
    stages = ["responses", "verdicts", "reference", "train", "evaluate"]
    lines = [
        f"{'iteration':>9}  {'win rate vs start':>22}  {'proxy':>6}  {'length':>7}  {'KL':>7}  seconds: "
        + " ".join(f"{name:>9}" for name in stages)
    ]
    for row in held["iterations"]:
        t = row["iteration"]
        rate = (
            "not measured"
            if row["win_rate"] is None
            else f"{row['win_rate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        )
        proxy = "-" if row["proxy_win_rate"] is None else f"{row['proxy_win_rate']:.3f}"
        spent = " ".join(f"{seconds.get(f'iter-{t}/{name}', 0.0):9.1f}" for name in stages)
        lines.append(f"{t:>9}  {rate:>22}  {proxy:>6}  {row['mean_length']:7.1f}  {row['kl']:7.3f}  {'':8} {spent}")
    lines.append(
        f"win rate by {held['evaluation_judge'] or 'no judge'}, proxy by {held['proxy_judge']}, 95% intervals over prompts;"
    )
    lines.append("length in tokens, KL to the start in nats a sequence")
    return "\n".join(lines)
