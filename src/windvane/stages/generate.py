"""Prompts -> responses: K sampled answers a prompt, by any Generator, journaled batch by batch.

A unit is a fixed batch of prompts in id order; each answer's seed comes from (run seed, prompt id, index), so a resumed run samples
what an undisturbed one would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from windvane.core.protocols import Generator, Runner
from windvane.core.records import Prompt, batches
from windvane.core.schema import encode


def run_generate(
    runner: Runner,
    stage: str,
    generator: Generator,
    prompts: Sequence[Prompt],
    indices: Sequence[int],
    seed: int,
    batch_prompts: int,
) -> None:
    """Fill `stage` with Response records: the answers at `indices` to every prompt."""

    def work(batch: list[Prompt]) -> Iterable[dict[str, Any]]:
        return [encode(r) for answers in generator.generate(batch, indices, seed) for r in answers]

    runner.run(stage, batches(prompts, batch_prompts), work)
