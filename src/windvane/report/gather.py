"""A run folder as plain data: what the page shows, read from the run's files and nothing else.

In: RUN/summary.json, recipe.toml, and per iteration groups, verdicts, answers, evaluation and train/metrics.jsonl, whichever are
there yet. Out: a `Gathered`. Large files are streamed; what is kept is counts, quantiles and thinned curves.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.report.intransitivity import Cycles, cycles
from windvane.runs.store import read_jsonl

CURVE_POINTS = 240  # a longer training curve is drawn as the means of this many equal stretches
STATUSES = ("pair", "tie", "same", "few", "failed")
ABSOLUTE = re.compile(r"(?<![\w./~])(?:/(?!/)(?:[^/\s\"',;]+/)+|[A-Za-z]:\\(?:[^\\\s]+\\)+)")

Quantiles = tuple[float, float, float, float, float]  # the 5th, 25th, 50th, 75th and 95th percentile


@dataclass(slots=True)
class Judged:
    """What the training judge said in one iteration, counted over groups.jsonl and verdicts.jsonl."""

    prompts: int = 0
    status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    judged_pairs: int = 0
    failed_pairs: int = 0
    tied_pairs: int = 0
    cyclic_triples: int = 0
    triples: int = 0
    gap: Quantiles | None = None  # P(chosen) - P(rejected), p_loo, over groups with a pair
    disagreement: Quantiles | None = None  # over judged verdicts
    mean_disagreement: float | None = None
    reasons: dict[str, int] = field(default_factory=dict)  # why a verdict gave nothing, with counts


@dataclass(slots=True)
class Curve:
    """One iteration's training metrics: `train` and `heldout` rows in the order of their steps, train thinned."""

    train: list[dict[str, float]]
    heldout: list[dict[str, float]]
    steps: int
    per_point: float  # train rows averaged in one point


@dataclass(slots=True)
class Gathered:
    """`iterations`: summary.json's rows by their number; the dicts below are by iteration number too."""

    summary: dict[str, Any]
    settings: list[tuple[str, list[tuple[str, str]]]]  # (table, [(key, value as written)])
    iterations: dict[int, dict[str, Any]]
    judged: dict[int, Judged] = field(default_factory=dict)
    curves: dict[int, Curve] = field(default_factory=dict)
    lengths: dict[int, Quantiles] = field(default_factory=dict)  # tokens of held-out answers
    cut_off: dict[int, float] = field(default_factory=dict)  # share of held-out answers that hit max_new_tokens
    kl: dict[int, Quantiles] = field(default_factory=dict)  # nats a sequence, over held-out prompts
    wins: dict[int, Quantiles] = field(
        default_factory=dict
    )  # held-out judge's P(beats the start), over held-out prompts
    cycles: Cycles = field(default_factory=Cycles)  # how intransitive the training judge was


def gather(run: Path) -> Gathered:
    """Read the run. `UserError` where `run` is not a run folder."""
    if not (run / "summary.json").exists() and not (run / "recipe.toml").exists():
        raise UserError(f"{run}: not a run folder (neither summary.json nor recipe.toml is there); name a run's --out")
    summary = _read_json(run / "summary.json") if (run / "summary.json").exists() else {}
    summary = shorten(summary)
    evaluated = {int(row.get("iteration", i)): row for i, row in enumerate(summary.get("iterations", []))}
    found = Gathered(summary, _settings(run / "recipe.toml"), evaluated)
    for number in iteration_numbers(run):
        folder = run / f"iter-{number}"
        if (folder / "groups.jsonl").exists():
            found.judged[number] = _judged(folder)
        if (folder / "train" / "metrics.jsonl").exists():
            found.curves[number] = curve([row for _, row in read_jsonl(folder / "train" / "metrics.jsonl")])
        if (folder / "answers.jsonl").exists():
            answers = [(len(r["token_ids"]), r["finish"]) for _, r in read_jsonl(folder / "answers.jsonl")]
            if answers:
                found.lengths[number] = quantiles([n for n, _ in answers])
                found.cut_off[number] = sum(finish == "length" for _, finish in answers) / len(answers)
        if (folder / "evaluation.jsonl").exists():
            rows = [row for _, row in read_jsonl(folder / "evaluation.jsonl")]
            for name, kept in (("kl", found.kl), ("win_start", found.wins)):
                values = [row[name] for row in rows if row.get(name) is not None]
                if values:
                    kept[number] = quantiles(values)
    found.cycles = cycles(run, iteration_numbers(run))
    return found


