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
from windvane.evals.live.flags import add_live_flags
from windvane.evals.result_files import keep_result
from windvane.run.store import file_sha256, write_new


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
        print(json.dumps(result) if options.json else _looked_up(result))
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
    print(json.dumps(result, allow_nan=False) if options.json else _table(result))
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
    from windvane.evals.alpaca import live as alpaca_live
    from windvane.evals.alpaca import rejudge as alpaca_rejudge
    from windvane.evals.alpaca import rejudge_table

    if options.rejudge:
        if options.model or options.instructions or options.outputs:
            raise UserError(
                "--rejudge: judges published answers again; leave --model, --outputs and --instructions out"
            )
        result, spent = alpaca_rejudge.run_rejudge(options)
        text = rejudge_table.rejudge_table(result)
    else:
        if options.annotations:
            raise UserError(
                f"{options.annotations[0]}: a file of annotations is scored, or judged again with --rejudge"
            )
        if options.model is None and options.outputs is None:
            raise UserError(
                "eval alpaca: --judge also needs --model M (or --outputs FILE), --instructions FILE and --out DIR"
            )
        result, spent = alpaca_live.run_live(options, gamed)
        text = f"{result['label']}\n{_table(result)}\nrows: {options.out}/annotations.json"
    if options.json:
        print(json.dumps({**result, "out": str(options.out), "spent": spent}, allow_nan=False))
    else:
        print(text)
    return 0


def _lookup(options: argparse.Namespace, difficulty: Path | None) -> dict[str, Any]:
    if options.annotations or options.against or options.judge:
        raise UserError("--coefficients: looks a published model up; leave the annotations out")
    if difficulty is None or options.model is None:
        raise UserError("--coefficients: also needs --model NAME and --difficulty FILE (or --download)")
    return from_weights(options.coefficients, difficulty, options.model, options.baseline_model)


def _apart(name: str, taken: dict[str, Any]) -> str:
    return f"{name} (second file)" if name in taken else name


def _looked_up(r: dict[str, Any]) -> str:
    return (
        f"{r['model']} against {r['baseline']}: length-controlled win rate {r['length_controlled_winrate']:.2f} "
        f"(standard error {r['lc_standard_error']:.2f}; difficulty file: {r['difficulty']})"
        + "".join(f"\n  note: {note}" for note in r["notes"])
    )


def _table(r: dict[str, Any]) -> str:
    lines = [
        f"{r['model']} against {r['baseline'] or 'an unnamed baseline'}, judged by {r['annotator'] or 'an unnamed judge'}"
    ]

    def line(name: str, value: float | None, error: float | None, low: float | None, high: float | None) -> None:
        text = "-" if value is None else f"{value:6.2f}"
        text += f"  se {error:.2f}" if error is not None else ""
        text += f"  [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
        lines.append(f"  {name:32}{text}")

    line("win rate (%)", r["win_rate"], r["standard_error"], None, None)
    line(
        "length-controlled win rate (%)",
        r["length_controlled_winrate"],
        r["lc_standard_error"],
        r.get("lc_low"),
        r.get("lc_high"),
    )
    if "length_adjusted_win_rate" in r:
        names = ("win_rate", "standard_error", "low", "high")
        line("length-adjusted, own pairs (%)", *(r[f"length_adjusted_{n}"] for n in names))
    line("discrete win rate (%)", r["discrete_win_rate"], None, None, None)
    lines.append(f"  {'mean length (characters)':32}{'-' if r['avg_length'] is None else r['avg_length']:>6}")
    left = ", ".join(f"{count} {why}" for why, count in r["left_out"].items()) or "none"
    lines.append(f"  {'rows':32}{r['n_total']:6}  left out: {left}")
    if "comparison" in r:
        c = r["comparison"]
        lines.append(f"minus {c['against']}, paired on {c['n_instructions']} instructions ({c['unpaired']} unpaired)")
        for name, label in (
            ("win_rate_difference", "win rate (points)"),
            ("lc_difference", "length-controlled (points)"),
        ):
            if name in c:
                d = c[name]
                line(label, d["mean"], d["standard_error"], d["low"], d["high"])
                if d["mde"] is not None:
                    lines.append(f"  {'':32}a difference under {d['mde']:.2f} would probably go unseen here")
    return "\n".join([*lines, *(f"  note: {note}" for note in r["notes"])])


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
