"""AlpacaEval's question put live: a model's answers (or given ones) against a baseline's, by any judge of pairs.

    windvane eval alpaca --model M --instructions FILE --baseline OUTPUTS --judge J --out DIR

In: instructions; the baseline's outputs (in the same file, or one of their own). Out: DIR/annotations.json and DIR/model_outputs.json in
alpaca_eval's own layout, which `windvane eval alpaca DIR/annotations.json` or anyone scores again; DIR/result.json, DIR/plot.svg.

As published each instruction is asked once, in an order drawn by the instruction alone (the same draw as alpaca_eval 0.6.6), and the
preference is 2 - P(baseline). Departures: the judge is asked in our words, so its name is its own and the length-controlled figure is
refused; a missing answer or verdict is kept with its reason and counted. Decoding defaults are SPPO's (arXiv 2405.00675, section 5).
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.charts.scatter import length_plot
from windvane.core.errors import UserError
from windvane.core.protocols import PairJudge, Question
from windvane.core.records import Message, content_id, seed_of
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.engines.names import resolve_judge
from windvane.evals.alpaca.annotations import read_annotations, read_tables
from windvane.evals.alpaca.compare import compare
from windvane.evals.alpaca.length_control import Gamed
from windvane.evals.alpaca.score import Aligned, aligned, score, series
from windvane.evals.live.flags import check_live
from windvane.evals.live.folder import JUDGE_CALLS, answer_notes, candidates, judge_server, keep
from windvane.evals.live.judge import expected_pair, question, run_pairs, tell, tell_expected
from windvane.evals.live.model import Wanted, run_answers
from windvane.run.store import RunFolder, file_sha256, read_jsonl, write_atomic


@dataclass(frozen=True, slots=True)
class AlpacaRun:
    """What must be the same when the command is given again. Files by their SHA-256."""

    evaluation: str
    judge: str
    files: dict[str, str]
    limit: int | None
    model: str | None = None
    name: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    seed: int | None = None
    dtype: str | None = None
    batch: int | None = None  # what is resumed as one: answers can differ in the last bits with another


@dataclass(frozen=True, slots=True)
class Instruction:
    """`id`: by content. `row`: what the file says about it (`dataset`, and the baseline's answer where it stands there)."""

    id: str
    text: str
    row: Mapping[str, Any]


def switched(instruction: str) -> bool:
    """Whether the model's answer is shown first: alpaca_eval 0.6.6's draw at its default seed 0."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True], k=1)[0]


def pair_question(key: str, instruction: str, baseline: str, model: str) -> Question:
    """The question in the order that the instruction draws."""
    first, second = (model, baseline) if switched(instruction) else (baseline, model)
    return question(key, instruction, first, second)


def preference(p: float, instruction: str) -> float:
    """1 (the baseline's answer) to 2 (the model's) from `p`, the probability that the one shown first is better."""
    return 1.0 + (p if switched(instruction) else 1.0 - p)


def read_instructions(path: Path, limit: int | None) -> tuple[list[Instruction], Counter[str]]:
    """Each instruction once, `limit` of them drawn by their content; what cannot be used is counted."""
    try:
        values, broken, _ = read_tables(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    found: dict[str, Instruction] = {}
    for value in values:
        text = value.get("instruction", value.get("prompt")) if isinstance(value, dict) else None
        if not isinstance(text, str) or not text.strip():
            left["no instruction"] += 1
        elif text in found:
            left["repeated instruction"] += 1
        else:
            found[text] = Instruction(content_id(text), text, value)
    if not found:
        raise UserError(f"{path}: no row has an instruction; expected JSON rows with 'instruction'")
    rows = list(found.values())
    if limit is not None:
        drawn = {i.id for i in sorted(rows, key=lambda i: seed_of("alpaca limit", i.text))[:limit]}
        rows = [i for i in rows if i.id in drawn]
    return rows, left


def read_outputs(path: Path) -> tuple[str, dict[str, str]]:
    """(generator, instruction -> output) of a model_outputs.json."""
    rows = [r for r in read_tables(path)[0] if isinstance(r, dict)]
    found = {
        r["instruction"]: r["output"]
        for r in reversed(rows)
        if isinstance(r.get("instruction"), str) and isinstance(r.get("output"), str)
    }
    if not found:
        raise UserError(f"{path}: no row has instruction and output; expected a model_outputs.json")
    names = {r["generator"] for r in rows if isinstance(r.get("generator"), str)}
    if len(names) > 1:
        raise UserError(f"{path}: outputs of {len(names)} generators ({', '.join(sorted(names))}); split the file")
    return next(iter(names), path.stem), found


def run_live(options: argparse.Namespace, gamed: Gamed | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Answer, judge, write, score: (the result as in DIR/result.json, what was spent)."""
    check_live(options, "alpaca", ("instructions", "judge"))
    if options.model is not None and options.outputs is not None:
        raise UserError("eval alpaca: --model asks a model, --outputs judges given answers; name one of them")
    asked, left = read_instructions(options.instructions, options.limit)
    baseline_name, baseline = read_outputs(options.baseline or options.instructions)
    named = {"instructions": options.instructions, "baseline": options.baseline, "outputs": options.outputs}
    files = {role: file_sha256(path) for role, path in named.items() if path is not None}
    if options.model is not None:
        given: tuple[str, dict[str, str]] | None = None
        name = options.name or options.model
        drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.dtype)
    else:
        given = read_outputs(options.outputs)
        name, drawing = options.name or given[0], (None,) * 5
    settings = AlpacaRun("alpaca", options.judge, files, options.limit, options.model, name, *drawing, options.batch)
    with RunFolder(options.out) as run:
        settle(run / "eval.toml", settings)
        unfinished = not run.finished("judgements.jsonl")
        server = judge_server(options, run)
        if given is None:
            told = [i for i in asked if i.text in baseline]
            each = options.pair_tokens
            calls = [expected_pair(i.text, baseline[i.text], baseline[i.text], each) for i in told if unfinished]
            tell_expected("the judge", options.judge, server, calls, "were the answers as long as the baseline's")
            answers = _answers(options, run, asked)
        else:
            texts = {i.id: given[1].get(i.text) for i in asked}
            answers = {
                k: {"text": t, "reason": None if t is not None else "no output in the file"} for k, t in texts.items()
            }
        pairs = {
            i.id: pair_question(i.id, i.text, baseline[i.text], answers[i.id]["text"])
            for i in asked
            if i.text in baseline and answers[i.id]["text"] is not None
        }
        judge: PairJudge | None = None
        if unfinished:
            server = judge_server(options, run)
            judge = resolve_judge(options.judge, options.device, server=server, calls=run / JUDGE_CALLS)
            if hasattr(judge, "estimate"):
                tell("the judge", judge.estimate(list(pairs.values())), server)
        batch = 1 if options.judge == "human" else options.batch
        run_pairs(run, "judgements", judge, list(pairs.values()), batch, options.quiet or options.judge == "human")
        verdicts = {row["id"]: row for _, row in read_jsonl(run / "judgements.jsonl")}
        _write(run, asked, baseline_name, baseline, name, answers, verdicts, options.judge)
        result = _result(options, run, asked, verdicts, left, gamed)
        if given is None:
            result["notes"] += answer_notes(run, name, options.max_new_tokens, "answers/rows")
        drawn = {name: series(read_annotations(run / "annotations.json"))}
        title = f"Win rate against {baseline_name} by length, judged by {options.judge}"
        keep(run, result, length_plot(drawn, title[:90], "characters"))
    return result, spending(judge)


