"""Part (b) of the SPPO claim: the embedded world, one method with one seed, as `windvane demo` runs it.

In: an arm (objective, its settings, which answers), a learning rate, a seed. Out: at the start and after each iteration the true and the
proxy's win rate against the start, length, drift, malformed share; of every iteration the log-ratios of chosen and rejected held-out
answers to the policy that sampled them. The seed draws which prompts train, which are held out, and every sample; judge, world and
start are the same for all arms.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.launch import world_digest
from windvane.core.records import Prompt, Response
from windvane.runs.store import read_jsonl, read_records
from windvane.sppo.recipe import run
from windvane.sppo.settings import Sppo
from windvane.toy.demo import recipe
from windvane.toy.styles import family as styles
from windvane.toy.styles.replies import read


@dataclass(frozen=True, slots=True)
class Styles:
    """The size of a run; everything else is the demo's."""

    iterations: int
    prompts: int  # an iteration
    held_out: int
    answers: int  # a held-out prompt


def settings(size: Styles, arm: dict[str, Any], lr: float, seed: int) -> Sppo:
    """`arm`: objective, objective_args, answers, and slow_every where it has a slow reference."""
    demo = recipe()
    train = replace(demo.train, objective=arm["objective"], objective_args=dict(arm["objective_args"]), lr=lr)
    return replace(
        demo,
        seed=seed,
        iterations=size.iterations,
        prompts_per_iteration=size.prompts,
        answers=arm["answers"],
        slow_every=arm.get("slow_every"),
        train=train,
        evaluate=replace(demo.evaluate, count=size.held_out, answers=size.answers),
    )


def unit(size: Styles, arm: dict[str, Any], lr: float, seed: int, folder: Path) -> dict[str, Any]:
    """Run and measure. `per_prompt`: the final true win rate against the start, a held-out prompt each, in the order of their ids."""
    made = settings(size, arm, lr, seed)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(made, str(folder / "run"), quiet=True)
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))["iterations"]
    held = {p.id: p.text for p in read_records(folder / "run" / "heldout.jsonl", Prompt)}
    malformed = [_malformed(folder / "run" / f"iter-{t}" / "answers.jsonl", held) for t in range(size.iterations + 1)]
    last = [row for _, row in read_jsonl(folder / "run" / f"iter-{size.iterations}" / "evaluation.jsonl")]
    rates = [row["win_rate"] for row in summary]
    return {
        "told": f"win rate {rates[-1]:.3f}",
        "win_rate": rates,
        "proxy": [row["proxy_win_rate"] for row in summary],
        "length": [row["mean_length"] for row in summary],
        "kl": [row["kl"] for row in summary],
        "malformed": malformed,
        "chosen": [row["chosen_logps"] for row in summary[1:]],
        "rejected": [row["rejected_logps"] for row in summary[1:]],
        "per_prompt": [round(row["win_start"], 6) for row in sorted(last, key=lambda r: r["id"])],
    }


def _malformed(path: Path, prompts: dict[str, str]) -> float:
    answers = read_records(path, Response)
    return sum(not read(prompts[r.prompt_id], r.text).well_formed for r in answers) / len(answers)


def world_sha256() -> str:
    """The world by what it does: the start's weights and tokenizer, every prompt, and the verdicts of the judge that trains and of the
    one that grades on the first 40 prompts and a fixed reply to each."""
    prompts = [p for split in styles.SPLITS for p in styles.prompts(None, split, 0)]
    replies = [
        "Hello there! The sea is wide and blue. I hope this helps!",
        "Oh, that. The sea is a sleeping giant. Now leave me alone.",
    ]
    judges = (styles.judge("programme"), styles.judge("proxy"), styles.judge("proxy-clean"))
    verdicts = [[f"{judge.probability(p.text, *replies):.9f}" for p in prompts[:40]] for judge in judges]
    files = ("model.safetensors", "tokenizer.json")
    return world_digest(styles.model_folder(), files, [[p.text for p in prompts], *verdicts])
