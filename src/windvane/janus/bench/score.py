"""Multifaceted Bench's figures from grades: what is unreadable is counted, never scored.

In: a row a grade: instance, source, prompt, rubric, run, score (1 to 5 or None) and reason. Out: one table. An instance's score is the mean
over its rubrics, then over the runs; the model's is the mean over instances, so a source counts by its number of instances, as the paper's
"Average" does (its tables show that it is not the mean of the columns, which stands beside it as `macro`). Intervals resample instances
whole, and once more all instances of one prompt together, since the bench has several system messages a prompt.

Unreadable grades are left out of an instance's mean; `bounds` says where the mean would be were each of them a 1, or each a 5.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windvane.charts.intervals import Point, interval_plot
from windvane.stats.bootstrap import Interval, bootstrap_mean
from windvane.stats.paired import cluster_sums, paired_difference, resampled

WORST, BEST = 1, 5


@dataclass(frozen=True, slots=True)
class Graded:
    """`instance` is what rubrics and runs share; `prompt` what instances with different system messages may share."""

    instance: str
    source: str
    prompt: str
    rubric: int
    run: int
    score: int | None
    reason: str | None = None


def instance_scores(rows: Sequence[Graded], fill: float | None = None) -> dict[str, float]:
    """Instance -> mean over its runs of the mean over its rubrics; `fill` stands for unreadable ones (None: they are left out)."""
    runs: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        score = fill if row.score is None else float(row.score)
        if score is not None:
            runs.setdefault(row.instance, {}).setdefault(row.run, []).append(score)
    means = {name: [sum(v) / len(v) for v in of.values()] for name, of in runs.items()}
    return {name: sum(v) / len(v) for name, v in means.items()}


def summarise(rows: Sequence[Graded], seed: int = 0) -> dict[str, Any]:
    """Everything but who judged."""
    scores = instance_scores(rows)
    sources = {row.instance: row.source for row in rows}
    prompts = {row.instance: row.prompt for row in rows}
    names = sorted(scores)
    whole = bootstrap_mean([scores[n] for n in names], seed)
    parts = []
    for source in sorted(set(sources.values())):
        mine = bootstrap_mean([scores[n] for n in names if sources[n] == source], seed)
        parts.append({"source": source, **_interval(mine)})
    known = [p["mean"] for p in parts if p["mean"] is not None]
    unread = [row for row in rows if row.score is None]
    ends = [instance_scores(rows, fill) for fill in (WORST, BEST)]
    runs = [_mean(instance_scores([r for r in rows if r.run == run])) for run in sorted({r.run for r in rows})]
    return {
        **_interval(whole),
        "by_prompt": _by_prompt(names, scores, prompts, seed),
        "macro": sum(known) / len(known) if known else None,
        "instances": len(sources),
        "instances_unscored": len(sources) - len(scores),
        "grades": len(rows),
        "unreadable": len(unread),
        "reasons": dict(Counter(kind_of_reason(row.reason) for row in unread).most_common()),
        "bounds": [_mean(end) for end in ends],
        "runs": runs,
        "sources": parts,
        "distribution": {str(k): sum(row.score == k for row in rows) for k in range(WORST, BEST + 1)},
    }


def against_shuffled(own: Sequence[Graded], shuffled: Sequence[Graded], seed: int = 0) -> dict[str, Any]:
    """Own rubrics minus another instance's on the same answers: a judge that reads rubrics tells them apart, one that grades good
    English does not. Paired by instance."""
    mine, others = instance_scores(own), instance_scores(shuffled)
    names = sorted(mine.keys() & others.keys())
    if not names:
        return {"instances": 0, "mean": None, "difference": None, "low": None, "high": None}
    found = paired_difference([mine[n] for n in names], [others[n] for n in names], names, seed)
    mean = sum(others[n] for n in names) / len(names)
    return {"instances": len(names), "mean": mean, "difference": found.mean, "low": found.low, "high": found.high}


def _by_prompt(
    names: Sequence[str], scores: Mapping[str, float], prompts: Mapping[str, str], seed: int
) -> dict[str, Any] | None:
    """The interval where all instances of a prompt are drawn together; None where each has a prompt of its own."""
    clusters = [prompts[n] for n in names]
    if len(set(clusters)) == len(clusters):
        return None
    sums, sizes = cluster_sums(np.array([scores[n] for n in names]), clusters)
    means = np.concatenate([d @ sums / (d @ sizes) for d in resampled(len(sums), 10_000, seed)])
    low, high = np.quantile(means, [0.025, 0.975])
    return {"prompts": len(sums), "low": float(low), "high": float(high)}


def _interval(found: Interval | None) -> dict[str, Any]:
    if found is None:
        return {"mean": None, "low": None, "high": None, "scored": 0}
    return {"mean": found.mean, "low": found.low, "high": found.high, "scored": found.n}


def _mean(scores: Mapping[str, float]) -> float | None:
    return sum(scores.values()) / len(scores) if scores else None


def kind_of_reason(reason: str | None) -> str:
    """A reason without who judged, the name of the row and the words of the judge: "rubric:M: KEY: no line 'Score: N' in the answer: 'It
    is nice.'" is of the kind "no line 'Score: N' in the answer"."""
    told = re.sub(r"^rubric:\S+: |^\S+: (?=\S+: )", "", reason or "no reason")
    told = re.sub(r"^\S+: (?=\S)", "", told)
    return (re.sub(r": (?:['\"].*|[\d.-]+)$", "", told, flags=re.DOTALL) or told)[:80]


