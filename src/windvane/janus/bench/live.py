"""Multifaceted Bench with a live model or given responses: each response against each rubric of its instance, several times.

In: the options of `windvane eval multifaceted`. Out: DIR/answers.jsonl, DIR/own.jsonl (and shuffled.jsonl, the control of the judge,
where only the rubric is another instance's; the reference stays), DIR/result.json and plot.svg. The judge reads the user's prompt without
the system message, as in the paper: what the user wants reaches it through the rubric.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Message, Prompt, seed_of
from windvane.core.schema import encode
from windvane.datasets.sources import table_rows
from windvane.evals.diversity import mean_distinct, mean_rouge_between
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.judge import rubric_question
from windvane.evals.live.model import Request, Rows
from windvane.evals.model_families import warnings
from windvane.janus.bench.score import Graded, against_shuffled, plot, summarise, table
from windvane.judges.rubric_rows import Instance, Rubric, read_bench
from windvane.runs.store import file_sha256

OWN, OTHER = "own", "shuffled"
TEXTS = ("response", "output", "answer", "text")


@dataclass(frozen=True, slots=True)
class MultifacetedSettings:
    """What must be the same when the command is given again. Files (bench, answers) by their SHA-256."""

    judge: str
    name: str
    model: str | None
    files: dict[str, str]
    system: bool
    runs: int
    limit: int | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    batch: int


def multifaceted(options: argparse.Namespace) -> Evaluation:
    """The evaluation that checked `options` describe."""
    bench = read_bench(options.bench)
    if options.limit is not None:
        bench = sorted(bench, key=lambda i: seed_of("limit", i.id))[: options.limit]
    name, kinds = options.name, [OWN, OTHER] if options.shuffled else [OWN]
    given = {} if options.answers is None else {name: [_given(bench, read_given(options.answers))]}

    def judged(responses: Responses) -> dict[str, list[tuple[Graded, RubricQuestion]]]:
        texts, missing = usable(bench, responses[name][0])
        if not texts:
            raise UserError(f"{options.bench}: not one instance has an answer; the first: {next(iter(missing))}")
        return {kind: questions(bench, texts, options.runs, kind, options.seed) for kind in kinds}

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        texts, missing = usable(bench, collected.responses[name][0])
        rows = {
            kind: [_with_verdict(row, collected.verdicts[kind][q.key]) for row, q in pairs]
            for kind, pairs in judged(collected.responses).items()
        }
        result = _result(options, rows, missing, diversity(bench, texts, options.seed), collected.notes)
        return result, plot(result)

    return Evaluation(
        name="multifaceted",
        settings=_settings(options),
        requests=lambda _: [Request(i.id, _chat(i, not options.no_system)) for i in bench],
        questions=lambda responses: {kind: [q for _, q in pairs] for kind, pairs in judged(responses).items()},
        figures=figures,
        table=table,
        given=given,
    )


def _settings(options: argparse.Namespace) -> MultifacetedSettings:
    named = {"bench": options.bench, "answers": options.answers}
    files = {role: Path(f) for role, f in named.items() if f is not None and Path(f).is_file()}
    return MultifacetedSettings(
        options.judge,
        options.name,
        options.model,
        {role: file_sha256(p) for role, p in files.items()},
        not options.no_system,
        options.runs,
        options.limit,
        options.temperature,
        options.top_p,
        options.max_new_tokens,
        options.seed,
        options.batch,
    )


def _result(
    options: argparse.Namespace,
    rows: Mapping[str, Sequence[Graded]],
    missing: Counter[str],
    varied: Mapping[str, Any],
    notes: Sequence[str],
) -> dict[str, Any]:
    roles = {
        "judge": options.judge,
        "model": options.name,
        "writer": options.writer,
        "rubric maker": options.rubric_maker,
    }
    result: dict[str, Any] = {
        "name": "multifaceted",
        "label": f"Multifaceted Bench graded by {options.judge} in our words, not comparable with published scores",
        "model": options.name,
        "judge": options.judge,
        "writer": options.writer,
        "rubric_maker": options.rubric_maker,
        "system": not options.no_system,
        **summarise(rows[OWN], options.seed),
        "without_answer": dict(missing),
        "shuffled": against_shuffled(rows[OWN], rows[OTHER], options.seed) if OTHER in rows else None,
        "diversity": varied,
        "notes": [*notes, *warnings(roles)],
    }
    if options.runs > 1 and len(set(result["runs"])) == 1:
        result["notes"].append(
            "all runs gave the same grades: the judge is greedy, so that more runs tell nothing more"
        )
    return result


def usable(bench: Sequence[Instance], rows: Rows) -> tuple[dict[str, str], Counter[str]]:
    """(instance -> its response, why others have none). Instances are in the order of their rows."""
    texts = {id: row["text"] for id, row in rows.items() if (row["text"] or "").strip()}
    missing = Counter(
        (row["reason"] or "empty answer").partition(": ")[0] for id, row in rows.items() if id not in texts
    )
    return texts, missing


def _given(bench: Sequence[Instance], responses: Mapping[str, str]) -> Rows:
    """Rows of given responses; those of other instances are left out."""
    missing = {i.id: None if i.id in responses else "not in the answers' file" for i in bench}
    return {id: {"text": responses.get(id), "reason": reason} for id, reason in missing.items()}


def _chat(i: Instance, system: bool) -> tuple[Message, ...]:
    chat = (Message("system", i.system), Message("user", i.prompt))
    return chat if system else chat[1:]


def _with_verdict(row: Graded, verdict: Mapping[str, Any]) -> Graded:
    return replace(row, score=verdict["score"], reason=verdict["reason"])


def diversity(bench: Sequence[Instance], texts: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Distinct 2- and 3-grams of a response; ROUGE-L between the responses to one prompt's different system messages."""
    groups: dict[str, list[str]] = {}
    for i in bench:
        if i.id in texts:
            groups.setdefault(i.prompt, []).append(texts[i.id])
    alone = [[t] for t in texts.values()]
    figures = {"distinct_2": mean_distinct(alone, 2, seed), "distinct_3": mean_distinct(alone, 3, seed)}
    figures["rouge_l_between_system_messages"] = mean_rouge_between(list(groups.values()), seed)
    return {name: encode(v) for name, v in figures.items()}