def _answers(options: argparse.Namespace, run: RunFolder, asked: Sequence[Instruction]) -> dict[str, dict[str, Any]]:
    if not run.finished("answers/rows.jsonl"):
        (model,) = candidates(options, run, [options.model])
        sampling = Sampling(1, options.temperature, options.top_p, options.max_new_tokens)
        wanted = [Wanted(i.id, (Message("user", i.text),)) for i in asked]
        if model.server is not None:
            tell("the model", model.estimate(wanted, sampling, options.seed), model.server)
        run_answers(run, "answers/rows", model, [(sampling, wanted)], options.seed, options.batch, options.quiet)
        model.close()
    return {row["id"]: row for _, row in read_jsonl(run / "answers/rows.jsonl")}


def _write(
    run: RunFolder,
    asked: Sequence[Instruction],
    baseline_name: str,
    baseline: Mapping[str, str],
    name: str,
    answers: Mapping[str, Mapping[str, Any]],
    verdicts: Mapping[str, Mapping[str, Any]],
    judge: str,
) -> None:
    """alpaca_eval's layout; `reason` says why a row has no preference."""
    outputs, rows = [], []
    for i in asked:
        answer, verdict = answers[i.id], verdicts.get(i.id)
        dataset = {"dataset": i.row["dataset"]} if isinstance(i.row.get("dataset"), str) else {}
        outputs.append({"instruction": i.text, "output": answer["text"], "generator": name, **dataset})
        p = verdict["p"] if verdict else None
        row = {
            "instruction": i.text,
            "output_1": baseline.get(i.text),
            "generator_1": baseline_name,
            **dataset,
            "output_2": answer["text"],
            "generator_2": name,
            "annotator": judge,
            "preference": None if p is None else preference(p, i.text),
        }
        if p is None:
            row["reason"] = verdict["reason"] if verdict else answer["reason"] or "the baseline has no output"
        rows.append(row)
    for file, table in (("model_outputs.json", outputs), ("annotations.json", rows)):
        write_atomic(run / file, json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _result(
    options: argparse.Namespace,
    run: RunFolder,
    asked: Sequence[Instruction],
    verdicts: Mapping[str, Mapping[str, Any]],
    left: Counter[str],
    gamed: Gamed | None,
) -> dict[str, Any]:
    found = read_annotations(run / "annotations.json")
    scored = score(found, gamed, options.C, options.bootstrap, options.seed)
    published = isinstance(aligned(found), Aligned)
    label = "AlpacaEval 2.0" if published else "a win rate in AlpacaEval's manner, not comparable with published ones"
    shown = [v["p"] for v in verdicts.values() if v["p"] is not None]
    result = {
        "name": "alpaca",
        "label": label,
        **scored,
        "instructions": len(asked),
        "first_shown_win_rate": sum(shown) / len(shown) if shown else None,
        "unjudged": sum(v["p"] is None for v in verdicts.values()),
        "left_out": {**scored["left_out"], **left},
    }
    if options.against:
        other = read_annotations(options.against, None, options.annotator)
        result["comparison"] = compare(found, other, gamed, options.C, options.bootstrap, options.seed)
    return result
