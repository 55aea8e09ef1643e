"""The head: hidden states -> log-probabilities of given tokens, a chunk of logits at a time.

The logits of all tokens never exist at once: a chunk is computed, read and dropped, and computed again in the backward; only where
few tokens are read do their log-probs stay. A bare linear head has a fused path, which overwrites the logits by their log-softmax and
by their gradient; a head with LoRA, a bias or soft-capping goes through checkpointed autograd.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from windvane.models.trees.architectures import cap_logits

CHUNK = {"cpu": 1 << 21, "cuda": 1 << 26}  # logits in a chunk: 8 MiB in float32, 256 MiB where GEMMs want many rows
KEEP = 10 << 20  # log-probs of at most this many logits stay for the backward: 40 MiB, a batch of short answers
FEWEST = 64  # tokens: below this a chunk's GEMM waits for the head's weight


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Tokens per chunk."""
    return max(FEWEST, CHUNK.get(device.type, CHUNK["cpu"]) // vocabulary)


def token_logps(head: nn.Module, hidden: Tensor, rows: Tensor, targets: Tensor, config: Any) -> Tensor:
    """log p(targets[i]) from hidden[rows[i]]: hidden [R, H], rows and targets [N] -> float32 [N], nats."""
    if not len(rows):
        return hidden.new_zeros(0, dtype=torch.float32)
    states = hidden[rows]
    size = chunk_rows(config.vocab_size, hidden.device)
    hooked = head._forward_hooks or head._forward_pre_hooks
    if type(head) is nn.Linear and head.bias is None and not hooked and cap_logits(states, config) is states:
        weight = head.weight
        device = states.device.type
        if torch.is_autocast_enabled(device):
            states, weight = (x.to(torch.get_autocast_dtype(device)) for x in (states, weight))
        with torch.autocast(device, enabled=False):
            return _LinearLogps.apply(states, weight, targets, size)

    def chunk(states: Tensor, tokens: Tensor) -> Tensor:
        logits = cap_logits(head(states), config).float()
        return -nn.functional.cross_entropy(logits, tokens, reduction="none")

    spans = [slice(i, i + size) for i in range(0, len(rows), size)]
    if len(spans) == 1 or not torch.is_grad_enabled():
        return torch.cat([chunk(states[s], targets[s]) for s in spans])
    return torch.cat([checkpoint(chunk, states[s], targets[s], use_reentrant=False) for s in spans])


def _log_softmax(states: Tensor, weight: Tensor) -> Tensor:
    """float32 log-softmax of the logits, in the memory of the logits where they are float32 already."""
    logits = (states @ weight.T).float()
    return torch.ops.aten._log_softmax.out(logits, -1, False, out=logits)


class _LinearLogps(torch.autograd.Function):
    """states [N, H], weight [V, H], targets [N] -> log p(target) [N], float32."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, size: int) -> Tensor:
        picked, kept = [], []
        keep = any(ctx.needs_input_grad[:2]) and len(states) * len(weight) <= KEEP
        for i in range(0, len(states), size):
            logps = _log_softmax(states[i : i + size], weight)
            picked.append(logps.gather(1, targets[i : i + size, None])[:, 0])
            if keep:
                kept.append(logps)
        ctx.save_for_backward(states, weight, targets, *kept)
        ctx.size = size
        return torch.cat(picked)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, targets, *kept = ctx.saved_tensors
        need_states, need_weight = ctx.needs_input_grad[:2]
        d_states = torch.empty_like(states) if need_states else None
        d_weight = None
        for chunk, i in enumerate(range(0, len(states), ctx.size)):
            at = slice(i, i + ctx.size)
            p = kept[chunk].exp() if kept else _log_softmax(states[at], weight).exp_()
            g = grad[at, None]
            d_logits = p.mul_(-g).scatter_add_(1, targets[at, None], g).to(states.dtype)
            if d_states is not None:
                torch.mm(d_logits, weight, out=d_states[at])
            if need_weight:
                part = d_logits.T @ states[at]
                d_weight = part if d_weight is None else d_weight.float().add_(part)  # chunks add up in float32
        return d_states, None if d_weight is None else d_weight.to(weight.dtype), None, None
