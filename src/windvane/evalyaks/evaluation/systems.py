"""Systems that score the same candidates, side by side, with intervals over candidates.

In: `Scored` rows (reference bands, part, candidate) and each system's predictions for them. Out: a table of every measure by system and
part, differences between systems, and the average over parts. Intervals (95%): candidates are resampled whole, within the set of parts
they took, the same resamples for every system, so that a difference is a paired one. Shares get Wilson's interval on the effective
number of candidates (the bootstrap's own would have no width at 0 and 100%).

Departures from EvalYaks (arXiv 2408.12226, section 4.3), which gives no interval and no baseline: see evalyaks/evaluation/measures.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from windvane.evalyaks.evaluation.measures import (
    OUTCOMES,
    Scale,
    agreement,
    confusion,
    mean,
    misses,
    outcomes,
    strict,
    wilson,
)
from windvane.stats.paired import resampled

Bands = Mapping[str, float]
AVERAGED = ("acceptable_accuracy", "strict_acceptable_accuracy", "accurate", "dov", "dov_penalised", "coverage", "qwk")
SHARES = ("acceptable_accuracy", "strict_acceptable_accuracy", "coverage", *OUTCOMES)
COMPARED = ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk")
PER_CRITERION_SHARES = ("exact", "adjacent", "within_half", "within_one")


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer with its reference bands. `candidate` is what is resampled; `words`: how many the candidate says; `second`: another
    rater's bands; `setting`: where the content is at home (global, indian)."""

    id: str
    part: str
    candidate: str
    reference: Bands
    words: int | None = None
    second: Bands | None = None
    setting: str | None = None


@dataclass(slots=True)
class System:
    """`predictions`: one a row, None where the system gave nothing valid. `kind`: "model", or "line" for what it stands beside."""

    name: str
    predictions: Sequence[Bands | None]
    kind: str = "model"
    note: str = ""
    point: dict[str, float] = field(default_factory=dict)  # "1/GV/qwk", "1/dov", "average/dov" -> value
    draws: dict[str, list[np.ndarray]] = field(default_factory=dict)


