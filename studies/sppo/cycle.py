"""Part (c) of the SPPO claim: an intransitive judge and a language model that knows what it may answer.

In: an arm's objective, a seed. Out: for the start and every iteration the policy over the judge's kinds, its duality gap, the gap of the
average policy, and the share of malformed replies. One unit is one `windvane run sppo` by the judge of studies/sppo/cycle_judge.py. The
policy over
kinds is exact: the next-token probabilities after each held-out prompt. The gap lets the opponent choose its kind prompt by prompt; the
average policy averages iterations, prompt by prompt (the iterations' policies, without the start).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studies.games.game import duality_gap
from studies.sppo.cycle_judge import GAME, KINDS
from windvane.core.records import Prompt, Response
from windvane.core.schema import dumps
from windvane.engines.local import Sampling
from windvane.evals.winrate import Evaluate
from windvane.models.load import load_model, load_tokenizer
from windvane.runs.store import read_records, write_atomic
from windvane.sppo.recipe import run
from windvane.sppo.settings import Sppo
from windvane.toy.demo import recipe
from windvane.toy.styles import family as styles
from windvane.toy.styles.replies import read
from windvane.train.settings import Train


@dataclass(frozen=True, slots=True)
class Cycle:
    """Settings of a run; every iteration has prompts of its own."""

    iterations: int
    prompts: int  # an iteration
    k: int
    epochs: int
    batch: int
    held_out: int  # prompts that the policy is read off


def settings(cycle: Cycle, arm: dict[str, Any], seed: int, prompts: str) -> Sppo:
    """The recipe's settings: the demo's, but for what the part is about. `arm`: objective, objective_args, answers, lr,
    and slow_every where it has a slow reference."""
    train: Train = recipe().train
    return replace(
        recipe(),
        prompts=prompts,
        judge="py:studies.sppo.cycle_judge:beats",
        iterations=cycle.iterations,
        prompts_per_iteration=cycle.prompts,
        seed=seed,
        sampling=Sampling(k=cycle.k, temperature=1.0, top_p=1.0, max_new_tokens=40),
        answers=arm["answers"],
        slow_every=arm.get("slow_every"),
        train=replace(
            train,
            objective=arm["objective"],
            objective_args=dict(arm["objective_args"]),
            lr=arm["lr"],
            epochs=cycle.epochs,
            batch=cycle.batch,
            held_out=0.0,
        ),
        evaluate=Evaluate(count=cycle.held_out, temperature=1.0, top_p=1.0, max_new_tokens=40, batch_prompts=60),
    )


def all_prompts() -> list[Prompt]:
    """Every topic by every template: the judge reads no prompt, so nothing is held out for it."""
    return sorted(styles.prompts(None, "train", 0) + styles.prompts(None, "held-out", 0), key=lambda p: p.id)


@torch.no_grad()
def policy(spec: str, prompts: Sequence[Prompt]) -> np.ndarray:
    """[prompts, kinds] the probability that a reply to each prompt is of each kind."""
    model, tokenizer = load_model(spec, "float32", "cpu"), load_tokenizer(spec)
    ids = [tokenizer(word, add_special_tokens=False).input_ids for word in KINDS]
    assert all(len(i) == 1 for i in ids), "a kind is one token"
    rows = []
    for prompt in prompts:
        logits = model(input_ids=torch.tensor([prompt.token_ids])).logits[0, -1]
        named = logits.double().softmax(-1)[[i[0] for i in ids]]
        rows.append(torch.cat([named, (1 - named.sum()).clamp(min=0)[None]]).numpy())
    return np.array(rows)


def course(policies: np.ndarray) -> dict[str, list[Any]]:
    """Figures a step from policies [steps, prompts, kinds], the start first."""
    game = np.array(GAME)
    last = [float(duality_gap(p, game).mean()) for p in policies]
    means = np.cumsum(policies[1:], axis=0) / np.arange(1, len(policies))[:, None, None]
    return {
        "kinds": [[round(float(x), 4) for x in p.mean(0)] for p in policies],
        "gap_last": last,
        "gap_average": [last[0], *(float(duality_gap(p, game).mean()) for p in means)],
    }


def unit(cycle: Cycle, arm: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Run one arm with one seed in `folder` and measure it."""
    prompts = folder / "prompts.jsonl"
    if not prompts.exists():
        write_atomic(prompts, "".join(dumps({"prompt": p.text}) + "\n" for p in all_prompts()))
    out = folder / "run"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(settings(cycle, arm, seed, str(prompts)), str(out), quiet=True)
    held = read_records(out / "heldout.jsonl", Prompt)
    models = [styles_spec(), *(str(out / f"iter-{t}" / "model") for t in range(1, cycle.iterations + 1))]
    text = {p.id: p.text for p in held}
    malformed = []
    for t in range(cycle.iterations + 1):
        answers = read_records(out / f"iter-{t}" / "answers.jsonl", Response)
        malformed.append(sum(not read(text[r.prompt_id], r.text).well_formed for r in answers) / len(answers))
    return {**course(np.array([policy(m, held) for m in models])), "malformed": malformed}


def styles_spec() -> str:
    return f"world:{styles.NAME}"
