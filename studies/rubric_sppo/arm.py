"""One arm of the rubric-sppo claim with one seed: self-play in the values world under rubrics, and what the last model's replies show.

In: an arm (whose rubrics), a learning rate, a seed. Out: the share of the values asked for that replies show, case by case on held-out
instructions, by what is held out; malformed and off-topic shares, length. The seed draws prompts, system messages, samples and cases; the
start is the one model that is shipped. An arm changes the file of rubrics alone. The judge that trains is the world's noisy grader by
those rubrics (a fifth of its grades turned round); what is reported is the programme's word on the values that were asked for.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.launch import world_digest
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Response, seed_of
from windvane.core.schema import dumps
from windvane.engines.local import Sampling
from windvane.evals.winrate import Evaluate
from windvane.models.load import load_model, load_tokenizer
from windvane.runs.store import write_atomic
from windvane.sppo.recipe import run
from windvane.sppo.settings import Sppo
from windvane.toy.demo import recipe
from windvane.toy.values import family as values
from windvane.toy.values import lessons as value_lessons
from windvane.toy.values import steering
from windvane.toy.values.replies import read

WORLD, JUDGE = "world:values", "rubric:world:values:noisy"
UNIFORM = ("style/plain", "background_knowledge/novice", "informativeness/balanced", "harmlessness/caution")


@dataclass(frozen=True, slots=True)
class Size:
    """`prompts`: an iteration; `k` answers to each; `cases`: a split, measured; `watched`: the run's own held-out prompts."""

    iterations: int
    prompts: int
    k: int
    cases: int
    watched: int


def write_rows(size: Size, whose: str, seed: int, path: Path) -> None:
    """The prompts that train, with the rubrics of each user, of another user ("shuffled"), or the same four for everybody ("uniform")."""
    wanted = size.iterations * size.prompts
    found = {
        c.prompt.id: c for c in values.cases(wanted + wanted // 10, "train", seed)
    }  # now and then a case comes twice
    cases = list(found.values())[:wanted]
    assert len(cases) == wanted
    order = random.Random(seed_of("rubric claim", seed)).sample(cases, len(cases))
    rows = []
    for i, case in enumerate(order):
        keys = UNIFORM if whose == "uniform" else case.values
        if whose == "shuffled":
            others = (order[(i + step) % len(order)].values for step in range(1, len(order)))
            keys = next(other for other in others if not set(other) & set(case.values))
        rubrics = [steering.rubric(k) for k in keys]
        rows.append({"system": case.system, "prompt": case.instruction, "rubrics": rubrics})
    write_atomic(path, "".join(dumps(row) + "\n" for row in rows))


def settings(size: Size, arm: dict[str, Any], lr: float, seed: int, rows: str) -> Sppo:
    """The demo's settings but for the world, the rubrics and the rate."""
    demo = recipe()
    train = replace(demo.train, objective=arm["objective"], objective_args=dict(arm["objective_args"]), lr=lr)
    return replace(
        demo,
        model=WORLD,
        prompts=rows,
        judge=JUDGE,
        rubrics=rows,
        iterations=size.iterations,
        prompts_per_iteration=size.prompts,
        seed=seed,
        sampling=Sampling(size.k, 1.0, 1.0, values.NEW_TOKENS),
        train=train,
        evaluate=Evaluate(
            judge=f"{WORLD}:programme",
            proxy=f"{WORLD}:proxy-clean",
            prompts=f"{WORLD}:seen",
            count=size.watched,
            temperature=1.0,
            top_p=1.0,
            max_new_tokens=values.NEW_TOKENS,
            batch_prompts=60,
        ),
    )


def unit(size: Size, arm: dict[str, Any], lr: float, seed: int, whole: bool, folder: Path) -> dict[str, Any]:
    """Run and measure; an arm without rubrics is the start. `whole`: every split, else "seen" alone, which a rate is chosen by."""
    spec, course = WORLD, []
    if arm["rubrics"]:
        rows = folder / "rows.jsonl"
        if not rows.exists():
            write_rows(size, arm["rubrics"], seed, rows)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run(settings(size, arm, lr, seed, str(rows)), str(folder / "run"), quiet=True)
        spec = str(folder / "run" / f"iter-{size.iterations}" / "model")
        summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))["iterations"]
        course = [{k: row[k] for k in ("win_rate", "mean_length", "kl")} for row in summary]
    found = measure(size, spec, seed, whole)
    return {"told": f"adherence {found['adherence']['seen']:.3f}", **found, "course": course}


def measure(size: Size, spec: str, seed: int, whole: bool) -> dict[str, Any]:
    """One reply at temperature 1 to each case; of "values" the held-out value alone counts. `each`: a share a case of "seen"."""
    model, tokenizer = load_model(spec, "float32", "cpu"), load_tokenizer(spec)
    found: dict[str, Any] = {"adherence": {}}
    for split in values.CASES if whole else ("seen",):
        cases = values.cases(size.cases, split, seed)
        told = value_lessons.answers(
            model, tokenizer, [c.prompt for c in cases], 1.0, seed_of("rubric claim", seed, split)
        )
        shown = [sum(s) / len(s) for s in value_lessons.followed(cases, told)]
        found["adherence"][split] = sum(shown) / len(shown)
        if split == "seen":
            seen = [read(t, c.instruction) for t, c in zip(told, cases)]
            good = [r for r in seen if r.well_formed]
            found["each"] = [round(s, 6) for s in shown]
            found["malformed"] = 1 - len(good) / len(seen)
            found["off_topic"] = sum(r.off_topic for r in good) / max(1, sum(r.sentences for r in good))
            found["words"] = sum(r.words for r in seen) / len(seen)
    return found


def world_sha256() -> str:
    """The world by what it does: the start's weights and tokenizer, training prompts with their rubrics, cases of every split, and the
    words of the grader that trains and of the one that knows."""
    cases = [c for split in ("train", *values.CASES) for c in values.cases(20, split, 0)]
    reply = "In simple words, the sea is cold and blue. It is wide and deep. Please take good care."
    asked = [
        RubricQuestion(
            str(i), c.prompt, Response("r", c.prompt.id, 0, reply, (), "stop"), steering.rubric(k)["criteria"]
        )
        for i, c in enumerate(cases)
        for k in c.values
    ]
    marks = [[g.score for g in values.grader(name).grade(asked)] for name in ("programme", "noisy")]
    told = [[[c.system, c.instruction, c.values] for c in cases], *marks]
    return world_digest(values.model_folder(), ("model.safetensors", "tokenizer.json"), told)