def iteration_numbers(run: Path) -> list[int]:
    """The numbers of the iteration folders that are there."""
    names = (p.name.removeprefix("iter-") for p in run.glob("iter-*") if p.is_dir())
    return sorted(int(name) for name in names if name.isdigit())


def quantiles(values: Sequence[float]) -> Quantiles:
    """Percentiles 5, 25, 50, 75, 95, interpolated linearly between order statistics."""
    ordered = sorted(values)

    def at(q: float) -> float:
        place = q * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return at(0.05), at(0.25), at(0.5), at(0.75), at(0.95)


def zeroed(value: float) -> float:
    """0 for what is only rounding in p_ab + p_ba - 1: a judge that minds no order must not look as if it did."""
    return value if value > 1e-9 else 0.0


def curve(rows: Sequence[dict[str, Any]]) -> Curve:
    """Split a metrics file by its split and thin the train rows to CURVE_POINTS means of consecutive rows."""
    train = sorted((r for r in rows if r["split"] == "train"), key=lambda r: r["step"])
    heldout = sorted((r for r in rows if r["split"] == "held-out"), key=lambda r: r["step"])
    parts = min(len(train), CURVE_POINTS)
    cuts = [len(train) * i // parts for i in range(parts + 1)] if parts else []
    thinned = [_mean_row(train[a:b]) for a, b in pairwise(cuts)]
    steps = max((int(r["step"]) for r in rows), default=0)
    return Curve(thinned, [_mean_row([r]) for r in heldout], steps, len(train) / parts if parts else 1.0)


def shorten(value: Any) -> Any:
    """Absolute paths in settings as their last part (`…/model`): the page must not tell where it was made."""
    if isinstance(value, str):
        return ABSOLUTE.sub("…/", value)
    if isinstance(value, list):
        return [shorten(v) for v in value]
    if isinstance(value, dict):
        return {k: shorten(v) for k, v in value.items()}
    return value


def _mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    means = {}
    for name in rows[0]:
        values = [r[name] for r in rows if isinstance(r.get(name), (int, float)) and math.isfinite(r[name])]
        if values:
            means[name] = sum(values) / len(values)
    return means


def _judged(folder: Path) -> Judged:
    found, gaps = Judged(), []
    for _, group in read_jsonl(folder / "groups.jsonl"):
        found.prompts += 1
        found.status[group["status"]] = found.status.get(group["status"], 0) + 1
        for name in ("judged_pairs", "failed_pairs", "tied_pairs", "cyclic_triples", "triples"):
            setattr(found, name, getattr(found, name) + group[name])
        if group["status"] == "pair":
            p = {m["index"]: m["p_loo"] for m in group["members"]}
            gaps.append(p[group["chosen"]] - p[group["rejected"]])
    found.gap = quantiles(gaps) if gaps else None
    if (folder / "verdicts.jsonl").exists():
        residuals = []
        for _, verdict in read_jsonl(folder / "verdicts.jsonl"):
            if verdict["p"] is None:
                reason = shorten(str(verdict.get("reason")))
                found.reasons[reason] = found.reasons.get(reason, 0) + 1
            elif verdict["disagreement"] is not None:
                residuals.append(zeroed(verdict["disagreement"]))
        if residuals:
            found.disagreement = quantiles(residuals)
            found.mean_disagreement = sum(residuals) / len(residuals)
    return found


def _settings(path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    if not path.exists():
        return []
    try:
        data = shorten(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML ({error})") from None
    tables: dict[str, list[tuple[str, str]]] = {}
    _flatten(data, "", tables)
    return [(name, rows) for name, rows in tables.items() if rows]


def _flatten(data: dict[str, Any], table: str, tables: dict[str, list[tuple[str, str]]]) -> None:
    rows = tables.setdefault(table, [])
    for key, value in data.items():
        if isinstance(value, dict):
            _flatten(value, f"{table}.{key}" if table else key, tables)
        else:
            rows.append((key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error.msg} at line {error.lineno}); run the command again") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a table of results; run the command again")
    return data
