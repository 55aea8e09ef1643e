"""Attention over a packed row of trees by FlexAttention: the whole row in one call, who sees whom as a block-sparse mask.

In: q [Hk, G, Q, D], k and v [Hk, S, D] of one row and its plan. The mask is never stored token by token: FlexAttention keeps a table of
128 x 128 blocks and computes the mask inside those that are partly seen. Nothing is merged; soft-capping (Gemma 2) is part of the
kernel. It has no backward on the CPU: there only its forward is tested, its gradients by tests that need a GPU. Unproven where none ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from windvane.models.trees.packing import Plan


@cache
def _compiled() -> Callable[..., Any]:
    """Uncompiled, FlexAttention stores all scores; rows differ in length, so shapes are symbols."""
    return torch.compile(flex_attention, dynamic=True)  # type: ignore[no-any-return]


def block_mask(plan: Plan, window: int | None, device: torch.device) -> BlockMask:
    """Which blocks of queries meet which blocks of keys; made once a plan and window."""
    key = (window, str(device))
    if key not in plan.masks:
        until, position = (x.to(device) for x in plan.sight())
        asked = plan.asked().to(device)

        def sees(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            at = asked[query]
            seen = (key <= at) & (at < until[key])
            return seen if window is None else seen & (position[at] - position[key] < window)

        plan.masks[key] = create_block_mask(sees, None, None, plan.queries, plan.size, device=device.type)
    return plan.masks[key]


@dataclass(frozen=True, slots=True)
class Flex:
    """The backend."""

    softcap: float | None = None

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, scale: float, window: int | None) -> Tensor:
        cap = self.softcap or 1.0

        def capped(score: Tensor, *_: Tensor) -> Tensor:
            return torch.tanh(score / cap) * cap

        function: Any = _compiled() if q.device.type == "cuda" else flex_attention
        out: Tensor = function(
            q.flatten(0, 1)[None],  # query head h reads key head h // G
            k[None],
            v[None],
            score_mod=None if self.softcap is None else capped,
            block_mask=block_mask(plan, window, q.device),
            scale=scale,
            enable_gqa=q.shape[1] > 1,
        )
        return out[0].unflatten(0, q.shape[:2])