def compare(
    rows: Sequence[Scored], systems: Sequence[System], scale: Scale | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Every measure of every system on the same rows."""
    assert rows and systems and all(len(s.predictions) == len(rows) for s in systems)
    scale = scale or Scale()
    parts = sorted({r.part for r in rows})
    criteria = {p: _criteria([r for r in rows if r.part == p]) for p in parts}
    names = list(dict.fromkeys(r.candidate for r in rows))
    where = {name: i for i, name in enumerate(names)}
    which = np.array([where[r.candidate] for r in rows])
    for system in systems:
        system.point = {
            k: float(v[0]) for k, v in _measured(rows, system, criteria, scale, np.ones((1, len(rows)))).items()
        }
        system.draws = {}
    for draws in _resampled(rows, which, len(names), resamples, seed):
        for system in systems:
            for key, values in _measured(rows, system, criteria, scale, draws[:, which]).items():
                system.draws.setdefault(key, []).append(values)
    counts = {p: len({r.candidate for r in rows if r.part == p}) for p in parts} | {"average": len(names)}
    return {
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step},
        "rows": len(rows),
        "candidates": len(names),
        "systems": [_block(rows, s, criteria, counts, scale) for s in systems],
        "differences": _differences(systems, criteria),
    }


def _criteria(rows: Sequence[Scored]) -> list[str]:
    return list(dict.fromkeys(c for r in rows for c in r.reference))


def _arrays(
    rows: Sequence[Scored], predictions: Sequence[Bands | None], criteria: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    nan = float("nan")
    y = np.array([[r.reference.get(c, nan) for c in criteria] for r in rows], dtype=float)
    p = np.array([[nan if q is None else q.get(c, nan) for c in criteria] for q in predictions], dtype=float)
    invalid = (np.isnan(p) & ~np.isnan(y)).any(1)  # an answer without one of the criteria is no valid answer
    p[invalid] = nan
    return y, p


def _measured(
    rows: Sequence[Scored], system: System, criteria: Mapping[str, Sequence[str]], scale: Scale, weights: np.ndarray
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for part, names in criteria.items():
        at = [i for i, r in enumerate(rows) if r.part == part]
        y, p = _arrays([rows[i] for i in at], [system.predictions[i] for i in at], names)
        w, bands = weights[:, at], scale.band(p)
        kind, missed = outcomes(y, bands), misses(y, bands)
        valid = ~np.isnan(missed)
        shares = {name: mean((kind == i) * 1.0, w) for i, name in enumerate(OUTCOMES)}
        here = {
            **shares,
            "acceptable_accuracy": mean((kind < 3) * 1.0, w),
            "strict_acceptable_accuracy": mean(strict(y, bands) * 1.0, w),
            "coverage": mean(valid * 1.0, w),
            "dov": mean(missed[valid], w[:, valid]),
            "dov_penalised": mean(np.where(valid, missed, scale.high - scale.low), w),
        }
        for k, name in enumerate(names):
            use = valid & ~np.isnan(y[:, k])
            found |= {f"{part}/{name}/{m}": v for m, v in agreement(y[use, k], p[use, k], w[:, use], scale).items()}
        here["qwk"] = np.mean([found[f"{part}/{name}/qwk"] for name in names], axis=0)
        found |= {f"{part}/{m}": v for m, v in here.items()}
    return found | {f"average/{m}": np.mean([found[f"{p}/{m}"] for p in criteria], axis=0) for m in AVERAGED}


def _resampled(
    rows: Sequence[Scored], which: np.ndarray, count: int, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """[some resamples, candidates] counts; a candidate is only exchanged for one who took the same parts."""
    taken: dict[int, set[str]] = {}
    for index, row in zip(which.tolist(), rows):
        taken.setdefault(index, set()).add(row.part)
    strata: dict[tuple[str, ...], list[int]] = {}
    for index in range(count):
        strata.setdefault(tuple(sorted(taken[index])), []).append(index)
    size = max(1, 2_000_000 // len(rows))
    for start in range(0, resamples, size):
        draws = np.zeros((min(size, resamples - start), count))
        for number, members in enumerate(strata.values()):
            # another stream for every chunk and stratum; the chunks' sizes depend on the rows alone
            parts = list(resampled(len(members), len(draws), seed + 1_000_003 * start + 7919 * number))
            draws[:, members] = np.concatenate(parts)
        yield draws


def _interval(system: System, key: str, candidates: int) -> dict[str, float | None]:
    value = system.point[key]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None}
    again = np.concatenate(system.draws[key]) if key in system.draws else np.empty(0)
    again = again[np.isfinite(again)]
    if key.rsplit("/", 1)[1] in (*SHARES, *PER_CRITERION_SHARES):
        variance = float(again.var()) if len(again) else 0.0
        # the number of independent candidates whose share would vary as this one does
        effective = value * (1 - value) / variance if variance > 1e-12 else float(candidates)
        low, high = wilson(value, max(1.0, effective))
        low, high = min(low, value), max(high, value)  # at 0 and 1 they meet, but for the last digit
    elif len(again):
        low, high = (float(q) for q in np.quantile(again, [0.025, 0.975]))
    else:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": low, "high": high}


def _block(
    rows: Sequence[Scored],
    system: System,
    criteria: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    scale: Scale,
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for part, names in criteria.items():
        at = [i for i, r in enumerate(rows) if r.part == part]
        y, p = _arrays([rows[i] for i in at], [system.predictions[i] for i in at], names)
        own = [k for k in system.point if k.startswith(f"{part}/") and k.count("/") == 1]
        block: dict[str, Any] = {"rows": len(at), "candidates": counts[part]}
        block |= {k.split("/")[1]: _interval(system, k, counts[part]) for k in own}
        block["criteria"] = {}
        for k, name in enumerate(names):
            use = ~np.isnan(y[:, k]) & ~np.isnan(p[:, k])
            keys = [key for key in system.point if key.startswith(f"{part}/{name}/")]
            measures: dict[str, Any] = {key.split("/")[2]: _interval(system, key, counts[part]) for key in keys}
            measures |= {"n": int(use.sum()), "confusion": confusion(y[use, k], scale.band(p[use, k]), scale)}
            block["criteria"][name] = measures
        parts[part] = block
    average = {m: _interval(system, f"average/{m}", counts["average"]) for m in AVERAGED}
    return {"name": system.name, "kind": system.kind, "note": system.note, "average": average, "parts": parts}


def _differences(systems: Sequence[System], criteria: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Each model minus each other system, on the same resamples: `COMPARED` of each part and the average, QWK of each criterion."""
    places = [(p, "", m) for p in (*criteria, "average") for m in COMPARED]
    places += [(p, f"{c}/", "qwk") for p, names in criteria.items() for c in names]
    found = []
    for model in (s for s in systems if s.kind == "model"):
        for other in (s for s in systems if s is not model):
            for part, criterion, measure in places:
                key = f"{part}/{criterion}{measure}"
                value = model.point[key] - other.point[key]
                again = np.concatenate(model.draws[key]) - np.concatenate(other.draws[key])
                again = again[np.isfinite(again)]
                known = bool(np.isfinite(value)) and len(again) > 0
                low, high = (float(q) for q in np.quantile(again, [0.025, 0.975])) if known else (None, None)
                record = {
                    "model": model.name,
                    "other": other.name,
                    "part": part,
                    "criterion": criterion.rstrip("/") or None,
                }
                record |= {"measure": measure}
                found.append({**record, "value": float(value) if known else None, "low": low, "high": high})
    return found
