"""The reference model's log-probs, once, as a resumable data stage: it is never in memory while the policy trains.

In: examples and the frozen reference's Scorer. Out: RUN/iter-t/reference.jsonl, a Reference record an answer: summed log-prob
over its tokens at temperature 1 (nats). A unit is a fixed batch of examples in id order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from windvane.modeling.logprobs import Scorer
from windvane.protocols import Runner
from windvane.records import Reference
from windvane.schema import encode
from windvane.train.batches import Example, micro_batches


def reference_logps(scorer: Scorer, batch: Sequence[Example], bf16: bool = False) -> list[Reference]:
    """Summed log-probs of every answer in `batch`, in order."""
    device = next(scorer.model.parameters()).device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
        found = scorer.logps([e.tree for e in batch])
    return [
        Reference(response_id, float(logps.double().sum()), length)
        for example, nodes in zip(batch, found)
        for response_id, length, logps in zip(example.response_ids, example.lengths, nodes[1:])
        if logps is not None
    ]


def run_reference(
    runner: Runner, stage: str, scorer: Scorer, found: Sequence[Example], max_tokens: int, bf16: bool = False
) -> None:
    """Fill `stage` (a journaled JSONL of Reference records) for all examples."""
    batches = list(micro_batches(found, max_tokens))

    def work(batch: list[Example]) -> Iterable[dict[str, Any]]:
        return [encode(r) for r in reference_logps(scorer, batch, bf16)]

    runner.run(stage, [(f"{i:06d}", batch) for i, batch in enumerate(batches)], work)
