"""Multifaceted Bench's judging: each answer against each rubric of its instance, several times, and against another's as a control.

In: instances, answers, a `RubricJudge`. Out: DIR/grades.jsonl, a row a grade. The judge reads the user's prompt without the system message,
as in the paper: what the user wants reaches it through the rubric. In the control only the rubric is another's; the reference stays.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import RubricJudge, RubricQuestion
from windvane.core.records import Message, Prompt, Response, content_id, seed_of, units
from windvane.engines.function import open_grader
from windvane.engines.http.budget import Account, Estimate
from windvane.engines.http.server import Server
from windvane.engines.names import SERVERS, resolve_rubric_judge
from windvane.janus.bench.score import Graded
from windvane.judges.questions import Ask, ServerAsker
from windvane.judges.rubric import LlmRubricJudge
from windvane.judges.rubric_grades import checked
from windvane.judges.rubric_rows import Instance, Rubric
from windvane.prompts.rubric import rubric_messages
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder, read_jsonl

OWN, OTHER = "own", "shuffled"


def open_rubric_judge(spec: str, device: str, server: Server, calls: Path) -> RubricJudge:
    """`rubric:BACKEND`, a server's address, `world:FAMILY[:NAME]`, or `py:module:object` with `.grade(questions)`."""
    kind, _, rest = spec.partition(":")
    if kind == "py":
        found = open_grader(rest)
        if found is None:
            raise UserError(f"--judge {spec}: has no .grade(questions)")
        return found
    named = spec if kind in ("rubric", "world") else f"rubric:{spec}" if kind in SERVERS else None
    if named is None:
        raise UserError(
            f"--judge {spec}: gives no grades by a rubric; take rubric:BACKEND, http://HOST:PORT/v1#MODEL or py:module:object"
        )
    return resolve_rubric_judge(named, device, server=server, calls=calls)


def questions(
    instances: Sequence[Instance], answers: Mapping[str, str], runs: int, which: str, seed: int
) -> list[tuple[Graded, RubricQuestion]]:
    """Every answered instance x rubric x run, in this order; the `Graded` waits for its score."""
    rubrics = {i.id: i.rubrics for i in instances} if which == OWN else shuffled_rubrics(instances, seed)
    found = []
    for i in instances:
        if i.id not in answers:
            continue
        prompt = Prompt.of((Message("user", i.prompt),))
        response = Response(f"{prompt.id}-{content_id(answers[i.id])}", prompt.id, 0, answers[i.id], (), "stop")
        for number, rubric in enumerate(rubrics[i.id]):
            for run in range(runs):
                row = Graded(i.id, i.source, prompt.id, number, run, None)
                key = f"{which}-{i.id}-{number}-{run}"
                found.append((row, RubricQuestion(key, prompt, response, rubric.text, i.reference)))
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


def estimate(judge: RubricJudge, asked: Sequence[tuple[Any, RubricQuestion]]) -> Estimate | None:
    """What a server would be asked for, less what its journal has."""
    if not isinstance(judge, LlmRubricJudge) or not isinstance(judge.asker, ServerAsker):
        return None
    asks = [Ask(q.key, rubric_messages(q.prompt, q.response.text, q.rubric, q.reference)) for _, q in asked]
    return judge.asker.estimate(asks, judge.max_tokens)


def account_of(judge: RubricJudge | None) -> Account | None:
    if isinstance(judge, LlmRubricJudge) and isinstance(judge.asker, ServerAsker):
        return judge.asker.endpoint.account
    return None


def run_grades(
    run: RunFolder,
    stage: str,
    judge: RubricJudge | None,
    asked: Sequence[tuple[Graded, RubricQuestion]],
    batch: int,
    quiet: bool,
) -> list[Graded]:
    """Fill RUN/<stage>.jsonl and read it back; `judge` may be None where it stands."""
    told = run_questions(run, stage, judge, [q for _, q in asked], batch, quiet)
    return [
        Graded(g.instance, g.source, g.prompt, g.rubric, g.run, told[q.key]["score"], told[q.key]["reason"])
        for g, q in asked
    ]


def run_questions(
    run: RunFolder, stage: str, judge: RubricJudge | None, asked: Sequence[RubricQuestion], batch: int, quiet: bool
) -> dict[str, dict[str, Any]]:
    """Fill RUN/<stage>.jsonl with a row a question (id, score, feedback, reason), and read it back by id."""

    def work(part: Sequence[RubricQuestion]) -> Iterable[dict[str, Any]]:
        assert judge is not None, "an unfinished stage needs its judge"
        for q, told in zip(part, judge.grade(part), strict=True):
            grade = checked(told)
            yield {"id": q.key, "score": grade.score, "feedback": grade.feedback, "reason": grade.reason}

    HereRunner(run, quiet).run(stage, units(asked, batch, "key"), work)
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}
