"""The demo: SPPO, three iterations, on the embedded world, offline, in under three minutes on two cores.

Its settings are its own, not the paper's: eta 10 and AdamW at 5e-4 on a tiny model that learnt to reply in styles. Training sees a
noisy proxy of the programme that grades (a longer reply counts one logit more, a fifth of the verdicts are turned round); the win rate
is the programme's, on prompts about topics that training never saw.
"""

from __future__ import annotations

from collections.abc import Sequence

from windvane.engines.local import Sampling
from windvane.evals.winrate import Evaluate
from windvane.runs.launch import launch
from windvane.sppo.recipe import run
from windvane.sppo.settings import Sppo
from windvane.train.settings import Train

WORLD = "world:styles"


def recipe() -> Sppo:
    """The demo's own settings, marked so: none of them is the paper's but K, the loss and the three iterations."""
    return Sppo(
        model=WORLD,
        prompts=WORLD,
        judge=f"{WORLD}:proxy",
        iterations=3,
        prompts_per_iteration=256,
        sampling=Sampling(k=5, temperature=1.0, top_p=1.0, max_new_tokens=40),
        batch_prompts=64,
        train=Train(
            objective="sppo",
            objective_args={"eta": 10.0},
            optimizer="adamw",
            lr=5e-4,
            schedule="constant",
            warmup=0.0,
            epochs=2,
            batch=32,
            held_out=0.1,
            keep="last",
        ),
        evaluate=Evaluate(
            judge=f"{WORLD}:programme",
            proxy=f"{WORLD}:proxy-clean",
            prompts=WORLD,
            count=240,
            answers=4,
            temperature=1.0,
            top_p=1.0,
            max_new_tokens=40,
            batch_prompts=60,
        ),
        device="cpu",
        threads=1,  # the model is so small that a second thread only waits
    )


def main(argv: Sequence[str]) -> int:
    """`windvane demo [--out RUN]`."""
    return launch(Sppo, run, argv, "windvane demo", __doc__, default=recipe(), out="runs/demo")
