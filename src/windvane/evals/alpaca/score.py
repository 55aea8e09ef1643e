"""AlpacaEval 2.0 from files: the published win rate and its length-controlled form.

In: a file of annotations (annotations.py); for the length-controlled (LC) figure df_gamed.csv, and instruction_difficulty.csv to check
it. Out: one table of figures in percent, named as on the leaderboard, with what was left out and why a figure is missing.

The LC figure is fitted to those 805 prompts, the baseline gpt4_1106_preview and the judge weighted_alpaca_eval_gpt4_turbo: for anything
else it is refused with a note, and `length_adjusted_win_rate` (length_adjusted.py) is given in its stead. Files of fewer prompts are
refused too: the published figures of such files come from difficulties that slipped out of line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.errors import UserError
from windvane.evals.alpaca import instructions
from windvane.evals.alpaca.annotations import Annotation, Annotations, read_tables
from windvane.evals.alpaca.length_adjusted import of_annotations
from windvane.evals.alpaca.length_control import (
    PROMPTS,
    SHA256,
    Gamed,
    LengthControlled,
    fit,
    from_coefficients,
    interval,
    read_coefficients,
    read_difficulty,
)
from windvane.runs.store import file_sha256
from windvane.stats.paired import paired_difference

# Published LC and published coefficients do not belong together: off by 0.19 and 0.13 points.
TWO_RUNS = ("dbrx-instruct", "NullModel")


def head_to_head(shares: Sequence[float]) -> dict[str, Any]:
    """The published figures of shares p = preference - 1: win_rate = 100 mean p, standard_error = 100 sem (None for one row),
    discrete_win_rate counts p above 1/2 as a win and exactly 1/2 as half of one."""
    p = np.asarray(shares, dtype=float)
    wins, losses, draws = int((p > 0.5).sum()), int((p < 0.5).sum()), int((p == 0.5).sum())
    return {
        "win_rate": float(100 * p.mean()),
        "standard_error": float(100 * p.std(ddof=1) / np.sqrt(len(p))) if len(p) > 1 else None,
        "n_wins": wins,
        "n_wins_base": losses,
        "n_draws": draws,
        "n_total": len(p),
        "discrete_win_rate": 100 * (wins + draws / 2) / len(p),
    }


@dataclass(frozen=True, slots=True)
class Aligned:
    """A file that the LC fit is made for: arrays over its rows, `index` their places among the 805 prompts."""

    shares: np.ndarray
    delta: np.ndarray
    index: np.ndarray

    def in_order(self) -> Aligned:
        order = np.argsort(self.index)
        return Aligned(self.shares[order], self.delta[order], self.index[order])


def aligned(found: Annotations) -> Aligned | str:
    """The rows ready for the LC fit, or the sentence that says why the figure does not exist for them."""
    rows, first = found.rows, found.rows[0]
    absent = [
        n for n in ("instruction", "output_1", "output_2", "annotator") if all(getattr(row, n) is None for row in rows)
    ]
    if absent:
        mend = f" (--annotator {instructions.JUDGE} states the judge)" if absent == ["annotator"] else ""
        return f"its rows have no {', '.join(absent)}{mend}"
    if first.generator_1 is not None and first.generator_1 not in instructions.BASELINE_ALIASES:
        return f"the baseline is {first.generator_1!r}, and the figure is defined against {instructions.BASELINE} alone"
    name = (
        first.annotator or ""
    )  # a name or a path to its configuration; with a colon it is a backend's, asked in other words
    if ":" in name or instructions.JUDGE not in Path(name).parts:
        return f"the judge is {first.annotator!r}, and the figure is defined for {instructions.JUDGE} alone"
    place = {key: i for i, key in enumerate(instructions.INSTRUCTIONS)}
    index = [place.get(instructions.fingerprint(row.instruction or ""), -1) for row in rows]
    known = {i for i in index if i >= 0}
    if len(known) < PROMPTS or len(rows) != PROMPTS:
        other = sum(i < 0 for i in index)
        return (
            f"it needs each of AlpacaEval's {PROMPTS} prompts once; this file has {len(known)} of them"
            f"{f', {other} rows on other prompts' if other else ''} in {len(rows)} rows"
        )
    judged = len(found.judged)
    if judged < 0.95 * PROMPTS:
        return f"only {judged} of the {PROMPTS} rows can be scored"
    same = sum(
        instructions.fingerprint(r.output_1 or "") == instructions.BASELINE_OUTPUTS[i] for r, i in zip(rows, index)
    )
    if same < 0.95 * PROMPTS:
        return f"only {same} of the baseline's {PROMPTS} answers are {instructions.BASELINE}'s published ones"
    whole = [r.output_1 is not None and r.output_2 is not None for r in rows]
    delta = np.array([len(r.output_1 or "") - len(r.output_2 or "") if w else np.nan for r, w in zip(rows, whole)])
    if not np.nanstd(delta) > 0:
        return "every answer is equally much longer than the baseline's, so length has no effect to remove"
    return Aligned(np.array([np.nan if r.p is None else r.p for r in rows]), delta, np.array(index))


def score(
    found: Annotations, gamed: Gamed | None, C: float | None = None, resamples: int = 200, seed: int = 0
) -> dict[str, Any]:
    """All figures of one model's annotations, in percent. `resamples` refits give `lc_low` and `lc_high` (0: none)."""
    rows, notes = found.judged, [*found.notes]
    lengths = [len(row.output_2) for row in found.rows if row.output_2 is not None]
    result: dict[str, Any] = {
        "model": found.name("generator_2"),
        "baseline": found.name("generator_1"),
        "annotator": found.name("annotator"),
        **head_to_head([row.p for row in rows if row.p is not None]),
        "avg_length": int(np.mean(lengths)) if lengths else None,
        "length_controlled_winrate": None,
        "lc_standard_error": None,
    }
    repeats = len(rows) - len({row.instruction for row in rows})
    if rows[0].instruction is not None and repeats:
        clustered = paired_difference(
            [r.p or 0.0 for r in rows], [0.0] * len(rows), [r.instruction for r in rows], seed
        )
        result["clustered_standard_error"] = clustered.standard_error and 100 * clustered.standard_error
        notes.append(
            f"{repeats} rows ask an instruction again: standard_error takes rows as independent, clustered_ does not"
        )
    ready = aligned(found)
    if isinstance(ready, str) or gamed is None:
        why = ready if isinstance(ready, str) else "it needs --gamed df_gamed.csv and --difficulty, or --download"
        notes.append(f"no length-controlled win rate: {why}")
        adjusted = of_annotations(found, seed=seed)
        if isinstance(ready, str) and adjusted is not None:
            result |= {f"length_adjusted_{k}": 100 * v for k, v in _named(asdict(adjusted)).items()}
            notes.append(
                "length_adjusted_win_rate is a regression on these pairs alone, not comparable with published LC"
            )
    else:
        if found.name("generator_1") is None:
            notes.append(f"its rows name no baseline; the answers are {instructions.BASELINE}'s published ones")
        o = ready.in_order()  # so that the folds, and the figure, do not depend on the order of the file
        lc = fit(o.shares, o.delta, o.index.tolist(), gamed, C)
        result |= _length_controlled(lc, gamed)
        if resamples:
            _, low, high = interval(o.shares, o.delta, o.index.tolist(), gamed, lc.C, resamples, seed)
            result |= {"lc_low": low, "lc_high": high}
        if not gamed.official:
            notes.append(
                "the --gamed file is not the published df_gamed.csv (by its checksum): the LC figure is not official"
            )
        if _extreme(result["win_rate"], lc.winrate):
            notes.append("LC and plain win rate are very different: look at the answers before believing either")
    if first := _baseline_second(found):
        notes.append(
            f"the figures are those of {found.name('generator_2')}, AlpacaEval 2.0's baseline, against {first}; --model "
            f"'{first}' turns the rows round"
        )
    if len(rows) >= 20 and len({row.output_2 for row in rows}) <= len(rows) / 20 and rows[0].output_2 is not None:
        notes.append("nearly the same answer to every prompt: this measures how the judge can be gamed, not the model")
    return {**result, "n_rows": len(found.rows), "left_out": found.left_out, "notes": notes}