def plot(result: Mapping[str, Any]) -> str:
    """Means by source with their intervals, the shuffled control beside the whole."""
    points = [Point("all instances", result["mean"], result["low"], result["high"])]
    if result["shuffled"] is not None:
        points.append(Point("all instances", result["shuffled"]["mean"], series=1))
    points += [Point(p["source"], p["mean"], p["low"], p["high"]) for p in result["sources"]]
    names = ("own rubrics", "another's rubrics") if result["shuffled"] is not None else ()
    return interval_plot(points, f"Multifaceted Bench: {result['model']}", "grade, 1 to 5", (1, 5), names=names)


def table(result: Mapping[str, Any]) -> str:
    """For a terminal."""
    lines = [result["label"], f"{'source':24} {'grade':>6}  95% interval     instances"]
    for row in [
        *result["sources"],
        {"source": "all instances", **{k: result[k] for k in ("mean", "low", "high", "scored")}},
    ]:
        shown = "no grade" if row["mean"] is None else f"{row['mean']:6.2f}  [{row['low']:.2f}, {row['high']:.2f}]"
        lines.append(f"{row['source'][:24]:24} {shown:24} {row['scored']:>9}")
    if result["by_prompt"] is not None:
        b = result["by_prompt"]
        lines.append(f"with all system messages of a prompt drawn together: [{b['low']:.2f}, {b['high']:.2f}]")
    lines.append(f"{result['unreadable']} of {result['grades']} grades could not be read")
    if result["unreadable"]:
        lines.append("all instances, were they all 1 or all 5: {:.2f} to {:.2f}".format(*result["bounds"]))
    if result["without_answer"]:
        lines.append("without an answer: " + ", ".join(f"{n} {why}" for why, n in result["without_answer"].items()))
    control = result["shuffled"]
    if control is not None and control["difference"] is not None:
        ends = f"[{control['low']:.2f}, {control['high']:.2f}]"
        lines.append(
            f"by another's rubrics {control['mean']:.2f}: own minus another's {control['difference']:.2f} {ends}"
        )
    between = result["diversity"]["rouge_l_between_system_messages"]
    if between is not None:
        lines.append(f"ROUGE-L between answers to different system messages: {Interval(**between).mean:.3f}")
    lines += [f"note: {note}" for note in result["notes"]]
    return "\n".join(lines)
