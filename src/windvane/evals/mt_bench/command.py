"""`windvane eval mt-bench`: two-turn scores from a file of single-answer judgements, or from models and a judge.

    windvane eval mt-bench gpt-4_single.jsonl --json
    windvane eval mt-bench --model M ... --questions FILE --judge J --out DIR      evals/mt_bench/live.py

In: JSON lines of lm-sys/FastChat's form: `question_id`, `model`, `turn` (1 or 2), `score` (1 to 10; -1 where the judge gave none). Out:
per model the mean of each turn and of all rows, as published (show_result.py drops -1), with standard errors clustered by question (a
question's two turns are not independent), the same by category where rows or `--questions` name it, and each pair of models compared on the
turns that both have. Pairwise files (`g1_winner`) go through `windvane eval arena-hard`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.alpaca.annotations import read_tables
from windvane.evals.chat_questions import read_questions
from windvane.evals.live.flags import add_live_flags
from windvane.evals.result_files import keep_result, print_live
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
    told: dict[str, dict[Key, list[float]]] = {}
    known = dict(categories or {})
    for row in values:
        reason = _unusable(row)
        if reason:
            left[reason] += 1
            continue
        told.setdefault(row["model"], {}).setdefault((str(row["question_id"]), row["turn"]), []).append(
            float(row["score"])
        )
        if isinstance(row.get("category"), str):
            known[str(row["question_id"])] = row["category"]
    if not told:
        why = ", ".join(f"{count} {reason}" for reason, count in left.items()) or "none"
        raise UserError(f"{path}: no usable row (left out: {why}); expected question_id, model, turn, score")
    again = sum(len(scores) - 1 for rows in told.values() for scores in rows.values())
    if again:
        notes.append(f"{again} rows judge an answer again; each answer counts once, with the mean of its scores")
    models = {name: {key: sum(s) / len(s) for key, s in rows.items()} for name, rows in sorted(told.items())}
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


def summarise(found: Scores, seed: int = 0) -> dict[str, Any]:
    """Per model `turn_1`, `turn_2`, `average` with standard errors; per pair of models the paired difference of averages."""
    models = []
    for name, rows in found.models.items():
        entry: dict[str, Any] = {"model": name}
        for label, turns in (("turn_1", (1,)), ("turn_2", (2,)), ("average", (1, 2))):
            keys = [key for key in rows if key[1] in turns]
            spread = _mean(rows, keys, seed)
            entry[label] = spread.mean if spread else None
            entry[f"{label}_standard_error"] = spread.standard_error if spread else None
            entry |= {f"{label}_low": spread.low if spread else None, f"{label}_high": spread.high if spread else None}
        by_category = _by_category(rows, found.categories, seed)
        models.append(entry | {"n": len(rows), "n_questions": len({key[0] for key in rows}), "categories": by_category})
    pairs = []
    for one, other in combinations(found.models, 2):
        keys = [key for key in found.models[one] if key in found.models[other]]
        if keys:
            first, second = ([found.models[m][k] for k in keys] for m in (one, other))
            gap = paired_difference(first, second, [k[0] for k in keys], seed)
            pairs.append({"first": one, "second": other, **asdict(gap)})
    models.sort(key=lambda m: (-m["average"], m["model"]))
    return {"models": models, "comparisons": pairs, "left_out": found.left_out, "notes": found.notes}


def _mean(rows: Mapping[Key, float], keys: Sequence[Key], seed: int) -> Difference | None:
    """The mean over `keys` with a standard error and an interval over questions."""
    if not keys:
        return None
    return paired_difference([rows[k] for k in keys], [0.0] * len(keys), [k[0] for k in keys], seed, 2000)


def _by_category(rows: Mapping[Key, float], categories: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Each category's mean of both turns, in the order of first appearance."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(categories[key[0]] for key in rows if key[0] in categories):
        spread = _mean(rows, [key for key in rows if categories.get(key[0]) == name], seed)
        assert spread is not None, "a category that appears has rows"
        found[name] = {
            "average": spread.mean,
            "standard_error": spread.standard_error,
            "low": spread.low,
            "high": spread.high,
            "n": spread.n,
            "n_questions": spread.clusters,
        }
    return found


def table(result: dict[str, Any]) -> str:
    """The same for a terminal."""
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


def main(argv: list[str]) -> int:
    """Score from a file, or ask and judge first; 0 when printed."""
    options = _parser().parse_args(argv)
    if options.resamples < 2:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 2, better 1000")
    if options.model or options.answers or options.judge:
        return _live(options)
    if options.judgements is None:
        raise UserError("eval mt-bench: name a file of judgements; or --model, --questions, --judge and --out")
    known = {q.id: q.category for q in read_questions(options.questions, 1).rows} if options.questions else None
    result = {"name": "mt-bench", **summarise(read_scores(options.judgements, known), options.seed)}
    if options.out:
        keep_result(options.out, result, plot(result, f"MT-Bench, {options.judgements.name}"))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def _live(options: argparse.Namespace) -> int:
    from windvane.evals.mt_bench import live as mt_bench_live

    if options.judgements is not None:
        raise UserError(f"{options.judgements}: a file of judgements is scored as it is; leave --model and --judge out")
    if not (options.model or options.answers):
        raise UserError("eval mt-bench: --judge also needs --model M ... (or --answers FILE ...)")
    result, text, spent = mt_bench_live.run_live(options)
    print_live(options, result, text, spent, f"{'pairs' if options.pairwise else 'judgements'}.jsonl")
    return 0


def _parser() -> Parser:
    parser = Parser("windvane eval mt-bench", description="MT-Bench's two-turn scores from judgements, or from a model")
    add = parser.add_argument
    add("judgements", nargs="?", type=Path, help="*_single.jsonl: question_id, model, turn, score")
    add(
        "--questions",
        type=Path,
        metavar="FILE",
        help="question.jsonl: what --model is asked; with a file: the categories",
    )
    add("--references", type=Path, metavar="FILE", help="reference_answer/*.jsonl, where the questions hold none")
    add(
        "--answers",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="judge given answers, a file a model, in FastChat's layout",
    )
    add("--pairwise", action="store_true", help="compare every two models in both orders instead of grading each")
    told = "what a language model that judges may write (for a grade 1024, with --pairwise 16)"
    add("--judge-tokens", type=int, metavar="N", help=told)
    add("--resamples", type=int, default=1000, help="with --pairwise: of the ratings' intervals (1000)")
    add("--seed", type=int, default=0, help="of the resampling, and of the model's answers")
    add("--json", action="store_true", help="print one JSON object")
    add_live_flags(parser, several=True, temperature=None, top_p=1.0, max_new_tokens=1024)
    return parser
