"""`windvane eval cefr FILE`: predicted scores of speaking transcripts against reference scores.

    windvane eval cefr scores.csv --json
    windvane eval cefr predicted.jsonl --reference Part1_Introduction.csv --out RUN/evaluations/cefr
    windvane eval cefr Part1_Introduction.csv --model A --model B --guess-settings --out RUN/evaluations/cefr

With --model (evalyaks/evaluation/zero_shot.py) the files are transcripts with reference scores, and the models are asked. In: a file
with both (evalyaks/evaluation/rows.py
says how it may look), or predictions and the transcripts that have the references. Out: for every model, and for the constant, majority,
length-only and second-rater lines beside it: the paper's outcomes and degree of variation, and agreement per part and criterion, each
with a 95% interval over candidates, with confusion matrices (--json, --out).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.engines.http.flags import add_server_flags
from windvane.evals.result_files import default_folder, keep_result, kept_result
from windvane.evalyaks.evaluation.measures import OUTCOMES, Scale
from windvane.evalyaks.evaluation.reference_lines import lines
from windvane.evalyaks.evaluation.rows import read_scored
from windvane.evalyaks.evaluation.systems import Scored, System, compare
from windvane.evalyaks.prompts.scoring import FORMS as PROMPT_FORMS
from windvane.run.store import RunFolder

METHODS = ("auto", "likelihood", "json")
AGREEMENT = ("qwk", "exact", "adjacent", "rmse", "within_half", "within_one", "pearson", "spearman", "bias")


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
    live = parser.add_argument_group("models to ask")
    add = live.add_argument
    add(
        "--model", action="append", metavar="M", help="a folder or hub id, world:grades, http://HOST:PORT/v1#MODEL, ..."
    )
    add("--name", action="append", metavar="NAME", help="what the models are called (their specs)")
    add(
        "--form",
        nargs="+",
        choices=PROMPT_FORMS,
        help="of the prompt (steps and descriptors; compact for the embedded world)",
    )
    add(
        "--method", default="auto", choices=METHODS, help="likelihood of every valid answer, or a checked answer (auto)"
    )
    add("--guess-settings", action="store_true", help="tell global and Indian content apart by names and places")
    add("--part", type=int, choices=(1, 2, 3, 4), help="of rows that do not say theirs")
    add("--limit", type=int, metavar="N", help="N of the conversations, drawn by their content (all)")
    add("--batch", type=int, default=8, metavar="N", help="answers kept at a time (8)")
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--quiet", action="store_true", help="no progress bars")
    add_server_flags(parser, "a model behind a server")
    options = parser.parse_args(list(argv))
    if options.resamples < 1 or options.batch < 1 or (options.limit or 1) < 1:
        raise UserError("--resamples, --batch, --limit: must be at least 1")
    scale = parse_scale(options.scale)
    if options.model:
        return _asked(options, scale)
    read = read_scored(options.files, options.reference, scale)
    result = evaluate(read.rows, read.systems, read.scale, options.resamples, options.seed)
    result |= {"left_out": read.left_out, "invalid": read.invalid}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        keep_result(options.out, result, plot(result))
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def _asked(options: argparse.Namespace, scale: Scale) -> int:
    from windvane.evalyaks.evaluation.zero_shot import zero_shot

    if options.reference:
        raise UserError("--reference: with --model the files themselves are the references; leave it out")
    folder = options.out or default_folder("cefr", "-".join(options.name or options.model))
    kept_result(folder, "cefr")
    with RunFolder(folder) as run:
        result = zero_shot(run, options, scale)
        keep_result(run.path, result, plot(result))
        run.write_manifest()
    print(json.dumps(result, allow_nan=False) if options.json else f"{table(result)}\n{folder}")
    return 0


def evaluate(
    rows: Sequence[Scored], models: Sequence[System], scale: Scale | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """`models` beside their lines on all rows and on the subsets that are to be seen apart: each setting (global, indian), and the
    rows that a second rater marked where not all are."""
    scale = scale or Scale()
    compared = compare(rows, [*models, *lines(rows, scale)], scale, resamples, seed)
    settings = sorted({r.setting for r in rows if r.setting})
    subsets = {f"setting {s}": [i for i, r in enumerate(rows) if r.setting == s] for s in settings}
    double = [i for i, r in enumerate(rows) if r.second]
    if 0 < len(double) < len(rows):
        subsets["marked twice"] = double
    apart = {}
    for name, at in subsets.items():
        own = [rows[i] for i in at]
        some = [System(m.name, [m.predictions[i] for i in at], m.kind, m.note) for m in models]
        apart[name] = compare(own, [*some, *lines(own, scale)], scale, resamples, seed)
    notes = [] if all(r.words is not None for r in rows) else ["no length-only line: rows lack words and text"]
    notes += [] if double else ["no human-human line: no row has a second rater's scores"]
    return {"name": "cefr", **overview(compared), **compared, "subsets": apart, "notes": notes}


def overview(compared: Mapping[str, Any]) -> dict[str, Any]:
    """A sentence on the models, and a flat row a system: what a report shows first."""
    flat = ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk", "coverage")
    rows = [{"system": s["name"], **{m: s["average"][m]["value"] for m in flat}} for s in compared["systems"]]
    said = [
        f"{s['name']}: acceptable accuracy {_with(s['average']['acceptable_accuracy'])}, DOV {_with(s['average']['dov'], 2)}, "
        f"QWK {_with(s['average']['qwk'], 2)}"
        for s in compared["systems"]
        if s["kind"] == "model"
    ]
    return {"headline": "; ".join(said) + ".", "models": rows}


def plot(result: Mapping[str, Any]) -> str:
    """Average acceptable accuracy of every system."""
    points = []
    for s in result["systems"]:
        m = s["average"]["acceptable_accuracy"]
        points.append(Point(s["name"], m["value"], m["low"], m["high"], int(s["kind"] == "line")))
    title = "Acceptable accuracy, mean over parts"
    return interval_plot(
        points, title, "share of answers, 95% intervals over candidates", (0.0, 1.0), names=("models", "lines")
    )


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
    """The result for a terminal: a table a part, one system a line; subsets after the whole."""
    shown = _tables(result)
    for name, subset in result.get("subsets", {}).items():
        shown += ["", f"{name}:", *_tables(subset)]
    shown += [f"  {note}" for note in result.get("notes", ())]
    shown += [f"  left out, {reason}: {n}" for reason, n in result["left_out"].items()]
    for model, reasons in result["invalid"].items():
        shown += [f"  {model}, invalid, {reason}: {n}" for reason, n in reasons.items()]
    return "\n".join(shown)


def _tables(result: Mapping[str, Any]) -> list[str]:
    systems = result["systems"]
    width = max(len(s["name"]) for s in systems)
    shown = [f"{result['rows']} answers of {result['candidates']} candidates; 95% intervals over candidates"]
    head = f"  {'':{width}}  " + "  ".join(f"{o[:10]:>10}" for o in OUTCOMES)
    for part, first in systems[0]["parts"].items():
        shown.append(f"{'part ' + part if part != 'all' else 'all'}: {first['rows']} answers")
        shown.append(f"{head}  {'acceptable acc.':>20}  {'strict':>6}  {'DOV':>17}  {'QWK':>19}")
        for system in systems:
            block = system["parts"][part]
            shares = "  ".join(f"{_shown(block[o]):>10}" for o in OUTCOMES)
            shown.append(
                f"  {system['name']:{width}}  {shares}  {_with(block['acceptable_accuracy']):>20}  "
                f"{_shown(block['strict_acceptable_accuracy']):>6}  {_with(block['dov'], 2):>17}  {_with(block['qwk'], 2):>19}"
            )
        for criterion in first["criteria"]:
            shown.append(f"  {criterion}")
            for system in systems:
                if not system["name"].startswith("constant "):  # nothing to agree with; --json has them
                    m = system["parts"][part]["criteria"][criterion]
                    shown.append(
                        f"    {system['name']:{width}}" + "".join(f"  {n} {_shown(m[n], 2)}" for n in AGREEMENT)
                    )
    shown.append("mean over parts")
    for system in systems:
        a = system["average"]
        shown.append(
            f"  {system['name']:{width}}  acceptable {_with(a['acceptable_accuracy'])}  strict {_with(a['strict_acceptable_accuracy'])}"
            f"  DOV {_with(a['dov'], 2)}  QWK {_with(a['qwk'], 2)}  valid {_shown(a['coverage'])}"
        )
    return shown


def _shown(measure: Mapping[str, float | None], digits: int = 3) -> str:
    return "-" if measure["value"] is None else f"{measure['value']:.{digits}f}"


def _with(measure: Mapping[str, float | None], digits: int = 3) -> str:
    if measure["low"] is None or measure["high"] is None:
        return _shown(measure, digits)
    return f"{_shown(measure, digits)} [{measure['low']:.{digits}f}, {measure['high']:.{digits}f}]"
