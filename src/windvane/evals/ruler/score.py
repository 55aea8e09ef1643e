"""RULER's two metrics and what is made of them: tasks, groups apart, effective length.

In: rows with `task`, `length`, `references`, `prediction` (ours or the release's). Out: per length and task the score in percent with
its standard error and interval; per group and over the thirteen; the effective length against the published 85.6 (Llama-2-7B-chat at
4K); the two weighted averages of the published table. Departure: the release takes the plain mean of 13 tasks and stops there; groups
are kept apart here because a model that locates well may not count at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windvane.evals.ruler.tasks import GROUPS, PUBLISHED, TASKS
from windvane.stats.clustered import Z95, interval

THRESHOLD = 85.6


@dataclass(frozen=True, slots=True)
class Row:
    """One answered question. `depths`: where each reference stands in the context (0-1), None where nowhere in particular."""

    id: str
    task: str
    length: int
    references: tuple[str, ...]
    prediction: str
    depths: tuple[float | None, ...]
    cluster: str
    stand_in: bool
    source: str


def found(prediction: str, references: Sequence[str]) -> list[bool]:
    """Per reference: does it stand in the prediction, whatever the case? Control characters count as line breaks."""
    text = re.sub(r"[\x00-\x1f]", "\n", prediction).strip().lower()
    return [r.lower() in text for r in references]


def string_match_all(prediction: str, references: Sequence[str]) -> float:
    """The share of the references that stand in the prediction (needles, vt, cwe, fwe)."""
    hits = found(prediction, references)
    return sum(hits) / len(hits)


def string_match_part(prediction: str, references: Sequence[str]) -> float:
    """1 if any reference stands in the prediction, else 0 (qa)."""
    return float(any(found(prediction, references)))


def row_score(row: Row) -> float:
    metric = string_match_part if TASKS[row.task].metric == "part" else string_match_all
    return metric(row.prediction, row.references)


def _task_result(rows: Sequence[Row]) -> dict[str, Any]:
    mean = interval([row_score(r) for r in rows], [r.cluster for r in rows])
    return {
        "score": 100 * mean.mean,
        "standard_error": None if mean.standard_error is None else 100 * mean.standard_error,
        "low": 100 * mean.low,
        "high": 100 * mean.high,
        "n": mean.n,
        "clusters": mean.clusters,
        "empty": sum(not r.prediction.strip() for r in rows),
    }


def _mean_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plain mean over tasks; tasks are independent, so their variances add. The interval is normal, within 0-100."""
    score = sum(r["score"] for r in results) / len(results)
    errors = [r["standard_error"] for r in results]
    if any(e is None for e in errors):
        return {"score": score, "standard_error": None, "low": None, "high": None, "tasks": len(results)}
    error = math.sqrt(sum(e * e for e in errors)) / len(results)
    # A task without a single miss has no variance of its own; its interval's lower side stands in for it.
    lower = math.sqrt(sum((r["score"] - r["low"]) ** 2 for r in results)) / len(results)
    upper = math.sqrt(sum((r["high"] - r["score"]) ** 2 for r in results)) / len(results)
    low, high = score - max(lower, Z95 * error), score + max(upper, Z95 * error)
    return {
        "score": score,
        "standard_error": error,
        "low": max(0.0, low),
        "high": min(100.0, high),
        "tasks": len(results),
    }


def effective_length(scores: dict[int, float], threshold: float = THRESHOLD) -> int | None:
    """The greatest length whose score, and that of every shorter one tested, is at least `threshold`; None where none is."""
    best = None
    for length in sorted(scores):
        if scores[length] < threshold:
            break
        best = length
    return best


def weighted_average(scores: dict[int, float], increasing: bool) -> float:
    """Mean over lengths with weights 1, 2, 3, ... from the shortest (`increasing`) or from the longest: wAvg (inc), (dec)."""
    order = sorted(scores, reverse=not increasing)
    weights = range(1, len(order) + 1)
    return sum(w * scores[length] for w, length in zip(weights, order)) / sum(weights)


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The result of one model. `effective_length` is None with the reason in `notes` unless all thirteen tasks are there."""
    lengths: dict[str, Any] = {}
    notes = []
    for length in sorted({r.length for r in rows}):
        here = [r for r in rows if r.length == length]
        tasks = {name: _task_result(mine) for name in TASKS if (mine := [r for r in here if r.task == name])}
        groups = {g: _mean_of(rs) for g in GROUPS if (rs := [r for name, r in tasks.items() if TASKS[name].group == g])}
        thirteen = [tasks[name] for name in PUBLISHED if name in tasks]
        lengths[str(length)] = {"tasks": tasks, "groups": groups, "overall": _mean_of(thirteen) if thirteen else None}
    missing = {name for part in lengths.values() for name in PUBLISHED if name not in part["tasks"]}
    if missing:
        notes.append(
            f"no effective length: it is over all thirteen tasks at every length; missing: {', '.join(sorted(missing))}"
        )
    if stand_ins := sorted({r.task for r in rows if r.stand_in}):
        notes.append(f"{', '.join(stand_ins)}: synthetic stand-in questions; compares with no published score")
    if prose := sorted({r.source for r in rows if TASKS[r.task].group == "locating" and r.source}):
        notes.append(f"prose haystack: {', '.join(prose)}; published scores use essays")
    if any(r.task == "cwe" and r.source and r.length >= 4096 for r in rows):
        notes.append(
            "cwe: 6 and 1 repeats, because 30 and 3 do not fit with this tokenizer; published scores have 30 and 3"
        )
    overall = {int(k): v["overall"] for k, v in lengths.items() if v["overall"]}
    complete = not missing
    points = {k: v["score"] for k, v in overall.items()}
    lows = {k: v["low"] if v["low"] is not None else 0.0 for k, v in overall.items()}
    return {
        "effective_length": effective_length(points) if complete else None,
        "effective_length_95": effective_length(lows) if complete else None,
        "threshold": THRESHOLD,
        "average": sum(points.values()) / len(points) if points else None,
        "weighted_average_increasing": weighted_average(points, True) if points else None,
        "weighted_average_decreasing": weighted_average(points, False) if points else None,
        "groups": _groups_over_lengths(lengths),
        "lengths": lengths,
        "n": len(rows),
        "notes": notes,
    }


def _groups_over_lengths(lengths: dict[str, Any]) -> dict[str, dict[str, float]]:
    """group -> {length: score}, the view that a reader wants first."""
    return {
        g: {k: v["groups"][g]["score"] for k, v in lengths.items() if g in v["groups"]}
        for g in GROUPS
        if any(g in v["groups"] for v in lengths.values())
    }
