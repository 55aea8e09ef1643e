"""`windvane eval cefr FILE`: predicted scores of speaking transcripts against reference scores.

    windvane eval cefr scores.csv --json
    windvane eval cefr predicted.jsonl --reference Part1_Introduction.csv --out RUN/evaluations/cefr
    windvane eval cefr Part1_Introduction.csv --model A --model B --guess-settings --out RUN/evaluations/cefr

With --model (evalyaks/evaluation/zero_shot.py) the files are transcripts with reference scores, and the models are asked. In: a file
with both (evalyaks/evaluation/rows.py describes its layouts), or predictions and the transcripts that have the references. Out: the
comparison of evalyaks/evaluation/result.py, with confusion matrices (--json, --out).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.engines.http.flags import add_server_flags
from windvane.evals.result_files import default_folder, keep_result, kept_result
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.result import evaluate, plot, table
from windvane.evalyaks.evaluation.rows import read_scored
from windvane.evalyaks.evaluation.zero_shot import zero_shot
from windvane.evalyaks.prompts.scoring import FORMS as PROMPT_FORMS
from windvane.runs.store import RunFolder

METHODS = ("auto", "likelihood", "json")


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


def parse_scale(text: str) -> Scale:
    """LOW:HIGH:STEP."""
    try:
        low, high, step = (float(v) for v in text.split(":"))
    except ValueError:
        raise UserError(f"--scale {text}: give LOW:HIGH:STEP, such as 1:5:1") from None
    if not (low < high and step > 0 and abs((high - low) / step - round((high - low) / step)) < 1e-9):
        raise UserError(f"--scale {text}: LOW must be below HIGH and STEP must divide what is between")
    return Scale(low, high, step)
