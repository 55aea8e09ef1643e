"""`windvane eval toxicity`: how toxic the worst of 25 answers is, by any classifier (RealToxicityPrompts' definitions, arXiv 2009.11462).

    windvane eval toxicity --prompts FILE --model M --classifier classifier:MODEL --out DIR
    windvane eval toxicity --outputs FILE --classifier py:module:function --out DIR
    windvane eval toxicity DIR/scored.jsonl

In: prompts (the published rows with `prompt.text` and `prompt.toxicity`, or any prompts as `windvane run sppo` takes them), a model; or
rows with a prompt and its answers; or the scored rows of a run before. Out: DIR/answers.jsonl, DIR/scored.jsonl (a row an answer, with its
toxicity or the reason why there is none), DIR/result.json, DIR/plot.svg. The answer alone is scored, as there. An empty answer says
nothing toxic: its toxicity is 0, and such answers are counted.

Departures: the published figures continue a text with a language model; an instruct model gets the prompt as a user's turn through its
template (and `--system` before it), so that figures compare models under the same command alone; Perspective is a service that
this does not ask.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import Message, content_id, seed_of, units
from windvane.core.schema import encode
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.evals.live.flags import add_live_flags, check_live
from windvane.evals.live.folder import JUDGE_CALLS, candidates, judge_server, keep
from windvane.evals.live.judge import tell
from windvane.evals.live.model import Candidate, Wanted
from windvane.evals.result_files import kept_result
from windvane.evals.toxicity.rows import Asked, read_asked, read_outputs, read_scored
from windvane.evals.toxicity.score import SAMPLES, Told, summarise
from windvane.judges.text_classifier import TextClassifier, open_classifier
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder, read_jsonl, write_jsonl

NAME, ANSWERS, SCORED, ROWS = "toxicity", "answers", "classified", "scored.jsonl"


@dataclass(frozen=True, slots=True)
class ToxicityRun:
    """What must be the same when the command is given again. `prompts`: by content."""

    classifier: str
    prompts: str
    name: str
    model: str | None
    system: str | None
    samples: int
    limit: int | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    batch: int


def main(argv: Sequence[str]) -> int:
    """Ask, classify, score; 0 when a figure was printed."""
    options = _parser().parse_args(list(argv))
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: must be at least 1")
    if options.rows is not None:
        result: dict[str, Any] = {"name": NAME, **summarise(read_scored(options.rows), options.samples, options.seed)}
        spent = None
        if options.out is not None:
            kept_result(options.out, NAME)
            with RunFolder(options.out) as run:
                keep(run, result, plot(result, options.rows.name))
    else:
        needed = ("classifier", "out")
        check_live(options, NAME, (*needed, *(("prompts", "model") if options.outputs is None else ())))
        if options.outputs is not None and (options.model or options.prompts or options.system):
            raise UserError("--outputs: scores given answers; leave --model, --prompts and --system out")
        with RunFolder(options.out) as run:
            result, spent = evaluate(options, run)
    print(json.dumps({**result, "spent": spent}, allow_nan=False) if options.json else table(result, spent))
    return 0


def evaluate(options: argparse.Namespace, run: RunFolder) -> tuple[dict[str, Any], dict[str, float] | None]:
    """(result as in DIR/result.json, what the classifier's calls took)."""
    options.judge = options.classifier  # one budget for both, as in every live evaluation
    asked = read_asked(options.prompts) if options.outputs is None else read_outputs(options.outputs)
    if options.limit is not None:
        asked = sorted(asked, key=lambda a: seed_of("limit", a.id))[: options.limit]
    options.name = options.name or options.model or options.outputs.stem
    drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch)
    fixed = (options.classifier, content_id(encode(asked)), options.name, options.model, options.system)
    settle(run / "eval.toml", ToxicityRun(*fixed, options.samples, options.limit, *drawing))
    answers = _given(asked) if options.outputs is not None else _asked(options, run, asked)
    classifier: TextClassifier | None = None
    texts = list(dict.fromkeys(a["text"] for a in answers if (a["text"] or "").strip()))
    if not run.finished(f"{SCORED}.jsonl"):
        server = judge_server(options, run)
        classifier = open_classifier(options.classifier, options.device, server=server, calls=run / JUDGE_CALLS)
        if hasattr(classifier, "estimate"):
            tell("the classifier", classifier.estimate(texts), server)
    told = _classified(run, classifier, texts, options.batch, options.quiet)
    rows = [_row(a, told) for a in answers]
    write_jsonl(run / ROWS, rows)
    result = {
        "name": NAME,
        "label": f"RealToxicityPrompts' definitions by {options.classifier}: another classifier than Perspective, other numbers",
        "model": options.name,
        "classifier": options.classifier,
        **summarise(rows, options.samples, options.seed),
        "empty_answers": sum(r.text.strip() == "" and r.toxicity == 0 for r in rows),
    }
    keep(run, result, plot(result, options.name))
    return result, spending(classifier) if classifier is not None else None


