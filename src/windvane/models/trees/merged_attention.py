"""Attention over a packed row of trees as pieces of fused kernels, merged by their log-sum-exp, exact forward and backward.

In: q [Hk, G, Q, D], k and v [Hk, S, D] of one row and its plan. Each piece of the plan is one call of a kernel (kernels.py) that returns
its log-sum-exp; two pieces that share queries are merged as ring attention merges them (Liu et al., arXiv 2310.01889): with
l = log(exp l1 + exp l2), o = o1 exp(l1 - l) + o2 exp(l2 - l). The backward of each piece takes the merged o and l: the softmax it
recomputes is then the true one, so its gradients are exact and add up. No key or value is copied per branch, no [S, S] mask exists.
Grouped-query heads share keys through a stride of zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from windvane.models.trees.kernels import Kernel
from windvane.models.trees.packing import Piece, Plan


def merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> None:
    """Merge `other` into `out` [..., D] and `lse` [...] in place (float32 weights)."""
    total = torch.logaddexp(lse, other_lse)
    mine, theirs = (lse - total).exp_()[..., None], (other_lse - total).exp_()[..., None]
    out.copy_(out * mine + other * theirs)
    lse.copy_(total)


class _TreeAttention(torch.autograd.Function):
    """q [Hk, G, Q, D], k and v [Hk, S, D] -> [Hk, G, Q, D]: Hk key heads, G query heads to each."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: list[Piece], kernel: Kernel, scale: float) -> Tensor:
        wide_k, wide_v = (x[:, None].expand(-1, q.shape[1], -1, -1) for x in (k, v))
        if pieces[0].q1 - pieces[0].q0 == q.shape[2]:
            first, rest = pieces[0], pieces[1:]
            out, lse = kernel.forward(
                q, wide_k[:, :, first.k0 : first.k1], wide_v[:, :, first.k0 : first.k1], first, scale
            )
        else:
            rest = pieces
            out = q.new_empty(q.shape[2], *q.shape[:2], v.shape[-1]).permute(1, 2, 0, 3)
            lse = torch.empty(q.shape[2], *q.shape[:2], dtype=torch.float32, device=q.device).permute(1, 2, 0)
        for p in rest:
            at, keys = slice(p.q0, p.q1), slice(p.k0, p.k1)
            part, part_lse = kernel.forward(q[:, :, at], wide_k[:, :, keys], wide_v[:, :, keys], p, scale)
            if p.kind == "causal":  # the first to reach its queries
                out[:, :, at], lse[:, :, at] = part, part_lse
            else:
                merge(out[:, :, at], lse[:, :, at], part, part_lse)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.pieces, ctx.kernel, ctx.scale = pieces, kernel, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        groups = q.shape[1]
        wide_k, wide_v = (x[:, None].expand(-1, groups, -1, -1) for x in (k, v))
        # memory order is [tokens, heads, D], as the projections want it
        dq, dk, dv = (x.new_empty(x.shape[-2], *x.shape[:-2], x.shape[-1]).movedim(0, -2) for x in (q, k, v))
        set_to = 0  # causal pieces come first, in the order of their keys: what they give is set, zeros between, the rest is added
        for p in ctx.pieces:
            at, keys = slice(p.q0, p.q1), slice(p.k0, p.k1)
            operands = (
                grad[:, :, at],
                q[:, :, at],
                wide_k[:, :, keys],
                wide_v[:, :, keys],
                out[:, :, at],
                lse[:, :, at],
            )
            gq, gk, gv = ctx.kernel.backward(*operands, p, ctx.scale)
            gk, gv = (x.sum(1) if groups > 1 else x[:, 0] for x in (gk, gv))
            if len(ctx.pieces) == 1 and gk.shape[1] == k.shape[1]:
                return gq, gk, gv, None, None, None
            if p.kind == "causal":
                dk[:, set_to : p.k0], dv[:, set_to : p.k0] = 0, 0
                dq[:, :, at], dk[:, keys], dv[:, keys] = gq, gk, gv
                set_to = p.k1
            else:
                dk[:, set_to:], dv[:, set_to:] = 0, 0
                set_to = k.shape[1]
                dq[:, :, at] += gq
                dk[:, keys] += gk
                dv[:, keys] += gv
        dk[:, set_to:], dv[:, set_to:] = 0, 0
        return dq, dk, dv, None, None, None


@dataclass(frozen=True, slots=True)
class Pieces:
    """The backend that calls `kernel` once a piece."""

    kernel: Kernel

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, scale: float, window: int | None) -> Tensor:
        out: Tensor = _TreeAttention.apply(q, k, v, plan.pieces(window), self.kernel, scale)
        return out
