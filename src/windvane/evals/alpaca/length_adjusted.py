"""A win rate at equal length from our own pairs, by regression: `length_adjusted_win_rate`. It is NOT AlpacaEval's LC figure.

In: a judge's share for our answer in each pair, how much longer the other answer is, and the cluster (instruction) of each pair; from
an annotation file against any baseline by any judge, or from a run folder. Out: the share expected if both answers were equally long,
with an interval that refits on resampled instructions. Lengths in characters for annotation files, tokens for runs; fractions.

    logit P(ours wins) = c + a tanh((len_theirs - len_ours)/std);   length_adjusted_win_rate = sigmoid(c)

This is alpaca_eval's `length_controlled_minimal` form: no published difficulty and no gamed rows, so it holds for any prompts, and it
says nothing about how the judge would rate this model made to write at another length: only what the pairs at hand show. A normal
prior (standard deviation 2.5 on a, 10 on c) keeps both finite where length or one side decides every pair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import Response, by_prompt
from windvane.evals.alpaca.annotations import Annotations, read_annotations
from windvane.runs.store import read_jsonl, read_records
from windvane.stats.logistic import sigmoids
from windvane.stats.paired import resampled

PRECISION = np.array([1 / 2.5**2, 1 / 10**2])  # of (a, c)


@dataclass(frozen=True, slots=True)
class LengthAdjusted:
    """Fractions. `length_coefficient` is a: negative where the longer answer is preferred."""

    length_adjusted_win_rate: float
    standard_error: float
    low: float
    high: float
    win_rate: float
    length_coefficient: float
    n: int
    clusters: int


def length_adjusted_win_rate(
    shares: Sequence[float],
    delta: Sequence[float],
    clusters: Sequence[Hashable],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> LengthAdjusted:
    """`shares` in [0, 1] for our answers, `delta` = len(theirs) - len(ours). The standard error and the percentile interval come
    from refits on resampled clusters."""
    assert len(shares) == len(delta) == len(clusters) > 0, "pairs must line up"
    target, difference = np.asarray(shares, dtype=float), np.asarray(delta, dtype=float)
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    term = np.tanh(difference / spread) if spread > 0 else np.zeros_like(difference)
    index: dict[Hashable, int] = {}
    which = np.array([index.setdefault(c, len(index)) for c in clusters])
    a, c = _fit(target, term, np.ones((1, len(target))))[0]
    again = np.concatenate([_fit(target, term, draws[:, which]) for draws in resampled(len(index), resamples, seed)])
    rates = sigmoids(again[:, 1])
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    found = float(sigmoids(c))
    return LengthAdjusted(
        found,
        float(rates.std(ddof=1)),
        float(low),
        float(high),
        float(target.mean()),
        float(a),
        len(target),
        len(index),
    )


def _fit(target: np.ndarray, term: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Newton's method on B weightings of the same rows at once: [B, 2] of (a, c)."""
    design = np.column_stack([term, np.ones_like(term)])
    products = np.stack([term * term, term, np.ones_like(term)], axis=1)
    theta = np.zeros((len(weights_BN), 2))
    for _ in range(60):
        predicted = sigmoids(theta @ design.T)
        gradient = (weights_BN * (target - predicted)) @ design - PRECISION * theta
        second = (weights_BN * predicted * (1 - predicted)) @ products
        h11, h12, h22 = second[:, 0] + PRECISION[0], second[:, 1], second[:, 2] + PRECISION[1]
        determinant = h11 * h22 - h12 * h12
        step = np.stack(
            [h22 * gradient[:, 0] - h12 * gradient[:, 1], h11 * gradient[:, 1] - h12 * gradient[:, 0]], axis=1
        )
        step = np.clip(step / determinant[:, None], -2, 2)  # a full step may overshoot where every pair agrees
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    return theta


def of_annotations(found: Annotations, resamples: int = 1000, seed: int = 0) -> LengthAdjusted | None:
    """From an annotation file's own rows (characters); None where the outputs are not known."""
    rows = found.judged
    if rows[0].output_1 is None or rows[0].output_2 is None:
        return None
    clusters = [i if row.instruction is None else row.instruction for i, row in enumerate(rows)]
    delta = [len(row.output_1 or "") - len(row.output_2 or "") for row in rows]
    return length_adjusted_win_rate([row.p for row in rows if row.p is not None], delta, clusters, resamples, seed)


def of_run(folder: Path, iteration: int | None = None, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Iteration t of a run against its start: `win_start` (the true judge; the proxy where there is none) and tokens."""
    if iteration is None:
        there = [
            int(m[1])
            for p in folder.glob("iter-*/evaluation.jsonl")
            if (m := re.fullmatch(r"iter-(\d+)", p.parent.name))
        ]
        iteration = max(there, default=0)
    path = folder / f"iter-{iteration}" / "evaluation.jsonl"
    if iteration == 0 or not path.exists():
        raise UserError(f"{folder}: no evaluation of an iteration after the start; name a run folder that got that far")
    rows = [row for _, row in read_jsonl(path)]
    column = "win_start" if any(row.get("win_start") is not None for row in rows) else "proxy_start"
    ours = by_prompt(read_records(folder / f"iter-{iteration}" / "answers.jsonl", Response))
    theirs = by_prompt(read_records(folder / "iter-0" / "answers.jsonl", Response))
    used = [row for row in rows if row.get(column) is not None]
    if not used:
        raise UserError(f"{path}: no row was judged ({column} is empty everywhere)")
    delta = []
    for row in used:
        mine = ours[row["id"]]
        other = theirs[row["id"]][: len(mine)]  # answer i is compared with answer i
        delta.append(float(np.mean([len(r.token_ids) for r in other]) - np.mean([len(r.token_ids) for r in mine])))
    adjusted = length_adjusted_win_rate(
        [row[column] for row in used], delta, [row["id"] for row in used], resamples, seed
    )
    left = {"no verdict": len(rows) - len(used)} if len(used) < len(rows) else {}
    judge = "the judge that training never saw" if column == "win_start" else "the training judge (proxy)"
    return {**asdict(adjusted), "iteration": iteration, "judge": judge, "length_unit": "tokens", "left_out": left}


def main(argv: list[str]) -> int:
    """`windvane eval length RUN | ANNOTATIONS.json`."""
    parser = Parser("windvane eval length", description="win rate at equal length, from our own pairs")
    parser.add_argument("source", type=Path, help="a run folder, or a file of preferences with both outputs")
    parser.add_argument("--iteration", type=int, help="of a run; the last one by default")
    parser.add_argument("--model", help="which generator_2, where a file holds several")
    parser.add_argument("--annotator", help="which annotator, where a file holds several")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.resamples < 2:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 2, better 1000")
    if options.source.is_dir():
        result = of_run(options.source, options.iteration, options.resamples, options.seed)
    else:
        found = read_annotations(options.source, options.model, options.annotator)
        adjusted = of_annotations(found, options.resamples, options.seed)
        if adjusted is None:
            raise UserError(f"{options.source}: no output_1 and output_2 in its rows; a length needs both")
        result = {
            **asdict(adjusted),
            "length_unit": "characters",
            "left_out": found.left_out,
            "notes": list(found.notes),
        }
    if options.json:
        print(json.dumps(result))
        return 0
    r = result
    print(f"win rate                 {r['win_rate']:.3f}")
    print(
        f"length-adjusted win rate {r['length_adjusted_win_rate']:.3f}  [{r['low']:.3f}, {r['high']:.3f}]  n={r['n']}"
    )
    print(f"length in {r['length_unit']}; left out: {r['left_out'] or 'none'}; not AlpacaEval's LC figure")
    return 0
