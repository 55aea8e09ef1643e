"""`windvane eval helpfulness`: did a model that learnt values stay helpful to everybody? The three benchmarks of Janus' table, one command.

    windvane eval helpfulness RUN --judge J --alpaca BASELINE_OUTPUTS --mt-bench QUESTIONS --arena-hard QUESTIONS --arena-baseline ANSWERS

In: a finished run (RUN/model, of `train janus`, `run sppo`, `run longpo`), a judge, the benchmarks' published files; those that are given
are run. Out: RUN/evaluations/alpaca, mt-bench and arena-hard, each as `windvane eval NAME` leaves it (rows, result.json, plot.svg: the
run's report shows them), and one table. Each resumes by itself; flags not named here (--limit, --budget, --device, ...) go to each of them,
so a budget holds for each. The model is asked as the benchmarks ask, without a system message (how Janus was asked for its table,
arXiv 2405.17977, is not known here); the judge is not the published one, so figures are comparable with each other under it and with
nothing published.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError

# name -> (module, flag of its first file, the figure: path in result.json, what it is)
PARTS = {
    "alpaca": ("windvane.evals.alpaca.command", "--instructions", "win_rate", "AlpacaEval's win rate, %"),
    "mt-bench": ("windvane.evals.mt_bench.command", "--questions", "models.0.average", "MT-Bench's average, of 10"),
    "arena-hard": ("windvane.evals.arena_hard.command", "--questions", "models.0.score", "Arena-Hard's win rate, %"),
}
ENDS = {"alpaca": ("low", "high"), "mt-bench": ("low", "high"), "arena-hard": ("score_low", "score_high")}


def main(argv: Sequence[str]) -> int:
    """Run what is given, then the table (--json: one object)."""
    options, rest = _parser().parse_known_args(list(argv))
    files = {"alpaca": options.alpaca, "mt-bench": options.mt_bench, "arena-hard": options.arena_hard}
    wanted = {name: file for name, file in files.items() if file is not None}
    if not wanted:
        raise UserError("eval helpfulness: give at least one of --alpaca, --mt-bench, --arena-hard")
    if (options.arena_hard is None) != (options.arena_baseline is None):
        raise UserError("--arena-hard and --arena-baseline: the questions and the baseline's answers go together")
    model = model_of(options.run)
    name = options.name or options.run.resolve().name
    more = {
        "alpaca": _given("--baseline", options.alpaca_baseline),
        "mt-bench": _given("--references", options.mt_bench_references),
        "arena-hard": _given("--baseline", options.arena_baseline),
    }
    for part, file in wanted.items():
        module, flag, _, _ = PARTS[part]
        command = ["--model", str(model), "--name", name, flag, str(file), *more[part], "--judge", options.judge]
        command += ["--out", str(options.run / "evaluations" / part), *rest]
        print(f"windvane: eval {part}", file=sys.stderr)
        with contextlib.redirect_stdout(io.StringIO()):  # each result is on disk, and in the table below
            importlib.import_module(module).main(command)
    found = {part: result_of(options.run, part) for part in wanted}
    told = {part: figure(part, result) for part, result in found.items()}
    print(json.dumps(told, allow_nan=False) if options.json else table(told, name, options.judge, options.run))
    return 0


def model_of(run: Path) -> Path:
    """RUN/model, or RUN itself where it is a model's folder."""
    for folder in (run / "model", run):
        if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
            return folder
    raise UserError(f"{run}: no model there (RUN/model); give a finished run's folder, or a model's")


def result_of(run: Path, part: str) -> dict[str, Any]:
    return json.loads((run / "evaluations" / part / "result.json").read_text(encoding="utf-8"))


def figure(part: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """{what, value, low, high, label}; None where nothing could be scored."""
    _, _, path, what = PARTS[part]
    *where, last = path.split(".")
    at: Any = result
    for step in where:
        at = at[int(step)] if step.isdigit() else at[step]
    low, high = (at.get(end) for end in ENDS[part])
    return {"what": what, "value": at.get(last), "low": low, "high": high, "label": result.get("label", "")}


def table(told: Mapping[str, Mapping[str, Any]], name: str, judge: str, run: Path) -> str:
    """For a terminal."""
    lines = [f"{name}, judged by {judge}; not comparable with published scores"]
    for row in told.values():
        ends = "" if row["low"] is None else f"  [{row['low']:.2f}, {row['high']:.2f}]"
        value = "-" if row["value"] is None else f"{row['value']:.2f}"
        lines.append(f"{row['what']:28} {value:>6}{ends}")
    return "\n".join([*lines, f"rows: {run}/evaluations; windvane report {run} draws them"])


def _given(flag: str, value: Path | None) -> list[str]:
    return [] if value is None else [flag, str(value)]


def _parser() -> Parser:
    parser = Parser(
        "windvane eval helpfulness",
        description="AlpacaEval, MT-Bench and Arena-Hard of a finished run. Other flags go to each of them.",
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="a finished run's folder")
    add("--judge", required=True, metavar="J", help="a language model: llm:BACKEND or http://HOST:PORT/v1#MODEL")
    add("--name", metavar="NAME", help="what the model is called (the run's folder)")
    add("--alpaca", type=Path, metavar="FILE", help="AlpacaEval's instructions, with the baseline's outputs in it")
    add("--alpaca-baseline", type=Path, metavar="FILE", help="or the baseline's outputs in a file of their own")
    add("--mt-bench", type=Path, metavar="FILE", help="MT-Bench's question.jsonl")
    add("--mt-bench-references", type=Path, metavar="FILE", help="reference answers, where the questions hold none")
    add("--arena-hard", type=Path, metavar="FILE", help="Arena-Hard's questions")
    add("--arena-baseline", type=Path, metavar="FILE", help="the baseline's answers to them")
    add("--json", action="store_true", help="print one JSON object")
    return parser
