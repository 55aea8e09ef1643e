"""The train stage of a run: groups in, a model folder out, whatever happens in between.

In: prompts, responses, groups and cached reference log-probs of one iteration, and the policy's model opened for training. Out:
RUN/iter-t/train/metrics.jsonl and RUN/iter-t/model (plain Hugging Face files, or a PEFT adapter), published by one rename. The
checkpoints are removed when the model stands. Where several processes train (`ranks`), each calls with the same and the first one writes.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from windvane.losses.batch import Objective, digest_of
from windvane.models.load import save_model
from windvane.models.trees.logprobs import Scorer
from windvane.runs.store import PULSE, RunFolder, published, write_jsonl
from windvane.train.batches import Example
from windvane.train.distributed import ALONE, Ranks
from windvane.train.loop import Report, Trainer
from windvane.train.policy import PolicyTask
from windvane.train.processes import here
from windvane.train.settings import Train

S = TypeVar("S")


def with_loss_digests(settings: S) -> S:
    """A recipe's settings with the digest of each loss that is a file of the user's own, to be recorded with the run. Other ranks
    keep the digest that the first one found."""
    fields: Any = settings
    if not here().lead:
        return settings
    stages = {f.name: getattr(settings, f.name) for f in dataclasses.fields(fields)}
    digests = {
        name: dataclasses.replace(train, objective_sha256=digest_of(train.objective))
        for name, train in stages.items()
        if isinstance(train, Train)
    }
    return dataclasses.replace(fields, **digests)  # type: ignore[no-any-return]


def run_train(
    run: RunFolder,
    iteration: str,
    scorer: Scorer,
    tokenizer: Any,
    objective: Objective,
    settings: Train,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    seed: int,
    base_spec: str,
    quiet: bool = False,
    ranks: Ranks = ALONE,
) -> None:
    """Train `scorer.model` in place and publish it as `iteration/model`."""
    stage, folder = f"{iteration}/train", run / iteration / "train"
    task = PolicyTask(scorer, objective, settings)
    if not ranks.lead:
        Trainer(task, folder / "checkpoints", seed, ranks=ranks).fit(examples, held_out)
        return
    start, cpu = time.perf_counter(), time.process_time()
    with progress(run, stage, quiet) as report:
        metrics = Trainer(task, folder / "checkpoints", seed, report, ranks).fit(examples, held_out)
    write_jsonl(folder / "metrics.jsonl", metrics)
    model = scorer.model
    if settings.precision == "bfloat16" and not settings.lora_rank:
        model.to(torch.bfloat16)
    with published(run / iteration / "model") as aside:
        save_model(model, tokenizer, aside, base_spec)
    run.timing(stage, time.perf_counter() - start, time.process_time() - cpu, len(metrics))


@contextmanager
def progress(run: RunFolder, stage: str, quiet: bool) -> Iterator[Report]:
    """What a Trainer reports its steps to: a progress bar, the run's status and its log."""
    from tqdm import tqdm

    bar = tqdm(desc=stage, unit="step", disable=quiet or None)

    def report(step: int, total: int, row: dict[str, Any]) -> None:
        if bar.total is None:  # what a resumed stage had done before is no part of its rate
            bar.total, bar.initial, bar.n = total, step - 1, step - 1
        bar.update(step - bar.n)
        bar.set_postfix(loss=f"{row['loss']:.4g}")
        run.status(stage, step, total)
        run.event("step", stage=stage, step=step, **row)

    run.pulse = None if quiet else PULSE
    run.status(stage, 0, 0)
    try:
        yield report
    finally:
        bar.close()


def clear_checkpoints(run: RunFolder, iteration: str) -> None:
    """Remove what a finished stage no longer needs (also after a kill between publishing and removing)."""
    shutil.rmtree(run / iteration / "train" / "checkpoints", ignore_errors=True)
