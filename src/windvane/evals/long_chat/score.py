"""Grades of long answers summed up: each model's mean, every two models beside each other.

In: rows of DIR/grades.jsonl (`model`, `question_id`, `document`, `score` from 1 to 5 or None with its `reason`, `finish`). Out: the
figures with 95% intervals over documents, the table for a terminal, the drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.stats.clustered import interval
from windvane.stats.paired import paired_difference


def summarise(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Mean grade (1 to 5) of each model with a 95% interval over documents, the grades counted, what has none by reason; every two
    models, the later one minus the earlier, on the questions that both have a grade for."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    models, graded = [], {}
    for name in names:
        own = [row for row in rows if row["model"] == name]
        graded[name] = {r["question_id"]: r for r in own if r["score"] is not None}
        reasons = Counter(" ".join(str(r["reason"]).split())[:80] for r in own if r["score"] is None)
        entry: dict[str, Any] = {
            "model": name,
            "asked": len(own),
            "graded": len(graded[name]),
            "ungraded": dict(reasons.most_common()),
            "cut": sum(r["finish"] == "length" for r in own),
            "scores": {str(s): sum(r["score"] == s for r in own) for s in range(1, 6)},
        }
        if graded[name]:
            scores = list(graded[name].values())
            m = interval([(r["score"] - 1) / 4 for r in scores], [r["document"] for r in scores])  # of shares
            entry |= {
                "average": 1 + 4 * m.mean,
                "low": 1 + 4 * m.low,
                "high": 1 + 4 * m.high,
                "standard_error": None if m.standard_error is None else 4 * m.standard_error,
                "documents": m.clusters,
            }
        models.append(entry)
    comparisons = []
    for second, first in combinations(names, 2):
        both = [i for i in graded[first] if i in graded[second]]
        if both:
            gap = paired_difference(
                [graded[first][i]["score"] for i in both],
                [graded[second][i]["score"] for i in both],
                [graded[first][i]["document"] for i in both],
                seed,
            )
            found = {k: getattr(gap, k) for k in ("mean", "standard_error", "low", "high", "mde", "n", "clusters")}
            comparisons.append({"first": first, "second": second, **found})
    return {"models": models, "comparisons": comparisons}


def table(result: Mapping[str, Any]) -> str:
    lines = [f"{'model':40} {'grade, 1-5':>24} {'graded':>10} {'cut':>5}"]
    for m in result["models"]:
        told = f"{m['average']:.2f} [{m['low']:.2f}, {m['high']:.2f}]" if "average" in m else "-"
        lines.append(f"{m['model'][:40]:40} {told:>24} {m['graded']:>4} of {m['asked']:<3} {m['cut']:>4}")
        lines += [f"  {n} without a grade: {why}" for why, n in m["ungraded"].items()]
    for c in result["comparisons"]:
        seen = "" if c["mde"] is None else f"; under {c['mde']:.2f} would probably go unseen"
        lines.append(
            f"{c['first']} - {c['second']}: {c['mean']:+.2f} [{c['low']:+.2f}, {c['high']:+.2f}] on {c['n']} questions{seen}"
        )
    left = ", ".join(f"{n} {why}" for why, n in result["left_out"].items()) or "none"
    return "\n".join([result["label"], *lines, f"rows left out: {left}"])


def label_of(judge: str | None) -> str:
    """What the figures are, and are not."""
    told = judge or "an unnamed judge"
    return f"Long documents, graded 1 to 5 by {told}; not comparable with LongBench-Chat's published scores"


def plot(found: Mapping[str, Any]) -> str:
    points = [Point(m["model"][-30:], m.get("average"), m.get("low"), m.get("high")) for m in found["models"]]
    return interval_plot(points, "Long documents", "grade, 95% intervals over documents", (1, 5))