def read_given(path: Path) -> dict[str, str]:
    """Id (as text) -> response, from the released layout or rows with an id and a response."""
    responses: dict[str, str] = {}
    for place, row in table_rows(path):
        field = next((name for name in TEXTS if isinstance(row.get(name), str)), None)
        if row.get("id") is None or field is None:
            raise UserError(f"{place}: expected id and response (text); it has {', '.join(row) or 'no fields'}")
        if str(row["id"]) in responses:
            raise UserError(f"{place}: field 'id': '{row['id']}' stands twice; keep one answer an instance")
        responses[str(row["id"])] = row[field]
    return responses


def questions(
    instances: Sequence[Instance], responses: Mapping[str, str], runs: int, which: str, seed: int
) -> list[tuple[Graded, RubricQuestion]]:
    """Every instance with a response x rubric x run, in this order; the `Graded` is still without its score."""
    rubrics = {i.id: i.rubrics for i in instances} if which == OWN else shuffled_rubrics(instances, seed)
    found = []
    for i in instances:
        if i.id not in responses:
            continue
        prompt = Prompt.of((Message("user", i.prompt),))
        for number, rubric in enumerate(rubrics[i.id]):
            for run in range(runs):
                row = Graded(i.id, i.source, prompt.id, number, run, None)
                key = f"{which}-{i.id}-{number}-{run}"
                found.append((row, rubric_question(key, prompt, responses[i.id], rubric.text, i.reference)))
    return found


def shuffled_rubrics(instances: Sequence[Instance], seed: int) -> dict[str, tuple[Rubric, ...]]:
    """Instance -> the rubrics of another, whose rubrics are not its own; `UserError` where there is none."""
    order = sorted(instances, key=lambda i: i.id)
    random.Random(seed_of(seed, "shuffled rubrics")).shuffle(order)
    found = {}
    for n, i in enumerate(order):
        others = (order[(n + step) % len(order)] for step in range(1, len(order)))
        other = next((o for o in others if o.rubrics != i.rubrics), None)
        if other is None:
            raise UserError("--shuffled: all instances have the same rubrics, so there is nothing to exchange")
        found[i.id] = other.rubrics
    return found
