"""Runs a live evaluation: asks the models, asks the judge, and leaves rows, result.json and plot.svg in a folder that can be resumed.

In: an `Evaluation` (what the models are asked, what the judge is asked, how rows become figures), the options of
`windvane.evals.live.flags`, a judge, and the models unless the options name them. Out: the result as in DIR/result.json and what servers
took. Every response and verdict is kept as soon as it is there, so that the same command continues an interrupted run; other settings are
refused, and so is a folder with another evaluation's result. What a server is going to be asked is estimated before its first call, and one
budget holds for the models and the judge.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from windvane.core.records import units
from windvane.engines.http.budget import ExpectedCall
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.evals.live.budget import JUDGE_CALLS, announce, announce_estimate, judge_server
from windvane.evals.live.judge import Judge, Keyed, behind_server
from windvane.evals.live.model import (
    Candidate,
    Request,
    Rows,
    open_candidates,
    run_responses,
    run_samples,
    sample_row,
    slug,
)
from windvane.evals.result_files import keep_result
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder, read_jsonl, write_jsonl

Responses = Mapping[str, Sequence[Rows]]  # a model's name -> for each turn the rows of its responses


@dataclass(frozen=True, slots=True)
class Collected:
    """What was asked and answered. `verdicts`: a judging stage -> its rows. `notes`: what a reader should know of how models were asked."""

    run: RunFolder
    responses: Responses
    verdicts: Mapping[str, Rows]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation, without anything of how models and judges are reached.

    `name` stands in result.json. `settings`, a dataclass, is kept as eval.toml; a later command must give the same.
    `requests(turns)` is what a model is asked next, given the rows of its earlier turns.
    `questions(responses)` is what the judge is asked: a stage (a file's name without .jsonl) -> its questions. It is also called with
    guessed responses, for the estimate.
    `figures(collected)` gives the result and its plot (SVG); it may write further rows into `collected.run`.
    `table(result)` is the result for a terminal.

    `stage` names the file of responses, where {model} and {turn} are filled in; with {model} in it there may be several models, each with
    settings of its own in answers/MODEL.toml, and models may be added later. `samples`: responses to each request, None for one. `given`:
    responses that are not asked for, from files, with settings of their own in answers/MODEL.toml where `given_settings` has some.
    `layout` makes the rows of answers/MODEL.jsonl where a benchmark has a layout of its own. `guesses`: likely responses by request, for
    the estimate; any other is taken to be as long as it may be. `rows`: the file that the terminal is pointed to.
    """

    name: str
    settings: Any
    requests: Callable[[Sequence[Rows]], Sequence[Request]]
    questions: Callable[[Responses], Mapping[str, Sequence[Keyed]]]
    figures: Callable[[Collected], tuple[dict[str, Any], str]]
    table: Callable[[Mapping[str, Any]], str]
    stage: str = "answers"
    turns: int = 1
    samples: int | None = None
    given: Responses = field(default_factory=dict)
    given_settings: Mapping[str, Any] = field(default_factory=dict)
    layout: Callable[[str, Sequence[Rows]], Sequence[Mapping[str, Any]]] | None = None
    guesses: Mapping[str, str] = field(default_factory=dict)
    rows: str = ""

    def stage_of(self, model: str, turn: int) -> str:
        return self.stage.format(model=slug(model), turn=turn + 1)


