"""`windvane eval cefr FILE`: predicted scores of speaking transcripts against reference scores.

    windvane eval cefr scores.csv --json
    windvane eval cefr predicted.jsonl --reference Part1_Introduction.csv --out RUN/evaluations/cefr

In: a file with both (cefr_rows.py says how it may look), or predictions and the transcripts that have the references. Out: for every
model, and for the constant, majority, length-only and second-rater lines beside it: the paper's outcomes and degree of variation, and
agreement per part and criterion, each with a 95% interval over candidates, with confusion matrices (--json, --out).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.errors import UserError
from windvane.evaluate.cefr_lines import lines
from windvane.evaluate.cefr_measures import OUTCOMES, Scale
from windvane.evaluate.cefr_rows import read_scored
from windvane.evaluate.cefr_systems import compare
from windvane.evaluate.result_files import keep_result


def main(argv: Sequence[str]) -> int:
    """Read, measure, print (--json: one object)."""
    parser = Parser("windvane eval cefr", description="Predicted against reference scores of speaking transcripts.")
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help=".csv, .tsv, .jsonl, .json or .parquet")
    add("--reference", nargs="+", type=Path, default=[], metavar="FILE", help="transcripts with scores, joined by id")
    add("--scale", default="1:5:1", metavar="LOW:HIGH:STEP", help="of the bands (1:5:1); half bands: 0:5:0.5")
    add("--resamples", type=int, default=2000, metavar="N", help="of the candidates, for the intervals (2000)")
    add("--seed", type=int, default=0)
    add("--out", type=Path, metavar="DIR", help="keep result.json there")
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(list(argv))
    if options.resamples < 1:
        raise UserError(f"--resamples {options.resamples}: must be at least 1")
    read = read_scored(options.files, options.reference, parse_scale(options.scale))
    systems = [*read.systems, *lines(read.rows, read.scale)]
    compared = compare(read.rows, systems, read.scale, options.resamples, options.seed)
    result = {"name": "cefr", **compared, "left_out": read.left_out, "invalid": read.invalid}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        keep_result(options.out, result, "")
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def parse_scale(text: str) -> Scale:
    """LOW:HIGH:STEP."""
    try:
        low, high, step = (float(v) for v in text.split(":"))
    except ValueError:
        raise UserError(f"--scale {text}: give LOW:HIGH:STEP, such as 1:5:1") from None
    if not (low < high and step > 0 and abs((high - low) / step - round((high - low) / step)) < 1e-9):
        raise UserError(f"--scale {text}: LOW must be below HIGH and STEP must divide what is between")
    return Scale(low, high, step)


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal: a table a part, one system a line."""
    systems = result["systems"]
    width = max(len(s["name"]) for s in systems)
    lines_ = [f"{result['rows']} answers of {result['candidates']} candidates; 95% intervals over candidates"]
    head = f"  {'':{width}}  " + "  ".join(f"{o[:10]:>10}" for o in OUTCOMES)
    for part in systems[0]["parts"]:
        first = systems[0]["parts"][part]
        lines_.append(f"{'part ' + part if part != 'all' else 'all'}: {first['rows']} answers")
        lines_.append(head + f"  {'acceptable acc.':>20}  {'strict':>6}  {'DOV':>17}  {'QWK':>19}")
        for system in systems:
            block = system["parts"][part]
            shares = "  ".join(f"{_shown(block[o]):>10}" for o in OUTCOMES)
            lines_.append(
                f"  {system['name']:{width}}  {shares}  {_with(block['acceptable_accuracy']):>20}  "
                f"{_shown(block['strict_acceptable_accuracy']):>6}  {_with(block['dov'], 2):>17}  {_with(block['qwk'], 2):>19}"
            )
        for criterion in first["criteria"]:
            lines_.append(f"  {criterion}")
            for system in systems:
                if system["name"].startswith("constant "):  # nothing to agree with; --json has them
                    continue
                m = system["parts"][part]["criteria"][criterion]
                lines_.append(
                    f"    {system['name']:{width}}"
                    + "".join(
                        f"  {name} {_shown(m[name], 2)}"
                        for name in (
                            "qwk",
                            "exact",
                            "adjacent",
                            "rmse",
                            "within_half",
                            "within_one",
                            "pearson",
                            "spearman",
                            "bias",
                        )
                    )
                )
    lines_.append("mean over parts")
    for system in systems:
        a = system["average"]
        lines_.append(
            f"  {system['name']:{width}}  acceptable {_with(a['acceptable_accuracy'])}  strict {_with(a['strict_acceptable_accuracy'])}"
            f"  DOV {_with(a['dov'], 2)}  QWK {_with(a['qwk'], 2)}  valid {_shown(a['coverage'])}"
        )
    lines_ += [f"  left out, {reason}: {n}" for reason, n in result["left_out"].items()]
    for model, reasons in result["invalid"].items():
        lines_ += [f"  {model}, invalid, {reason}: {n}" for reason, n in reasons.items()]
    return "\n".join(lines_)


def _shown(measure: Mapping[str, float | None], digits: int = 3) -> str:
    return "-" if measure["value"] is None else f"{measure['value']:.{digits}f}"


def _with(measure: Mapping[str, float | None], digits: int = 3) -> str:
    if measure["low"] is None or measure["high"] is None:
        return _shown(measure, digits)
    return f"{_shown(measure, digits)} [{measure['low']:.{digits}f}, {measure['high']:.{digits}f}]"
