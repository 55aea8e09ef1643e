"""`windvane eval intransitivity RUN_OR_VERDICTS...`: how intransitive a judge is on your data, and whether that could matter.

    windvane eval intransitivity RUN --json
    windvane eval intransitivity SEED-1 SEED-2 SEED-3 --out RUN/evaluations/intransitivity

In: pairwise verdicts (preference_matrix.py says which files); several names are seeds of one judge. Out: the share of the judge's
log-odds that no scalar score explains (hodge.py) and the share of cyclic triples, each beside what a transitive judge with the same noise
would show (transitive_null.py); the share beyond that, with a 95% interval that resamples seeds, then prompts; and a sentence on
whether a general-preference method can pay.

    share = sum_x |cyclic part|^2 / sum_x |log-odds|^2          beyond_null = (cyclic - null cyclic) / (total - noise)

over prompts x whose compared pairs hold a cycle; `null` is null cyclic / total. Energies are summed before they are divided: a prompt on
which the judge minds nothing weighs nothing. Departure from HodgeRank (Jiang et al. 2011): the null and the intervals; the paper
reports the bare ratio.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.intransitivity.hodge import cyclic_triples, energies
from windvane.evals.intransitivity.plot import plot
from windvane.evals.intransitivity.preference_matrix import Source, source, table_of, verdict_files
from windvane.evals.intransitivity.summary import judgement, notes, table
from windvane.evals.intransitivity.transitive_null import Null, draw, flow, measure_noise
from windvane.runs.store import write_atomic
from windvane.stages.pair import TIE
from windvane.stats.paired import minimum_detectable, resampled

CLIP = 0.01  # log-odds beyond 99 to 1 say no more than "sure"
SIGNAL = (
    0.1  # beyond_null divides by at least this share of the total, so that a judge who is all noise does not explode
)
CELLS = 3_000_000  # drawn pairs of the null

# columns of the sums that everything is a ratio of
CYCLIC, TOTAL, CURL, TRIPLES, CYCLES, NULL_CYCLIC, NOISE, NULL_CYCLES = range(8)


@dataclass(frozen=True, slots=True)
class Ratios:
    """Shares (fractions) from rows of sums: arrays [n]."""

    share: np.ndarray
    curl: np.ndarray
    cycles: np.ndarray
    null_share: np.ndarray
    null_cycles: np.ndarray
    beyond_null: np.ndarray


def ratios(sums: np.ndarray) -> Ratios:
    """`sums` [n, 8] -> shares [n]; NaN where there is nothing to divide by."""
    s = sums.T
    total = np.where(s[TOTAL] > 0, s[TOTAL], np.nan)
    triples = np.where(s[TRIPLES] > 0, s[TRIPLES], np.nan)
    signal = np.maximum(total - s[NOISE], SIGNAL * total)
    beyond = (s[CYCLIC] - s[NULL_CYCLIC]) / signal
    return Ratios(
        s[CYCLIC] / total,
        s[CURL] / total,
        s[CYCLES] / triples,
        s[NULL_CYCLIC] / total,
        s[NULL_CYCLES] / triples,
        beyond,
    )


def measure(
    sources: Sequence[Source], clip: float = CLIP, resamples: int = 2000, seed: int = 0, draws: int | None = None
) -> dict[str, Any]:
    """The result for verdicts of one judge, a `Source` a seed; fractions. `clip`: probabilities are kept this far from 0 and 1.
    `verdict`: "no", "not shown", "may", "can" or "unknown", whose reason is `sentence`."""
    blocks = [block for one in sources for block in one.blocks]
    counted = {
        "seeds": len(sources),
        "prompts": sum(one.clusters for one in sources),
        "prompts_without_cycle": sum(one.flat for one in sources),
        "pairs": sum(one.pairs for one in sources),
        "failed_pairs": sum(one.failed for one in sources),
        "left_out": {k: sum(one.left_out.get(k, 0) for one in sources) for one in sources for k in one.left_out},
    }
    if not blocks:
        empty = {"share": None, "beyond_null": None, "null": None, "cyclic_triples": None, "noise": None}
        said = "No prompt has three answers compared in a circle, so these verdicts cannot show a cycle."
        return {**empty, **counted, "verdict": "unknown", "sentence": said, "notes": []}
    noise = measure_noise(blocks, clip)
    cells = sum(block.first.size for block in blocks)
    draws = draws or int(min(400, max(40, CELLS // cells)))
    null = draw(blocks, noise, clip, draws, seed)
    columns = [_columns(block, one, clip) for block, one in zip(blocks, null)]
    at, sums = 0, []
    for one in sources:
        held = list(zip(one.blocks, columns[at : at + len(one.blocks)]))
        at += len(one.blocks)
        sums.append(_by_prompt(one, held))
    again = ratios(_resample(sums, resamples, seed))
    told = ratios(np.stack([part.sum(0) for part in [np.concatenate(sums), *sums]]))
    band = ratios_of_draws(null, columns)
    error = _number(np.std(again.beyond_null, ddof=1))
    result: dict[str, Any] = {
        "share": _interval(told.share, again.share),
        "beyond_null": {
            **_interval(told.beyond_null, again.beyond_null),
            "standard_error": error,
            "detectable": None if error is None else minimum_detectable(error),
        },
        "null": {"mean": _number(told.null_share[0]), **_span(band[0])},
        "local_cycles": _number(told.curl[0]),
        "global_cycles": _number(told.share[0] - told.curl[0]),
        "cyclic_triples": {
            **_interval(told.cycles, again.cycles),
            "cyclic": int(np.concatenate(sums)[:, CYCLES].sum()),
            "triples": int(np.concatenate(sums)[:, TRIPLES].sum()),
            "null": {"mean": _number(told.null_cycles[0]), **_span(band[1])},
        },
        "noise": {
            "measured_by": noise.kind,
            "hard": noise.hard,
            "lean_to_first": noise.lean,
            "order_flips": noise.flips,
        },
        **counted,
    }
    if len(sources) > 1:
        result["by_seed"] = [
            {"name": one.name, "share": _number(told.share[n]), "beyond_null": _number(told.beyond_null[n]),
             "cyclic_triples": _number(told.cycles[n]), "prompts": one.clusters}
            for n, one in enumerate(sources, 1)
        ]  # fmt: skip
    verdict, sentence = judgement(result)
    return {**result, "verdict": verdict, "sentence": sentence, "notes": notes(result)}


def _columns(block: Any, null: Null, clip: float) -> np.ndarray:
    """[prompts, 8] of one block."""
    found = energies(block.base, flow(block, clip))
    p = block.p
    signs = np.where(np.abs(p - 0.5) < TIE, 0.0, np.sign(p - 0.5))
    triples = np.full(len(p), float(len(block.base.triangles)))
    cycles = cyclic_triples(block.base, signs).astype(float)
    return np.stack(
        [found.cyclic, found.total, found.curl, triples, cycles, null.cyclic, null.noise, null.triples],
        axis=1,
    )


def _by_prompt(one: Source, held: Sequence[tuple[Any, np.ndarray]]) -> np.ndarray:
    sums = np.zeros((one.clusters, 8))
    for block, columns in held:
        np.add.at(sums, block.cluster, columns)
    return sums


def _resample(sums: Sequence[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """[resamples, 8]: seeds drawn with replacement, then within each drawn one its prompts."""
    kept = [part for part in sums if len(part)]
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(kept), (resamples, len(kept))) if len(kept) > 1 else np.zeros((resamples, 1), dtype=int)
    out = np.zeros((resamples, 8))
    for number, part in enumerate(kept):
        rows = np.nonzero(picks == number)[0]  # a seed drawn twice gets two draws of prompts
        if len(rows):
            drawn = np.concatenate([c @ part for c in resampled(len(part), len(rows), seed + 1 + number)])
            np.add.at(out, rows, drawn)
    return out


def ratios_of_draws(null: Sequence[Null], columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(share, cyclic triples) of each draw of the null on these very prompts."""
    cyclic, cycles = (sum(getattr(n, name) for n in null) for name in ("cyclic_draws", "triples_draws"))
    total, triples = (sum(float(c[:, column].sum()) for c in columns) for column in (TOTAL, TRIPLES))
    nothing = np.full_like(cyclic, np.nan)
    return (cyclic / total if total else nothing), (cycles / triples if triples else nothing)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _span(values: np.ndarray) -> dict[str, float | None]:
    if not np.isfinite(values).any():
        return {"low": None, "high": None}
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _interval(told: np.ndarray, again: np.ndarray) -> dict[str, float | None]:
    return {"mean": _number(told[0]), **_span(again)}


