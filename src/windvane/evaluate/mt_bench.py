"""`windvane eval mt-bench`: two-turn scores from a file of single-answer judgements.

    windvane eval mt-bench gpt-4_single.jsonl --json

In: JSON lines of lm-sys/FastChat's form: `question_id`, `model`, `turn` (1 or 2), `score` (1 to 10; -1 where the judge gave none). Out:
per model the mean of each turn and of all rows, as published (show_result.py drops -1), with standard errors clustered by question (a
question's two turns are not independent), and each pair of models compared on the turns that both have. Pairwise files (`g1_winner`)
go through `windvane eval arena-hard`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.errors import UserError
from windvane.evaluate.annotations import read_tables
from windvane.evaluate.intervals import paired_difference

Key = tuple[str, int]  # (question, turn)


@dataclass(frozen=True, slots=True)
class Scores:
    """`models`: the score of each (question, turn) by model; several judgements of one are averaged."""

    models: dict[str, dict[Key, float]]
    left_out: dict[str, int]
    notes: list[str]


def read_scores(path: Path) -> Scores:
    """Raises `UserError` where no row can be used; the rest is counted by reason."""
    values, broken, notes = read_tables(path)
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    if values and all(isinstance(v, dict) and "g1_winner" in v for v in values):
        raise UserError(
            f"{path}: these are pairwise judgements; use: windvane eval arena-hard {path.name} --baseline MODEL"
        )
    told: dict[str, dict[Key, list[float]]] = {}
    for row in values:
        reason = _unusable(row)
        if reason:
            left[reason] += 1
            continue
        told.setdefault(row["model"], {}).setdefault((str(row["question_id"]), row["turn"]), []).append(
            float(row["score"])
        )
    if not told:
        why = ", ".join(f"{count} {reason}" for reason, count in left.items()) or "none"
        raise UserError(f"{path}: no usable row (left out: {why}); expected question_id, model, turn, score")
    again = sum(len(scores) - 1 for rows in told.values() for scores in rows.values())
    if again:
        notes.append(f"{again} rows judge an answer again; each answer counts once, with the mean of its scores")
    models = {name: {key: sum(s) / len(s) for key, s in rows.items()} for name, rows in sorted(told.items())}
    return Scores(models, dict(left), notes)


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


def summarise(found: Scores, seed: int = 0) -> dict[str, Any]:
    """Per model `turn_1`, `turn_2`, `average` with standard errors; per pair of models the paired difference of averages."""
    models = []
    for name, rows in found.models.items():
        entry: dict[str, Any] = {"model": name}
        for label, turns in (("turn_1", (1,)), ("turn_2", (2,)), ("average", (1, 2))):
            keys = [key for key in rows if key[1] in turns]
            entry[label] = sum(rows[k] for k in keys) / len(keys) if keys else None
            zeros = [0.0] * len(keys)
            spread = paired_difference([rows[k] for k in keys], zeros, [k[0] for k in keys], seed, 2) if keys else None
            entry[f"{label}_standard_error"] = spread.standard_error if spread else None
        models.append(entry | {"n": len(rows), "n_questions": len({key[0] for key in rows})})
    pairs = []
    for one, other in combinations(found.models, 2):
        keys = [key for key in found.models[one] if key in found.models[other]]
        if keys:
            first, second = ([found.models[m][k] for k in keys] for m in (one, other))
            gap = paired_difference(first, second, [k[0] for k in keys], seed)
            pairs.append({"first": one, "second": other, **asdict(gap)})
    models.sort(key=lambda m: (-m["average"], m["model"]))
    return {"models": models, "comparisons": pairs, "left_out": found.left_out, "notes": found.notes}


def _table(result: dict[str, Any]) -> str:
    lines = [f"{'model':40} {'turn 1':>7} {'turn 2':>7} {'average':>8} {'se':>6} {'rows':>5}"]
    for m in result["models"]:
        cells = [
            "-" if m[k] is None else f"{m[k]:.2f}" for k in ("turn_1", "turn_2", "average", "average_standard_error")
        ]
        lines.append(f"{m['model'][:40]:40} {cells[0]:>7} {cells[1]:>7} {cells[2]:>8} {cells[3]:>6} {m['n']:5}")
    for p in result["comparisons"]:
        seen = "" if p["mde"] is None else f"; under {p['mde']:.2f} would probably go unseen"
        lines.append(
            f"{p['first']} - {p['second']}: {p['mean']:+.2f} [{p['low']:+.2f}, {p['high']:+.2f}] on {p['n']} turns{seen}"
        )
    left = ", ".join(f"{count} {why}" for why, count in result["left_out"].items()) or "none"
    return "\n".join([*lines, f"left out: {left}", *(f"note: {note}" for note in result["notes"])])


def main(argv: list[str]) -> int:
    """Score from a file; 0 when printed."""
    parser = Parser("windvane eval mt-bench", description="MT-Bench's two-turn scores from judgements")
    parser.add_argument("judgements", type=Path, help="*_single.jsonl: question_id, model, turn, score")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    result = summarise(read_scores(options.judgements), options.seed)
    print(json.dumps(result, allow_nan=False) if options.json else _table(result))
    return 0
