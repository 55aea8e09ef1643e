"""Attention over a packed row of trees, exact, behind transformers' AttentionInterface.

In: queries, keys, values of one row and the plan of which meet which (packing.py). Out: what every token would get in a row of its
own. Each piece of the plan is one call of a fused kernel that returns its log-sum-exp; two pieces that share queries are merged as ring
attention merges them (Liu et al., arXiv 2310.01889): with l = log(exp l1 + exp l2), o = o1 exp(l1 - l) + o2 exp(l2 - l). The backward of
each piece takes the merged o and l: the softmax it recomputes is then the true one, so its gradients are exact and add up.

No key or value is copied per branch, no [S, S] mask exists. Grouped-query heads share keys through a stride of zero.
The plan travels as a keyword argument of the model's forward (`tree_plan`), which the layers hand on to this function: a layer recomputed
under gradient checkpointing sees the same plan, and two models may be in flight at once. Without that argument the function
is the model's own attention.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from windvane.modeling.kernels import Kernel, choose
from windvane.modeling.packing import Piece, Plan

PREFIX = "windvane_"  # "windvane_sdpa": trees where a plan is given, "sdpa" elsewhere


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


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: Plan,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """query [1, H, Q, D], key and value [1, Hk, S, D] -> [1, Q, H, D]; Q is S, or the plan's kept queries.

    Raises: assertion when the shapes are not the plan's (several rows, a cache)."""
    assert query.shape[0] == 1 and query.shape[2] == plan.queries and key.shape[2] == plan.size, "not the plan's row"
    heads, key_heads = query.shape[1], key.shape[1]
    device = query.device.type
    if torch.is_autocast_enabled(device):
        # as scaled_dot_product_attention does: rotary embeddings leave float32 under autocast
        query, key, value = (x.to(torch.get_autocast_dtype(device)) for x in (query, key, value))
    grouped = query[0].unflatten(0, (key_heads, heads // key_heads))
    kernel = choose(grouped, value[0], softcap)
    with torch.autocast(device, enabled=False):
        out = _TreeAttention.apply(grouped, key[0], value[0], plan.pieces(window), kernel, scale)
    return out.permute(2, 0, 1, 3).flatten(1, 2)[None]


def tree_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    tree_plan: Plan | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """What the layers of a prepared model call: trees where a plan came along, else the model's own attention."""
    if tree_plan is not None:
        assert dropout == 0.0, "trees have no attention dropout"
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attend(query, key, value, tree_plan, scale, sliding_window, softcap), None
    name = module.config._attn_implementation.removeprefix(PREFIX)
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", tree_attention)
    function = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)
    optional = {"sliding_window": sliding_window, "softcap": softcap}
    given = {k: v for k, v in optional.items() if v is not None}
    return function(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **given, **kwargs)


def prepare(model: Any) -> None:
    """Let a transformers model's layers call `tree_attention`; its own attention stays in charge of everything but trees."""
    name = model.config._attn_implementation
    if name.startswith(PREFIX):
        return
    wrapped = PREFIX + name
    AttentionInterface.register(wrapped, tree_attention)
    if name in ALL_MASK_ATTENTION_FUNCTIONS:
        AttentionMaskInterface.register(wrapped, ALL_MASK_ATTENTION_FUNCTIONS[name])
    model.set_attn_implementation(wrapped)
    assert model.config._attn_implementation == wrapped


def no_mask(device: torch.device) -> Tensor:
    """A mask that is already made, [1, 1, 1, 1]: transformers passes it on and builds none; `attend` ignores it."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
