"""What verdicts on answers of known quality say about the judge. Pure.

In: items, verdicts of their pairs (both orders asked), verdicts of a null answer against a chosen one. Out: plain numbers; rates are
fractions, intervals resample rows. A pair that the judge left unscored counts in `failed_pairs` and in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windvane.core.records import Verdict
from windvane.evals.judge_card.items import Item
from windvane.stages.pair import TIE, count_cycles
from windvane.stats.bootstrap import bootstrap_mean
from windvane.stats.paired import resampled


def measure(
    items: Sequence[Item], told: Mapping[str, Sequence[Verdict]], null: Sequence[Verdict], seed: int = 0
) -> dict[str, Any]:
    """The card's numbers. `told` maps a row's prompt id to its verdicts; `null` holds P(the null answer beats a chosen one)."""
    verdicts = [v for item in items for v in told.get(item.prompt.id, [])]
    cyclic = triples = 0
    for item in items:
        found = {(v.a, v.b): v.p for v in told.get(item.prompt.id, []) if v.p is not None}
        p = found | {(b, a): 1.0 - x for (a, b), x in found.items()}
        one = count_cycles(p, range(len(item.answers)))
        cyclic, triples = cyclic + one[0], triples + one[1]
    accuracy = {item.prompt.id: row_accuracy(item, told.get(item.prompt.id, [])) for item in items}
    best = [b for item in items if (b := all_beaten(item, told.get(item.prompt.id, []))) is not None]
    asked = [p for v in verdicts for p in (v.p_ab, v.p_ba) if p is not None]
    gaps = [v.disagreement for v in verdicts if v.disagreement is not None]
    judged = [v for v in verdicts if v.p is not None]
    return {
        "rows": len(items),
        "pairs": len(verdicts),
        "failed_pairs": len(verdicts) - len(judged),
        "accuracy": _interval([a for a in accuracy.values() if a is not None], seed),
        "accuracy_by_subset": _by_subset(items, accuracy),
        "chosen_beats_all": _interval(best, seed),
        "order_flips": _share([flipped(v) for v in judged]),
        "order_disagreement": sum(gaps) / len(gaps) if gaps else None,
        "first_shown": sum(asked) / len(asked) if asked else None,
        "ties": _share([v.p is not None and abs(v.p - 0.5) < TIE for v in judged]),
        "cyclic_triples": cyclic,
        "triples": triples,
        "null_win_rate": _interval([v.p for v in null if v.p is not None], seed),
        "null_failed": sum(v.p is None for v in null),
        "length_slope": length_slope(items, told, seed),
    }


def cross(item: Item, verdicts: Sequence[Verdict]) -> list[tuple[int, int, float]]:
    """(chosen, rejected, P(chosen wins)) of the judged pairs across the two sides."""
    return [(v.a, v.b, v.p) for v in verdicts if v.a < item.chosen <= v.b and v.p is not None]


def row_accuracy(item: Item, verdicts: Sequence[Verdict]) -> float | None:
    """Share of the row's chosen-rejected pairs that the chosen wins, a tie 1/2; None where none was judged."""
    found = [0.5 if abs(p - 0.5) < TIE else float(p > 0.5) for _, _, p in cross(item, verdicts)]
    return sum(found) / len(found) if found else None


def all_beaten(item: Item, verdicts: Sequence[Verdict]) -> float | None:
    """1 where every chosen answer beats every rejected one (RewardBench 2's question for one chosen of four: a coin gets fewer than 1/4);
    None where a pair was not judged."""
    found = cross(item, verdicts)
    if len(found) < item.chosen * (len(item.answers) - item.chosen):
        return None
    return float(all(p > 0.5 + TIE for _, _, p in found))


def flipped(verdict: Verdict) -> bool:
    """The two orders name different winners."""
    assert verdict.p_ab is not None and verdict.p_ba is not None
    one, other = verdict.p_ab - 0.5, 0.5 - verdict.p_ba
    return abs(one) >= TIE and abs(other) >= TIE and (one > 0) != (other > 0)


def length_slope(items: Sequence[Item], told: Mapping[str, Sequence[Verdict]], seed: int = 0) -> dict[str, Any] | None:
    """How the judge's P(chosen wins) moves with length: the least-squares slope on tanh(d / std d), d the chosen answer's length less
    the rejected one's in characters (AlpacaEval's length term). 0: its mistakes do not depend on length; 0.2: from far shorter to
    far longer the probability rises by 0.4. The interval resamples rows. None without two lengths."""
    rows, d, y = [], [], []
    for number, item in enumerate(items):
        for a, b, p in cross(item, told.get(item.prompt.id, [])):
            rows.append(number)
            d.append(len(item.answers[a].text) - len(item.answers[b].text))
            y.append(p)
    spread = float(np.std(d, ddof=1)) if len(d) > 1 else 0.0
    if spread == 0.0:
        return None
    z, target = np.tanh(np.asarray(d) / spread), np.asarray(y)
    _, which = np.unique(rows, return_inverse=True)
    columns = (np.ones_like(z), z, target, z * z, z * target)
    sums = np.stack([np.bincount(which, weights=c) for c in columns], axis=1)  # [rows, 5]
    slope = float(_slope(sums.sum(0)[None])[0])
    if math.isnan(slope):
        return None
    draws = np.concatenate([_slope(counts @ sums) for counts in resampled(len(sums), 2000, seed)])
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"slope": slope, "low": float(low), "high": float(high), "pairs": len(d), "characters": spread}


def _slope(sums: np.ndarray) -> np.ndarray:
    """Least squares from (n, sum z, sum y, sum z^2, sum z y); NaN where z does not vary."""
    n, z, y, zz, zy = sums.T
    below = n * zz - z * z
    return np.where(below > 1e-12, (n * zy - z * y) / np.where(below > 1e-12, below, 1.0), np.nan)


def _by_subset(items: Sequence[Item], accuracy: Mapping[str, float | None]) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for item in items:
        value = accuracy[item.prompt.id]
        if item.subset is not None and value is not None:
            found.setdefault(item.subset, []).append(value)
    return {name: {"mean": sum(v) / len(v), "n": len(v)} for name, v in sorted(found.items())}


def _interval(values: Sequence[float], seed: int) -> dict[str, Any] | None:
    found = bootstrap_mean(values, seed)
    return None if found is None else {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
