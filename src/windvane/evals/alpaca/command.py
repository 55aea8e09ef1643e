"""`windvane eval alpaca`: AlpacaEval 2.0's figures from files of annotations, or from a model and a judge, on the command line.

    windvane eval alpaca ANNOTATIONS.json --difficulty instruction_difficulty.csv --gamed df_gamed.csv --json
    windvane eval alpaca OURS.json --against THEIRS.json --gamed df_gamed.csv      two models, paired
    windvane eval alpaca --coefficients glm_weights.csv --difficulty FILE --model NAME
    windvane eval alpaca --model M --instructions FILE --baseline OUTPUTS --judge J --out DIR      evals/alpaca/live.py
    windvane eval alpaca --rejudge ANNOTATIONS.json ... --judge J --out DIR                        evals/alpaca/rejudge.py

In: files, or a model and a judge; `--download` fetches the two published CSV files (checked by their SHA-256) where there is a network.
Out: with `--json` one JSON object on standard output; else a short table. Figures in percent (evals/alpaca/score.py says which and how).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from windvane.charts.scatter import length_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.engines.http.flags import JUDGE_TOKENS
from windvane.evals.alpaca.annotations import read_annotations
from windvane.evals.alpaca.compare import compare
from windvane.evals.alpaca.length_control import SHA256, Gamed, read_difficulty, read_gamed
from windvane.evals.alpaca.score import filler, from_weights, score, series
from windvane.evals.alpaca.table import lookup_table, table
from windvane.evals.live.flags import add_live_flags
from windvane.evals.result_files import keep_result
from windvane.runs.store import file_sha256, write_new


def main(argv: list[str]) -> int:
    """Score, compare or look up; 0 when a figure was printed. Raises `UserError` for what the user can mend."""
    options = _parser().parse_args(argv)
    if options.C is not None and not options.C > 0:
        raise UserError(f"--C {options.C}: the inverse penalty must be above 0; leave it out for cross-validation")
    if options.bootstrap < 0 or options.bootstrap == 1:
        raise UserError(f"--bootstrap {options.bootstrap}: 0 for no interval, or at least 2 resamples")
    difficulty, gamed_path = options.difficulty, options.gamed
    if options.download:
        difficulty = difficulty or download("instruction_difficulty.csv")
        gamed_path = gamed_path or download("df_gamed.csv")
    if options.coefficients:
        result = _lookup(options, difficulty)
        print(json.dumps(result) if options.json else lookup_table(result))
        return 0
    gamed = read_gamed(gamed_path) if gamed_path else None
    if options.rejudge or options.judge or options.instructions:
        return _live(options, gamed)
    if len(options.annotations) != 1:
        raise UserError(
            "eval alpaca: name a file of annotations (one); or --coefficients FILE with --model and --difficulty; or --model, "
            "--instructions, --judge and --out; or --rejudge with files, --judge and --out"
        )
    (path,) = options.annotations
    fill = filler(options.outputs, options.baseline)
    found = read_annotations(path, options.model, options.annotator, fill)
    result = score(found, gamed, options.C, options.bootstrap, options.seed)
    result["model"] = result["model"] or path.stem
    if difficulty:
        listed = read_difficulty(difficulty)
        apart = 0.0 if gamed is None else float(np.abs(listed - gamed.difficulty).max())
        if apart > 1e-6:
            result["notes"].append(
                f"--difficulty and --gamed differ by up to {apart:.2g}; the fit uses --gamed, as published"
            )
    shown = options.plot or (options.out and found.judged[0].output_1 is not None)
    drawn = {str(result["model"]): series(found)} if shown else {}
    if options.against:
        other = read_annotations(options.against, None, options.annotator)
        result["comparison"] = compare(found, other, gamed, options.C, options.bootstrap, options.seed)
        if shown and (options.plot or other.judged[0].output_1 is not None):
            drawn[_apart(str(other.name("generator_2") or options.against.stem), drawn)] = series(other)
    result = {"name": "alpaca", **result}
    svg = length_plot(drawn, "Win rate against the difference in length", "characters") if drawn else ""
    if options.plot:
        write_new(options.plot, svg, redrawn="<svg")
    if options.out:
        keep_result(options.out, result, svg)
    print(json.dumps(result, allow_nan=False) if options.json else table(result))
    return 0


def download(name: str) -> Path:
    """A published file from tatsu-lab/alpaca_eval on the Hugging Face hub; refused where its bytes are not the known ones."""
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(repo_id="tatsu-lab/alpaca_eval", filename=name, repo_type="dataset"))
    except (
        Exception
    ) as error:  # the hub client raises its own, httpx's and OSError's exceptions for one thing: not to be had
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{name}: cannot be downloaded ({why[:120]}); give the file itself with --gamed/--difficulty"
        ) from None
    if file_sha256(path) != SHA256[name]:
        raise UserError(
            f"{path}: not the published {name} (its SHA-256 differs); delete it, or give it as --gamed/--difficulty"
        )
    return path


def _live(options: argparse.Namespace, gamed: Gamed | None) -> int:
    """Judge, print; the rows and the result are in --out."""
    from windvane.evals.alpaca.live import alpaca  # torch: only where something is asked
    from windvane.evals.alpaca.rejudge import rejudge
    from windvane.evals.live.driver import print_live, run_live
    from windvane.evals.live.judge import PairVerdicts

    if options.rejudge:
        if options.model or options.instructions or options.outputs:
            raise UserError(
                "--rejudge: judges published answers again; leave --model, --outputs and --instructions out"
            )
        evaluation = rejudge(options)
    else:
        if options.annotations:
            raise UserError(
                f"{options.annotations[0]}: a file of annotations is scored, or judged again with --rejudge"
            )
        if options.model is None and options.outputs is None:
            raise UserError(
                "eval alpaca: --judge also needs --model M (or --outputs FILE), --instructions FILE and --out DIR"
            )
        evaluation = alpaca(options, gamed)
    judge = PairVerdicts(options.judge, options.device, options.pair_tokens)
    print_live(evaluation, options, *run_live(evaluation, options, judge))
    return 0


def _lookup(options: argparse.Namespace, difficulty: Path | None) -> dict[str, Any]:
    if options.annotations or options.against or options.judge:
        raise UserError("--coefficients: looks a published model up; leave the annotations out")
    if difficulty is None or options.model is None:
        raise UserError("--coefficients: also needs --model NAME and --difficulty FILE (or --download)")
    return from_weights(options.coefficients, difficulty, options.model, options.baseline_model)


def _apart(name: str, taken: dict[str, Any]) -> str:
    return f"{name} (second file)" if name in taken else name


def _parser() -> Parser:
    parser = Parser("windvane eval alpaca", description="AlpacaEval 2.0 from files; figures in percent")
    add = parser.add_argument
    add("annotations", nargs="*", type=Path, help="annotations.json: preference 1 = baseline ... 2 = model")
    add("--rejudge", action="store_true", help="judge the answers of published annotations again, by --judge")
    add("--instructions", type=Path, metavar="FILE", help="what --model is asked: rows with `instruction`")
    add("--difficulty", type=Path, metavar="FILE", help="instruction_difficulty.csv")
    add("--gamed", type=Path, metavar="FILE", help="df_gamed.csv: the length-controlled fit needs it")
    add("--download", action="store_true", help="fetch those two where they are not given")
    add("--json", action="store_true", help="print one JSON object")
    add("--plot", type=Path, metavar="FILE", help="write win rate against length as SVG")
    add("--model", metavar="NAME", help="which generator_2, where a file holds several; with --judge: the model to ask")
    add("--name", metavar="NAME", help="with --judge: what the model is called in rows (default: --model)")
    add(
        "--annotator",
        metavar="NAME",
        help="which annotator, where a file holds several; states it where a file does not",
    )
    add("--against", type=Path, metavar="FILE", help="another model's annotations: the paired difference")
    add("--outputs", type=Path, metavar="FILE", help="the model's model_outputs.json, for rows without output_2")
    add("--baseline", type=Path, metavar="FILE", help="the baseline's model_outputs.json, for rows without output_1")
    add("--coefficients", type=Path, metavar="FILE", help="published GLM weights: the LC win rate of --model from them")
    add("--baseline-model", metavar="NAME", help="with --coefficients: against this model instead of gpt4_1106_preview")
    add("--C", type=float, help="fix the fit's inverse penalty instead of cross-validating it")
    add("--bootstrap", type=int, default=200, metavar="N", help="refits for the interval of LC; 0: none (default 200)")
    add("--seed", type=int, default=0, help="of the resampling, and of the model's answers")
    add("--judge-tokens", dest="pair_tokens", type=int, default=16, metavar="N", help=JUDGE_TOKENS)
    add_live_flags(parser, several=False, temperature=0.7, top_p=0.9, max_new_tokens=2048)
    return parser
