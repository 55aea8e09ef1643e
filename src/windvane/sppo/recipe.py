"""SPPO, whole (arXiv 2405.00675, algorithm 1): K answers a prompt, judged pair by pair, the soft loss, three iterations.

In: an instruct model, prompts, a judge. Out: a run folder. Iteration t samples from pi_t, the model of iteration t-1, starts from it
and takes it as its reference; each iteration has its own third of the prompts. The settings and their sources are in sppo/settings.py;
departures from the released scripts are in docs/papers/sppo.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windvane.runs.launch import launch
from windvane.runs.run import Run, RunResult
from windvane.sppo.finish import finish
from windvane.sppo.loss_targets import with_loss_defaults
from windvane.sppo.presets import PRESETS
from windvane.sppo.settings import Sppo
from windvane.sppo.stages import SppoStages


def run(settings: Sppo, out: str | Path, quiet: bool = False) -> RunResult:
    """The algorithm box, resumable: every call below is skipped when its files stand."""
    with Run(settings, out, quiet, begun=["heldout.jsonl"], prepare=with_loss_defaults) as run:
        stages = SppoStages(run)
        stages.open_backends()  # prompts and judges that cannot be had are reported now, not after hours of sampling
        stages.split_prompts()
        stages.evaluate(0)
        for t in range(1, settings.iterations + 1):
            stages.generate(t)  # y_1..y_K ~ pi_t(.|x)
            stages.judge(t)  # P(y_i beats y_j | x), both orders
            stages.pair(t)  # P(y_i beats pi_t), best and worst
            stages.reference(t)  # log pi_t(y|x), once
            stages.slow(t)  # log pi_ref(y|x) of a slow reference, for INPO alone
            stages.train(t)  # log pi/pi_t -> eta (P(y beats pi_t) - 1/2)
            stages.evaluate(t)
        return finish(run, stages.account)


def main(argv: Sequence[str]) -> int:
    """`windvane run sppo --model M --prompts FILE --judge JUDGE --out RUN`."""
    return launch(Sppo, run, argv, "windvane run sppo", __doc__, presets=PRESETS)