def main(argv: Sequence[str]) -> int:
    """`windvane eval intransitivity`."""
    parser = Parser("windvane eval intransitivity", description="How intransitive a judge is, beyond its noise.")
    add = parser.add_argument
    add(
        "verdicts",
        nargs="+",
        type=Path,
        metavar="RUN_OR_VERDICTS",
        help="runs or JSON-lines files of pairwise verdicts; several: seeds",
    )
    add("--iteration", type=int, metavar="T", help="of runs, this iteration alone (all)")
    add("--clip", type=float, default=CLIP, help=f"keep probabilities this far from 0 and 1 ({CLIP})")
    add("--resamples", type=int, default=2000, help="of the intervals (2000)")
    add("--seed", type=int, default=0)
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="write result.json and plot.svg there; RUN/evaluations/NAME shows them in RUN's report",
    )
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(list(argv))
    if not 0 < options.clip < 0.5:
        raise UserError(f"--clip {options.clip}: must be between 0 and 0.5")
    if options.resamples < 100:
        raise UserError(f"--resamples {options.resamples}: an interval needs at least 100")
    if options.iteration is not None and any(path.is_file() for path in options.verdicts):
        raise UserError("--iteration: said of runs; a file of verdicts has none, leave it out")
    files = {path: verdict_files(path, options.iteration) for path in options.verdicts}
    sources = [source(path.name, table_of(parts)) for path, parts in files.items()]
    if not any(one.pairs for one in sources):
        reasons = {k: v for one in sources for k, v in one.left_out.items()} | {
            "no verdict": sum(one.failed for one in sources)
        }
        left = ", ".join(f"{n} rows with {why}" for why, n in reasons.items() if n) or "no rows"
        raise UserError(f"{options.verdicts[0]}: no usable verdict ({left}); expected p_ab and p_ba, p or winner")
    result = {"name": "intransitivity", "judged": [path.name for path in options.verdicts]}
    result |= measure(sources, options.clip, options.resamples, options.seed)
    numbers = sorted({part for parts in files.values() for part, _ in parts})
    if len(numbers) > 1 and result["share"] is not None:
        result["by_iteration"] = [_iteration(n, files, options.clip, options.resamples, options.seed) for n in numbers]
    result["headline"] = result["sentence"]
    if options.out:
        write_atomic(
            options.out / "result.json", json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )
        write_atomic(options.out / "plot.svg", plot(result))
    print(json.dumps(result, ensure_ascii=False, allow_nan=False) if options.json else table(result))
    return 0


def _iteration(
    number: int, files: dict[Path, list[tuple[int, Path]]], clip: float, resamples: int, seed: int
) -> dict[str, Any]:
    kept = {path: [p for p in parts if p[0] == number] for path, parts in files.items()}
    found = measure(
        [source(path.name, table_of(parts)) for path, parts in kept.items() if parts], clip, resamples, seed
    )
    row: dict[str, Any] = {"name": f"iteration {number}", "iteration": number, "prompts": found["prompts"]}
    for key in ("share", "beyond_null", "null"):
        r = found[key] or {"mean": None, "low": None, "high": None}
        row |= {key: r["mean"], f"{key}_low": r["low"], f"{key}_high": r["high"]}
    return row
