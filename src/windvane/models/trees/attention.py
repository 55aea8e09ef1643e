"""Attention over a packed row of trees, exact, behind transformers' AttentionInterface.

In: queries, keys, values of one row and the plan of which meet which (packing.py). Out: what every token would get in a row of its
own. `attend` is the one function; what computes it is a backend: fused kernels on the pieces of the plan, merged by log-sum-exp
(models/trees/merged_attention.py), or FlexAttention over the whole row (flex.py), chosen for the device (models/trees/backends.py).

The plan travels as a keyword argument of the model's forward (`tree_plan`), which the layers hand on to this function: a layer recomputed
under gradient checkpointing sees the same plan, and two models may be in flight at once. Without that argument the function
is the model's own attention.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from windvane.models.trees.backends import backend
from windvane.models.trees.packing import Plan

PREFIX = "windvane_"  # "windvane_sdpa": trees where a plan is given, "sdpa" elsewhere


class Divided(Protocol):
    """A plan whose row is not all in this process (models/trees/sequence_parallel.py): it attends by itself."""

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, softcap: float | None
    ) -> Tensor:
        """query [1, H, s, D], key and value [1, Hk, s, D] of this process's s tokens -> [1, s, H, D]."""


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
    with torch.autocast(device, enabled=False):
        out = backend(grouped, value[0], softcap)(grouped, key[0], value[0], plan, scale, window)
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
    tree_plan: Plan | Divided | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """What the layers of a prepared model call: trees where a plan came along, else the model's own attention. query [B, H, Q, D], key and
    value [B, Hk, S, D] -> ([B, Q, H, D], None); B is 1 with a plan. Errors: assertion where a plan meets dropout."""
    if tree_plan is not None:
        assert dropout == 0.0, "trees have no attention dropout"
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        if isinstance(tree_plan, Plan):
            return attend(query, key, value, tree_plan, scale, sliding_window, softcap), None
        return tree_plan.attend(query, key, value, scale, sliding_window, softcap), None
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