def _baseline_second(found: Annotations) -> str | None:
    """The model that stands first where the published baseline stands second."""
    first, second = found.name("generator_1"), found.name("generator_2")
    aliases = instructions.BASELINE_ALIASES
    return first if second in aliases and first not in aliases else None


def _named(adjusted: dict[str, Any]) -> dict[str, float]:
    return {
        "win_rate": adjusted["length_adjusted_win_rate"],
        **{k: adjusted[k] for k in ("standard_error", "low", "high")},
    }


def _length_controlled(lc: LengthControlled, gamed: Gamed) -> dict[str, Any]:
    names = ("length", "difficulty", "not_gamed")
    return {
        "length_controlled_winrate": lc.winrate,
        "lc_standard_error": lc.standard_error,
        "glm": dict(zip(names, lc.coefficients)) | {"C": lc.C},
        "difficulty": "official" if gamed.official else "not official",
    }


def _extreme(before: float, after: float) -> bool:
    """alpaca_eval's own warning: a change by over 10 points and a quarter of the way to 0 or 100."""
    return after < min(before * 0.75, before - 10) or after > max(before + (100 - before) / 4, before + 10)


def from_weights(path: Path, difficulty: Path, model: str, baseline: str | None = None) -> dict[str, Any]:
    """LC win rate of a leaderboard model from its published GLM coefficients, against gpt4_1106_preview or another of them."""
    known = read_coefficients(path)
    for name in (model, baseline or model):
        if name not in known:
            near = ", ".join(sorted(k for k in known if name.lower() in k.lower() or k.lower() in name.lower())[:5])
            raise UserError(f"{path}: no model {name!r}{f'; near it: {near}' if near else ''}")
    _, b, c = known[model]
    _, b0, c0 = known[baseline] if baseline else (0.0, 0.0, 0.0)
    winrate, error = from_coefficients(b - b0, c - c0, read_difficulty(difficulty))
    found = {"model": model, "baseline": baseline or instructions.BASELINE, "length_controlled_winrate": winrate}
    official = file_sha256(difficulty) == SHA256["instruction_difficulty.csv"]
    apart = [name for name in (model, baseline) if name in TWO_RUNS]
    return found | {
        "lc_standard_error": error,
        "n_total": PROMPTS,
        "difficulty": "official" if official else "not official",
        "notes": [f"{name}: its leaderboard row and its coefficients come from different runs" for name in apart],
    }


