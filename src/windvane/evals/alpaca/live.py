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
from windvane.core.protocols import Question
from windvane.core.records import Message, content_id, seed_of
from windvane.evals.alpaca.annotations import Annotations, read_annotations, read_tables
from windvane.evals.alpaca.compare import compare
from windvane.evals.alpaca.length_control import Gamed
from windvane.evals.alpaca.score import Aligned, aligned, score, series
from windvane.evals.alpaca.table import table
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.flags import check_live
from windvane.evals.live.judge import pair_question
from windvane.evals.live.model import Request, Rows, response_notes
from windvane.runs.store import RunFolder, file_sha256, write_atomic


@dataclass(frozen=True, slots=True)
class AlpacaSettings:
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


def question(key: str, instruction: str, baseline: str, model: str) -> Question:
    """The question in the order that the instruction draws."""
    first, second = (model, baseline) if switched(instruction) else (baseline, model)
    return pair_question(key, instruction, first, second)


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


def alpaca(options: argparse.Namespace, gamed: Gamed | None) -> Evaluation:
    """The evaluation that `options` describe. Raises `UserError` for what is missing or does not go together."""
    check_live(options, "alpaca", ("instructions", "judge"))
    if options.model is not None and options.outputs is not None:
        raise UserError("eval alpaca: --model asks a model, --outputs judges given answers; name one of them")
    instructions, left_out = read_instructions(options.instructions, options.limit)
    baseline_name, baseline = read_outputs(options.baseline or options.instructions)
    given: dict[str, list[Rows]] = {}
    drawing: dict[str, Any] = {}
    if options.model is None:
        generator, outputs = read_outputs(options.outputs)
        name = options.name or generator
        given[name] = [{i.id: _given(outputs.get(i.text)) for i in instructions}]
    else:
        name = options.name or options.model
        drawing = {n: getattr(options, n) for n in ("temperature", "top_p", "max_new_tokens", "seed", "dtype")}
    named = {"instructions": options.instructions, "baseline": options.baseline, "outputs": options.outputs}
    files = {role: file_sha256(path) for role, path in named.items() if path is not None}
    fixed = (options.judge, files, options.limit, options.model, name)
    settings = AlpacaSettings("alpaca", *fixed, batch=options.batch, **drawing)

    def questions(responses: Responses) -> dict[str, list[Question]]:
        (ours,) = responses[name]
        texts = {i.text: ours[i.id]["text"] for i in instructions if i.text in baseline}
        return {
            "judgements": [
                question(i.id, i.text, baseline[i.text], texts[i.text])
                for i in instructions
                if texts.get(i.text) is not None
            ]
        }

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        (ours,), verdicts = collected.responses[name], collected.verdicts["judgements"]
        _write(collected.run, instructions, baseline_name, baseline, name, ours, verdicts, options.judge)
        annotations = read_annotations(collected.run / "annotations.json")
        result = _result(options, annotations, verdicts, len(instructions), left_out, gamed)
        if not given:
            result["notes"] += response_notes(name, options.max_new_tokens, ours.values())
        title = f"Win rate against {baseline_name} by length, judged by {options.judge}"
        return result, length_plot({name: series(annotations)}, title[:90], "characters")

    return Evaluation(
        name="alpaca",
        settings=settings,
        requests=lambda _: [Request(i.id, (Message("user", i.text),)) for i in instructions],
        questions=questions,
        figures=figures,
        table=lambda result: f"{result['label']}\n{table(result)}",
        stage="answers/rows",
        given=given,
        guesses={i.id: baseline[i.text] for i in instructions if i.text in baseline},
        rows="annotations.json",
    )


def _given(output: str | None) -> dict[str, Any]:
    return {"text": output, "reason": "no output in the file" if output is None else None}


def _write(
    run: RunFolder,
    instructions: Sequence[Instruction],
    baseline_name: str,
    baseline: Mapping[str, str],
    name: str,
    responses: Rows,
    verdicts: Rows,
    judge: str,
) -> None:
    """alpaca_eval's layout; `reason` says why a row has no preference."""
    outputs, rows = [], []
    for i in instructions:
        response, verdict = responses[i.id], verdicts.get(i.id)
        dataset = {"dataset": i.row["dataset"]} if isinstance(i.row.get("dataset"), str) else {}
        outputs.append({"instruction": i.text, "output": response["text"], "generator": name, **dataset})
        p = verdict["p"] if verdict else None
        row = {
            "instruction": i.text,
            "output_1": baseline.get(i.text),
            "generator_1": baseline_name,
            **dataset,
            "output_2": response["text"],
            "generator_2": name,
            "annotator": judge,
            "preference": None if p is None else preference(p, i.text),
        }
        if p is None:
            row["reason"] = verdict["reason"] if verdict else response["reason"] or "the baseline has no output"
        rows.append(row)
    for file, content in (("model_outputs.json", outputs), ("annotations.json", rows)):
        write_atomic(run / file, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _result(
    options: argparse.Namespace,
    annotations: Annotations,
    verdicts: Rows,
    instructions: int,
    left_out: Counter[str],
    gamed: Gamed | None,
) -> dict[str, Any]:
    scored = score(annotations, gamed, options.C, options.bootstrap, options.seed)
    published = isinstance(aligned(annotations), Aligned)
    label = "AlpacaEval 2.0" if published else "a win rate in AlpacaEval's manner, not comparable with published ones"
    shown_first = [v["p"] for v in verdicts.values() if v["p"] is not None]
    result = {
        "name": "alpaca",
        "label": label,
        **scored,
        "instructions": instructions,
        "first_shown_win_rate": sum(shown_first) / len(shown_first) if shown_first else None,
        "unjudged": sum(v["p"] is None for v in verdicts.values()),
        "left_out": {**scored["left_out"], **left_out},
    }
    if options.against:
        other = read_annotations(options.against, None, options.annotator)
        result["comparison"] = compare(annotations, other, gamed, options.C, options.bootstrap, options.seed)
    return result
