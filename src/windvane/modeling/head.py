"""The head: hidden states -> log-probabilities of given tokens, a chunk of logits at a time.

The [tokens, vocabulary] matrix never exists whole: a chunk is computed, read and dropped, and computed again in the backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from windvane.modeling.support import cap_logits

CHUNK = 1 << 24  # logits in a chunk: 64 MiB in float32


def chunk_rows(vocabulary: int) -> int:
    """Tokens per chunk."""
    return max(16, CHUNK // vocabulary)


def token_logps(head: nn.Module, hidden: Tensor, rows: Tensor, targets: Tensor, config: Any) -> Tensor:
    """log p(targets[i]) from hidden[rows[i]]: hidden [R, H], rows and targets [N] -> float32 [N], nats."""
    size = chunk_rows(config.vocab_size)
    if not len(rows):
        return hidden.new_zeros(0, dtype=torch.float32)

    def chunk(states: Tensor, tokens: Tensor) -> Tensor:
        logits = cap_logits(head(states), config).float()
        return -nn.functional.cross_entropy(logits, tokens, reduction="none")

    states = hidden[rows]
    if len(rows) <= size or not torch.is_grad_enabled():
        parts = [chunk(states[i : i + size], targets[i : i + size]) for i in range(0, len(rows), size)]
    else:
        parts = [
            checkpoint(chunk, states[i : i + size], targets[i : i + size], use_reentrant=False)
            for i in range(0, len(rows), size)
        ]
    return torch.cat(parts)