def filler(outputs: Path | None, baseline: Path | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Adds to a row the answers that stand in files of their own (`instruction`, `output`, `generator`)."""
    known: list[tuple[str, str, dict[str, Any]]] = []
    for path, output, generator in ((baseline, "output_1", "generator_1"), (outputs, "output_2", "generator_2")):
        if path is not None:
            rows = [r for r in read_tables(path)[0] if isinstance(r, dict)]
            table = {
                r["instruction"]: r
                for r in rows
                if isinstance(r.get("instruction"), str) and isinstance(r.get("output"), str)
            }
            if not table:
                raise UserError(f"{path}: no row has instruction and output; expected a model_outputs.json")
            known.append((output, generator, table))

    def fill(row: dict[str, Any]) -> dict[str, Any]:
        for output, generator, table in known:
            other = table.get(row.get("instruction", ""))
            if other is not None and not isinstance(row.get(output), str):
                row = {**row, output: other["output"], generator: row.get(generator) or other.get("generator")}
        return row

    return fill


def series(found: Annotations) -> tuple[list[float], list[float]]:
    """(model's length - baseline's in characters, share) of each judged row, for the plot."""
    rows: list[Annotation] = found.judged
    if rows[0].output_1 is None or rows[0].output_2 is None:
        raise UserError(f"{found.path}: no output_1 and output_2 in its rows; the plot needs both")
    return [float(len(r.output_2 or "") - len(r.output_1 or "")) for r in rows], [r.p for r in rows if r.p is not None]
