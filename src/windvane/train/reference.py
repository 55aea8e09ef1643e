"""The reference model's log-probs, once, as a resumable data stage: it is never in memory while the policy trains.

In: examples and the frozen reference's Scorer. Out: RUN/iter-t/reference.jsonl, a Reference record an answer: summed log-prob
over its tokens at temperature 1 (nats), for a loss on tokens a TokenReference with each token's. A unit is a fixed
batch of examples in id order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from windvane.core.protocols import Runner
from windvane.core.records import Reference, TokenReference, content_id
from windvane.core.schema import encode
from windvane.models.trees.logprobs import Scorer
from windvane.train.batches import Example, micro_batches
from windvane.train.loss_inputs import answer_sums, answer_tokens


def reference_logps(
    scorer: Scorer, batch: Sequence[Example], bf16: bool = False, tokens: bool = False
) -> list[Reference]:
    """Summed log-probs of every answer in `batch`, in order; then those of mismatched answers, where there are any. `tokens`: each token's
    beside the sum."""
    device = next(scorer.model.parameters()).device.type
    rows: list[Reference] = []
    for part in (list(batch), [e.mismatch for e in batch if e.mismatch is not None]):
        if not part:
            continue
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            found = scorer.logps([e.tree for e in part])
        for example, nodes in zip(part, found):
            sums = answer_sums(example, [None if n is None else n.double() for n in nodes])
            for k, (response_id, length, logps) in enumerate(zip(example.response_ids, example.lengths, sums)):
                if tokens:
                    each = answer_tokens(example, nodes, k).tolist()
                    rows.append(TokenReference(response_id, float(logps), length, tuple(each)))
                else:
                    rows.append(Reference(response_id, float(logps), length))
    return rows


def run_reference(
    runner: Runner,
    stage: str,
    scorer: Scorer,
    found: Sequence[Example],
    max_tokens: int,
    bf16: bool = False,
    tokens: bool = False,
) -> None:
    """Fill `stage` (a journaled JSONL of Reference records, with `tokens` of TokenReference records) for all examples."""
    batches = list(micro_batches(found, max_tokens))

    def work(batch: list[Example]) -> Iterable[dict[str, Any]]:
        return [encode(r) for r in reference_logps(scorer, batch, bf16, tokens)]

    runner.run(
        stage, [(f"{i:06d}-{content_id([e.id for e in batch])}", batch) for i, batch in enumerate(batches)], work
    )


def of_tokens(rows: Iterable[TokenReference]) -> dict[str, tuple[float, ...]] | None:
    """Each response's log-probs token by token, by id; None where the stage kept sums alone."""
    return {r.id: r.token_logps for r in rows if r.token_logps} or None