@dataclass(frozen=True, slots=True)
class JudgedSettings:
    """The settings of an evaluation whose models have settings of their own. `files`: by their SHA-256."""

    evaluation: str
    judge: str
    files: dict[str, str]
    limit: int | None
    judge_tokens: int
    batch: int


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The settings of one of several models."""

    model: str
    name: str
    temperature: float | None
    top_p: float
    max_new_tokens: int
    seed: int
    dtype: str


def run_live(
    evaluation: Evaluation, options: argparse.Namespace, judge: Judge, models: Sequence[Candidate] | None = None
) -> tuple[dict[str, Any], dict[str, float] | None]:
    """(the result, what the judge's server took). `models`: those to ask, instead of the ones that `options.model` names."""
    with RunFolder(options.out) as run:
        record_settings(run / "eval.toml", evaluation.settings)
        for name, settings in evaluation.given_settings.items():
            record_settings(run / f"answers/{slug(name)}.toml", settings)
        candidates = open_candidates(options, run) if models is None else models
        _announce(evaluation, options, run, judge, candidates)
        responses: dict[str, Sequence[Rows]] = {}
        notes: list[str] = []
        for candidate in candidates:
            responses[candidate.name], note = _ask(evaluation, options, run, candidate)
            notes += [note] if note is not None else []
        responses |= evaluation.given
        verdicts = _judge(evaluation.questions(responses), options, run, judge)
        result, svg = evaluation.figures(Collected(run, responses, verdicts, tuple(notes)))
        keep_result(run.path, result, svg)
        run.write_manifest()
    return result, spending(judge)


def print_live(
    evaluation: Evaluation, options: argparse.Namespace, result: Mapping[str, Any], spent: Mapping[str, float] | None
) -> None:
    """The table and where the rows are; with --json one object."""
    if options.json:
        place = {"out": str(options.out)} if evaluation.rows else {}
        print(json.dumps({**result, **place, "spent": spent}, allow_nan=False))
        return
    print(evaluation.table(result))
    if evaluation.rows:
        print(f"rows: {options.out}/{evaluation.rows}")
    if spent is not None:
        print(f"{spent['calls']:.0f} calls, {spent['cost']:.4f} in money")


def sampling_of(options: argparse.Namespace, samples: int | None = None) -> Sampling:
    return Sampling(samples or 1, options.temperature or 0.0, options.top_p, options.max_new_tokens)


def _ask(
    evaluation: Evaluation, options: argparse.Namespace, run: RunFolder, candidate: Candidate
) -> tuple[list[Rows], str | None]:
    """(the rows of every turn, a note on the model's chat template)."""
    if "{model}" in evaluation.stage:
        drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.dtype)
        record_settings(
            run / f"answers/{slug(candidate.name)}.toml", ModelSettings(candidate.spec, candidate.name, *drawing)
        )
    turns: list[Rows] = []
    note = None
    for turn in range(evaluation.turns):
        stage = evaluation.stage_of(candidate.name, turn)
        requests, note = candidate.seat(evaluation.requests(turns))
        if not run.finished(f"{stage}.jsonl"):
            fill = run_responses if evaluation.samples is None else run_samples
            sampling = sampling_of(options, evaluation.samples)
            fill(run, stage, candidate, requests, sampling, options.seed, options.batch, options.quiet)
        turns.append(_rows(run, stage))
    if evaluation.layout is not None:
        write_jsonl(run / f"answers/{slug(candidate.name)}.jsonl", evaluation.layout(candidate.name, turns))
    candidate.close()
    return turns, note


def _judge(
    questions: Mapping[str, Sequence[Keyed]], options: argparse.Namespace, run: RunFolder, judge: Judge
) -> dict[str, Rows]:
    """Every stage of questions put to the judge, a batch a unit; the judge is opened only where something is left to ask."""
    left = [stage for stage in questions if not run.finished(f"{stage}.jsonl")]
    if left:
        server = judge_server(options, run)
        judge.open(server, run / JUDGE_CALLS)
        announce_estimate("the judge", judge.estimate([q for stage in left for q in questions[stage]]), server)
    batch = 1 if judge.by_hand else options.batch
    verdicts = {}
    for stage, asked in questions.items():
        LocalRunner(run, options.quiet or judge.by_hand).run(stage, units(asked, batch, "key"), judge.verdicts)
        verdicts[stage] = _rows(run, stage)
    return verdicts


def _announce(
    evaluation: Evaluation,
    options: argparse.Namespace,
    run: RunFolder,
    judge: Judge,
    candidates: Sequence[Candidate],
) -> None:
    """What servers are going to be asked, before the first response is paid for."""
    last = evaluation.turns - 1
    left = [c for c in candidates if not run.finished(f"{evaluation.stage_of(c.name, last)}.jsonl")]
    if not left or not (behind_server(judge.spec) or any(c.server is not None for c in left)):
        return
    length = "as long as the baseline's" if evaluation.guesses else f"{options.max_new_tokens} tokens long"
    requests, turns = _guessed(evaluation, options)
    for candidate in left:
        if candidate.server is not None:
            samples = evaluation.samples or 1
            calls = [ExpectedCall(r.messages, options.max_new_tokens) for r in requests for _ in range(samples)]
            announce(candidate.name, candidate.server, calls, "calls kept from before included")
    if behind_server(judge.spec):
        questions = evaluation.questions({c.name: turns for c in candidates} | dict(evaluation.given))
        asked = [q for stage, qs in questions.items() if not run.finished(f"{stage}.jsonl") for q in qs]
        announce("the judge", judge_server(options, run), map(judge.expected, asked), f"were every response {length}")


def _guessed(evaluation: Evaluation, options: argparse.Namespace) -> tuple[list[Request], list[Rows]]:
    """Every request of all turns, and guessed rows of responses, four characters to a token."""
    everything: list[Request] = []
    turns: list[Rows] = []
    for _ in range(evaluation.turns):
        requests = evaluation.requests(turns)
        everything += requests
        rows: dict[str, dict[str, Any]] = {}
        for number, request in enumerate(requests):
            longest = f"{number} ".ljust(4 * options.max_new_tokens, "x")  # no two alike, as responses are
            row = {
                "text": evaluation.guesses.get(request.id, longest),
                "finish": "stop",
                "tokens": None,
                "reason": None,
            }
            several = (
                [{}] if evaluation.samples is None else [sample_row(request.id, i) for i in range(evaluation.samples)]
            )
            rows |= {one.get("id", request.id): {"id": request.id, **row, **one} for one in several}
        turns.append(rows)
    return everything, turns


def _rows(run: RunFolder, stage: str) -> Rows:
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}
