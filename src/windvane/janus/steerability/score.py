"""Steerability's figures from graded answers: does an answer change the way the value asks, and only then?

In: a `Row` for each answer and each value it was graded by: the case it answers (None: no system message), the values asked for there, the
value it is graded by, the grade (1 to 5, or None: counted, never scored) and the answer's words. Out, for each split and for all:

- `own`: the grade of a value in the answer under a message that asks for it; `swapped`: in the answers to the same prompt under the
  split's other messages, which do not ask for it; `none`: in the answer without a system message.
- `own_minus_swapped`, the swap test, and `own_minus_none`; `swapped_minus_none` is what another message does to a value that it does not
  ask for (0 where only what is asked for changes; below 0 where values exclude each other).
- `at_equal_length`: own minus swapped were both answers equally long, the intercept of a regression on log(words / words).
- `swap_accuracy`: of pairs of messages, how often the two answers fit their own messages better than each other's, by the sum of both:
  g1(a1) + g2(a2) > g1(a2) + g2(a1), ties one half. Chance is 1/2, and whatever one answer has for all values alike, its length or polish,
  cancels. Only values that the other message does not ask for count.
- `matrix`: the mean grade by value asked for and value measured.

Intervals resample prompts whole: everything that is asked of one prompt is one cluster.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windvane.janus.bench.score import kind_of_reason
from windvane.stats.clustered import Z95, interval
from windvane.stats.paired import cluster_sums, clustered_error, paired_difference, resampled

NAME = "steerability"
NONE = "(no system message)"
MEANS = ("own", "swapped", "none", "own_minus_swapped", "at_equal_length", "swapped_minus_none")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """`target`: whether the split is about this value of the case's own. `prompt` is its id."""

    prompt: str
    split: str
    case: str | None
    asked: tuple[str, ...]
    value: str
    target: bool
    score: int | None
    words: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A value asked for in a case, with both sides graded: a term of the swap test. `swapped`, `ratio`: means over the other answers."""

    prompt: str
    own: float
    swapped: float | None
    none: float | None
    ratio: float | None  # log(own words / other words)


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """`all` at the top, a table a split in `splits`; matrices in `matrices`, by split."""
    bare = [r for r in rows if r.case is None]
    names = list(dict.fromkeys(r.split for r in rows if r.case is not None))
    parts = {name: [r for r in rows if r.case is not None and r.split == name] for name in names}
    unread = [r for r in rows if r.score is None]
    units = {name: _units(part, bare) for name, part in parts.items()}
    pairs = {name: _pairs(part) for name, part in parts.items()}
    whole = [u for found in units.values() for u in found], [p for found in pairs.values() for p in found]
    return {
        **_figures(*whole, seed),
        "splits": [{"split": name, **_figures(units[name], pairs[name], seed)} for name in names],
        "prompts": len({r.prompt for r in rows}),
        "cases": len({r.case for r in rows if r.case is not None}),
        "grades": len(rows),
        "unreadable": len(unread),
        "reasons": dict(Counter(kind_of_reason(r.reason) for r in unread).most_common(8)),
        "matrices": {name: matrix(part, bare) for name, part in parts.items()},
    }


def _figures(units: Sequence[Unit], pairs: Sequence[tuple[str, float]], seed: int) -> dict[str, Any]:
    swapped = [u for u in units if u.swapped is not None]
    bare = [u for u in units if u.none is not None]
    both = [u for u in swapped if u.none is not None]
    return {
        "own": _gap([(u.prompt, u.own, 0.0) for u in units], seed),
        "swapped": _gap([(u.prompt, u.swapped or 0.0, 0.0) for u in swapped], seed),
        "none": _gap([(u.prompt, u.none or 0.0, 0.0) for u in bare], seed),
        "own_minus_swapped": _gap([(u.prompt, u.own, u.swapped) for u in swapped], seed),
        "at_equal_length": _at_equal_length(swapped, seed),
        "own_minus_none": _gap([(u.prompt, u.own, u.none) for u in bare], seed),
        "swapped_minus_none": _gap([(u.prompt, u.swapped or 0.0, u.none) for u in both], seed),
        "swap_accuracy": _share(pairs),
        "values_without_a_swap": len(units) - len(swapped),
    }


def _units(rows: Sequence[Row], bare: Sequence[Row]) -> list[Unit]:
    """Of the graded values that each case of a split asks for and is about."""
    without = {(r.prompt, r.value): float(r.score) for r in bare if r.score is not None}
    others: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        if r.value not in r.asked and r.score is not None:
            others.setdefault((r.prompt, r.value), []).append(r)
    found = []
    for r in rows:
        if not r.target or r.score is None:
            continue
        theirs = [o for o in others.get((r.prompt, r.value), []) if o.case != r.case]
        scores = [float(o.score) for o in theirs if o.score is not None]
        ratios = [float(np.log(max(r.words, 1) / max(o.words, 1))) for o in theirs]
        swapped, ratio = (float(np.mean(scores)), float(np.mean(ratios))) if scores else (None, None)
        found.append(Unit(r.prompt, float(r.score), swapped, without.get((r.prompt, r.value)), ratio))
    return found


def _pairs(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """(prompt, 1 right, 0 wrong, 1/2 a tie) of each two cases of a prompt, both sides' sums over their target values that the other case
    does not ask for, each a mean over its values."""
    cases: dict[str, dict[str, dict[str, Row]]] = {}
    for r in rows:
        if r.case is not None and r.score is not None:
            cases.setdefault(r.prompt, {}).setdefault(r.case, {})[r.value] = r
    found = []
    for prompt, group in cases.items():
        for a, b in itertools.combinations(sorted(group), 2):
            gains = [_gain(group[one], group[other]) for one, other in ((a, b), (b, a))]
            if gains[0] is not None and gains[1] is not None:
                gain = gains[0] + gains[1]
                found.append((prompt, 0.5 if abs(gain) < 1e-9 else float(gain > 0)))
    return found


def _gain(own: dict[str, Row], other: dict[str, Row]) -> float | None:
    """By how much the first case's values are graded higher in its own answer than in the other's; None where none can be compared."""
    asked = next(iter(other.values())).asked
    gaps = [
        float(r.score) - float(other[v].score or 0)
        for v, r in own.items()
        if r.target and v not in asked and v in other and r.score is not None
    ]
    return sum(gaps) / len(gaps) if gaps else None


def matrix(rows: Sequence[Row], bare: Sequence[Row]) -> list[dict[str, Any]]:
    """A table a cell: asked, measured, mean, low, high, n; the rows of `NONE` first. Cells without a grade are left out."""
    cells: dict[tuple[str, str], list[tuple[str, float]]] = {}
    prompts, values = {r.prompt for r in rows}, {v for r in rows for v in r.asked}
    for r in bare:
        if r.score is not None and r.prompt in prompts and r.value in values:
            cells.setdefault((NONE, r.value), []).append((r.prompt, float(r.score)))
    for r in rows:
        if r.score is not None:
            for asked in r.asked:
                cells.setdefault((asked, r.value), []).append((r.prompt, float(r.score)))
    return [{"asked": asked, "measured": measured, **_cell(found)} for (asked, measured), found in cells.items()]


def _cell(found: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """The interval is the cluster-robust normal one: a heat map has hundreds of cells. None where there is one prompt."""
    values = np.array([v for _, v in found])
    sums, sizes = cluster_sums(values, [p for p, _ in found])
    error, mean = clustered_error(sums, sizes), float(values.mean())
    low, high = (None, None) if error is None else (max(1.0, mean - Z95 * error), min(5.0, mean + Z95 * error))
    return {"mean": mean, "low": low, "high": high, "n": len(values), "prompts": len(sums)}


def _share(pairs: Sequence[tuple[str, float]]) -> dict[str, Any] | None:
    if not pairs:
        return None
    told = interval([v for _, v in pairs], [p for p, _ in pairs])
    return {"mean": told.mean, "low": told.low, "high": told.high, "n": told.n, "prompts": told.clusters}


def _gap(found: Sequence[tuple[str, float, float | None]], seed: int) -> dict[str, Any] | None:
    known = [(p, a, b) for p, a, b in found if b is not None]
    if not known:
        return None
    told = paired_difference(
        [a for _, a, _ in known], [b for _, _, b in known], [p for p, _, _ in known], seed, RESAMPLES
    )
    return {"mean": told.mean, "low": told.low, "high": told.high, "n": told.n, "prompts": told.clusters}


def _at_equal_length(units: Sequence[Unit], seed: int) -> dict[str, Any] | None:
    """Least squares of own - swapped on the log ratio of words: the value at 0, refitted on resampled prompts. `slope`: grades for an
    answer e times as long. Where all ratios are the same there is no slope, and nothing is adjusted."""
    if not units:
        return None
    x = np.array([u.ratio for u in units], dtype=float)
    y = np.array([u.own - (u.swapped or 0.0) for u in units])
    prompts = [u.prompt for u in units]
    if np.ptp(x) < 1e-12:
        return None if x[0] else {**(_gap([(u.prompt, u.own, u.swapped) for u in units], seed) or {}), "slope": None}
    sums = np.stack([cluster_sums(column, prompts)[0] for column in (np.ones_like(x), x, y, x * x, x * y)])

    def fitted(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, sx, sy, sxx, sxy = total
        spread = sxx - sx * sx / n
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(spread > 1e-12, (sxy - sx * sy / n) / np.where(spread > 1e-12, spread, 1), 0.0)
        return (sy - slope * sx) / n, slope

    at, slope = fitted(sums.sum(axis=1))
    again = np.concatenate([fitted(sums @ draws.T)[0] for draws in resampled(sums.shape[1], RESAMPLES, seed)])
    low, high = np.quantile(again, [0.025, 0.975])
    told = {"mean": float(at), "low": float(low), "high": float(high), "n": len(units), "prompts": sums.shape[1]}
    return {**told, "slope": float(slope)}


def result_of(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """The figures as they stand in result.json, without who was asked and who judged."""
    label = "grades from 1 to 5 by one judge's words: comparable with the same judge and cases alone"
    figures = summarise(rows, seed)
    groups = [_plain(part) for part in figures["splits"]]
    return {"name": NAME, "label": label, **figures, "groups": groups, "notes": []}


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    """A split in plain numbers, for the report's table."""
    means = {name: None if part[name] is None else part[name]["mean"] for name in (*MEANS, "swap_accuracy")}
    gap = part["own_minus_swapped"] or {"low": None, "high": None}
    ends = {"own_minus_swapped_low": gap["low"], "own_minus_swapped_high": gap["high"]}
    return {"split": part["split"], **means, **ends}