def _asked(options: argparse.Namespace, run: RunFolder, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """A row an answer: prompt, index, of_prompt, text or reason."""
    wanted = [Wanted(a.id, _chat(a, options.system)) for a in asked]
    if not run.finished(f"{ANSWERS}.jsonl"):
        model: Candidate = candidates(options, run, [options.model])[0]
        sampling = Sampling(options.samples, options.temperature, options.top_p, options.max_new_tokens)
        indices = range(options.samples)
        if model.server is not None:
            tell("the model", model.estimate(wanted, sampling, options.seed, indices), model.server)

        def work(part: Sequence[Wanted]) -> Iterable[dict[str, Any]]:
            for want, rows in zip(part, model.answers(part, sampling, indices, options.seed)):
                for index, row in zip(indices, rows):
                    yield {**row, "id": f"{want.id}-{index:04d}", "prompt": want.id, "index": index}

        HereRunner(run, options.quiet).run(ANSWERS, units(wanted, options.batch), work)
        model.close()
    own = {a.id: a.toxicity for a in asked}
    rows = [row for _, row in read_jsonl(run / f"{ANSWERS}.jsonl")]
    return [{**row, "of_prompt": own[row["prompt"]]} for row in rows]


def _chat(a: Asked, system: str | None) -> tuple[Message, ...]:
    head = (Message("system", system),) if system else ()
    return (*head, *(a.messages[1:] if head and a.messages[0].role == "system" else a.messages))


def _given(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    return [
        {"prompt": a.id, "index": i, "of_prompt": a.toxicity, "text": text, "reason": None}
        for a in asked
        for i, text in enumerate(a.answers)
    ]


def _classified(
    run: RunFolder, classifier: TextClassifier | None, texts: Sequence[str], batch: int, quiet: bool
) -> dict[str, dict[str, Any]]:
    """text's id -> its row; each different text is classified once."""

    def work(part: Sequence[str]) -> Iterable[dict[str, Any]]:
        assert classifier is not None, "an unfinished stage needs its classifier"
        found = classifier.probabilities(part)
        for i, (text, p) in enumerate(zip(part, found, strict=True)):
            reason = None if p is not None else classifier.reasons.get(i, "the classifier gave nothing")
            yield {"id": content_id(text), "toxicity": p, "reason": reason}

    parts = [texts[i : i + batch] for i in range(0, len(texts), batch)]
    HereRunner(run, quiet).run(
        SCORED, [(f"{n:06d}-{content_id(list(part))}", part) for n, part in enumerate(parts)], work
    )
    return {row["id"]: row for _, row in read_jsonl(run / f"{SCORED}.jsonl")}


def _row(a: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]]) -> Told:
    text = a["text"]
    if text is None:
        return Told(a["prompt"], a["index"], "", None, a["of_prompt"], (a["reason"] or "no answer").partition(": ")[0])
    if not text.strip():
        return Told(a["prompt"], a["index"], text, 0.0, a["of_prompt"])
    found = told[content_id(text)]
    reason = None if found["reason"] is None else found["reason"].partition(": '")[0]
    return Told(a["prompt"], a["index"], text, found["toxicity"], a["of_prompt"], reason)


def plot(result: Mapping[str, Any], name: str) -> str:
    """Both figures with their intervals, for each kind of prompts."""
    points = []
    for part in result["parts"]:
        for series, key in enumerate(("expected_maximum_toxicity", "toxicity_probability")):
            v = part[key]
            if v is not None:
                points.append(Point(part["prompts"], v["mean"], v["low"], v["high"], series))
    names = ("expected maximum toxicity", "toxicity probability")
    return interval_plot(
        points, f"Toxicity of {name}"[:90], f"the worst of {result['samples']} answers", (0, 1), names=names
    )


def table(result: Mapping[str, Any], spent: Mapping[str, float] | None) -> str:
    """For a terminal."""
    lines = [
        f"the worst of {result['samples']} answers   {'expected maximum toxicity':>28}   {'toxicity probability':>26}   prompts"
    ]
    for part in result["parts"]:
        cells = [_told(part[key]) for key in ("expected_maximum_toxicity", "toxicity_probability")]
        lines.append(f"{part['prompts']:26} {cells[0]:>28}   {cells[1]:>26}   {part['n']:>7}")
    for n in (2, 3):
        found = result[f"distinct_{n}"]
        lines += [f"distinct {n}-grams of a prompt's answers: {found['mean']:.3f}"] if found is not None else []
    if result["prompts_with_too_few"]:
        lines.append(
            f"{result['prompts_with_too_few']} prompts have fewer than {result['samples']} scored answers and count in neither figure"
        )
    if result["unscored"]:
        why = ", ".join(f"{n} {reason}" for reason, n in result["reasons"].items())
        lines.append(f"{result['unscored']} of {result['answers']} answers without a toxicity: {why}")
    if result.get("empty_answers"):
        lines.append(f"{result['empty_answers']} empty answers count as not toxic")
    if spent is not None:
        lines.append(f"{spent['calls']:.0f} calls, {spent['cost']:.4f} in money")
    return "\n".join(lines)


def _told(found: Mapping[str, Any] | None) -> str:
    return "-" if found is None else f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _parser() -> Parser:
    parser = Parser(
        f"windvane eval {NAME}", description="How toxic is the worst of several answers, by any classifier?"
    )
    add = parser.add_argument
    add(
        "rows",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="scored.jsonl of a run, to be counted again; nothing is asked",
    )
    add("--prompts", metavar="FILE", help="RealToxicityPrompts' rows, or prompts of any kind")
    add("--model", metavar="M", help="the model to ask: a folder, a hub id or a backend's name")
    add("--name", metavar="NAME", help="what the model is called (its spec, or the file's name)")
    add(
        "--outputs",
        type=Path,
        metavar="FILE",
        help="or given answers: rows with a prompt and answers (a list), or one row an answer",
    )
    add(
        "--classifier",
        metavar="C",
        help="classifier:MODEL[#LABEL], py:module:object (f(text) -> probability), llm:BACKEND or a server",
    )
    add("--system", metavar="TEXT", help="a system message before every prompt")
    add("--samples", type=int, default=SAMPLES, metavar="K", help=f"answers a prompt ({SAMPLES}, as published)")
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print one JSON object")
    # RealToxicityPrompts: nucleus sampling at p = 0.9, up to 20 tokens
    add_live_flags(parser, several=False, temperature=1.0, top_p=0.9, max_new_tokens=20)
    return parser
