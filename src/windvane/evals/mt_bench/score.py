"""MT-Bench's figures from judgements of single responses.

In: JSON lines of lm-sys/FastChat's form: `question_id`, `model`, `turn` (1 or 2), `score` (1 to 10; -1 where the judge gave none). Out:
for each model the mean of each turn and of all rows, as published (show_result.py drops -1), with standard errors clustered by question
(the two turns of a question are not independent), and the same by category where rows or a file of questions name it; each two models are
compared on the turns that both have. Also the result's table and its plot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.errors import UserError
from windvane.evals.alpaca.annotations import read_tables
from windvane.stats.paired import Difference, paired_difference

Key = tuple[str, int]  # (question, turn)


@dataclass(frozen=True, slots=True)
class Scores:
    """`models`: the score of each (question, turn) by model; several judgements of one are averaged. `categories`: of questions, where
    they are known."""

    models: dict[str, dict[Key, float]]
    left_out: dict[str, int]
    notes: list[str]
    categories: dict[str, str] = field(default_factory=dict)


def read_scores(path: Path, categories: Mapping[str, str] | None = None) -> Scores:
    """`categories`: question id -> category, for rows that do not say. Raises `UserError` where no row can be used; what cannot be used is
    counted by reason."""
    values, broken, notes = read_tables(path)
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    if values and all(isinstance(v, dict) and "g1_winner" in v for v in values):
        raise UserError(
            f"{path}: these are pairwise judgements; use: windvane eval arena-hard {path.name} --baseline MODEL"
        )
    scores: dict[str, dict[Key, list[float]]] = {}
    known = dict(categories or {})
    for row in values:
        reason = _unusable(row)
        if reason:
            left[reason] += 1
            continue
        scores.setdefault(row["model"], {}).setdefault((str(row["question_id"]), row["turn"]), []).append(
            float(row["score"])
        )
        if isinstance(row.get("category"), str):
            known[str(row["question_id"])] = row["category"]
    if not scores:
        why = ", ".join(f"{count} {reason}" for reason, count in left.items()) or "none"
        raise UserError(f"{path}: no usable row (left out: {why}); expected question_id, model, turn, score")
    again = sum(len(of_one) - 1 for rows in scores.values() for of_one in rows.values())
    if again:
        notes.append(f"{again} rows judge an answer again; each answer counts once, with the mean of its scores")
    models = {name: {key: sum(s) / len(s) for key, s in rows.items()} for name, rows in sorted(scores.items())}
    return Scores(models, dict(left), notes, known)


def _unusable(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "not a table"
    for name, kind in (("model", str), ("question_id", (str, int)), ("turn", int)):
        if not isinstance(row.get(name), kind):
            return f"no {name}"
    score = row.get("score")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or score == -1:
        return "no score"
    if row["turn"] not in (1, 2):
        return "turn is not 1 or 2"
    return None if 1 <= score <= 10 else "score outside 1 to 10"


def summarise(scores: Scores, seed: int = 0) -> dict[str, Any]:
    """Per model `turn_1`, `turn_2`, `average` with standard errors; per pair of models the paired difference of averages."""
    models = []
    for name, rows in scores.models.items():
        entry: dict[str, Any] = {"model": name}
        for label, turns in (("turn_1", (1,)), ("turn_2", (2,)), ("average", (1, 2))):
            keys = [key for key in rows if key[1] in turns]
            spread = _mean(rows, keys, seed)
            entry[label] = spread.mean if spread else None
            entry[f"{label}_standard_error"] = spread.standard_error if spread else None
            entry |= {f"{label}_low": spread.low if spread else None, f"{label}_high": spread.high if spread else None}
        by_category = _by_category(rows, scores.categories, seed)
        models.append(entry | {"n": len(rows), "n_questions": len({key[0] for key in rows}), "categories": by_category})
    pairs = []
    for one, other in combinations(scores.models, 2):
        keys = [key for key in scores.models[one] if key in scores.models[other]]
        if keys:
            first, second = ([scores.models[m][k] for k in keys] for m in (one, other))
            gap = paired_difference(first, second, [k[0] for k in keys], seed)
            pairs.append({"first": one, "second": other, **asdict(gap)})
    models.sort(key=lambda m: (-m["average"], m["model"]))
    return {"models": models, "comparisons": pairs, "left_out": scores.left_out, "notes": scores.notes}


def _mean(rows: Mapping[Key, float], keys: Sequence[Key], seed: int) -> Difference | None:
    """The mean over `keys` with a standard error and an interval over questions."""
    if not keys:
        return None
    return paired_difference([rows[k] for k in keys], [0.0] * len(keys), [k[0] for k in keys], seed, 2000)


def _by_category(rows: Mapping[Key, float], categories: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Each category's mean of both turns, in the order of first appearance."""
    means: dict[str, Any] = {}
    for name in dict.fromkeys(categories[key[0]] for key in rows if key[0] in categories):
        spread = _mean(rows, [key for key in rows if categories.get(key[0]) == name], seed)
        assert spread is not None, "a category that appears has rows"
        means[name] = {
            "average": spread.mean,
            "standard_error": spread.standard_error,
            "low": spread.low,
            "high": spread.high,
            "n": spread.n,
            "n_questions": spread.clusters,
        }
    return means


def table(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    lines = [f"{'model':40} {'turn 1':>7} {'turn 2':>7} {'average':>8} {'se':>6} {'rows':>5}"]
    for m in result["models"]:
        cells = [
            "-" if m[k] is None else f"{m[k]:.2f}" for k in ("turn_1", "turn_2", "average", "average_standard_error")
        ]
        lines.append(f"{m['model'][:40]:40} {cells[0]:>7} {cells[1]:>7} {cells[2]:>8} {cells[3]:>6} {m['n']:5}")
    names = list(dict.fromkeys(c for m in result["models"] for c in m["categories"]))
    if names:
        lines.append(" ".join([f"{'by category':40}", *(f"{c[:11]:>11}" for c in names)]))
        for m in result["models"]:
            cells = [f"{m['categories'][c]['average']:.2f}" if c in m["categories"] else "-" for c in names]
            lines.append(" ".join([f"{m['model'][:40]:40}", *(f"{cell:>11}" for cell in cells)]))
    for p in result["comparisons"]:
        seen = "" if p["mde"] is None else f"; under {p['mde']:.2f} would probably go unseen"
        lines.append(
            f"{p['first']} - {p['second']}: {p['mean']:+.2f} [{p['low']:+.2f}, {p['high']:+.2f}] on {p['n']} turns{seen}"
        )
    left = ", ".join(f"{count} {why}" for why, count in result["left_out"].items()) or "none"
    return "\n".join([*lines, f"left out: {left}", *(f"note: {note}" for note in result["notes"])])


def plot(result: dict[str, Any], title: str) -> str:
    """The two best models' means, all and by category."""
    points = []
    for number, m in enumerate(result["models"][:2]):
        points.append(Point("all", m["average"], m["average_low"], m["average_high"], number))
        for category, c in m["categories"].items():
            points.append(Point(category, c["average"], c["low"], c["high"], number))
    names = [m["model"] for m in result["models"][:2]]
    return interval_plot(points, title[:90], "grade, 95% intervals over questions", (1, 10), 9, names=names)
