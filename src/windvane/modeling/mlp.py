"""SwiGLU MLPs that keep two wide tensors for the backward instead of four.

In: a transformers decoder whose MLPs compute down(silu(gate(x)) * up(x)). Out: while the `with` lasts they do so with a function
that saves gate(x) and up(x) alone and computes silu and the product again in the backward: element-wise work, about a quarter of a
layer's saved activations less. Layers under gradient checkpointing save nothing and are left alone; so is every other MLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu


class _SwiGLUDown(torch.autograd.Function):
    """gate, up [..., I], weight [H, I] -> (silu(gate) * up) @ weight.T."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        return silu(gate).mul_(up) @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, weight = ctx.saved_tensors
        wide = grad @ weight
        act = silu(gate)
        d_up = wide * act
        d_weight = None
        if ctx.needs_input_grad[2]:
            d_weight = grad.flatten(0, -2).T @ act.mul_(up).flatten(0, -2)
        del act
        return torch.ops.aten.silu_backward(wide.mul_(up), gate), d_up, d_weight


class _LeanMLP(nn.Module):
    """Stands in for `mlp` during one forward; it owns no parameters (the tuple hides them from torch)."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.held = (mlp,)

    def forward(self, x: Tensor) -> Tensor:
        mlp = self.held[0]
        gate, up, weight = mlp.gate_proj(x), mlp.up_proj(x), mlp.down_proj.weight
        with torch.autocast(x.device.type, enabled=False):
            return _SwiGLUDown.apply(gate, up, weight.to(gate.dtype))


def _fits(layer: Any) -> bool:
    mlp = layer.mlp
    if layer.gradient_checkpointing or not all(
        hasattr(mlp, n) for n in ("gate_proj", "up_proj", "down_proj", "act_fn")
    ):
        return False
    down = mlp.down_proj
    plain = type(down) is nn.Linear and down.bias is None and not (down._forward_hooks or down._forward_pre_hooks)
    hooked = mlp._forward_hooks or mlp._forward_pre_hooks
    return (
        plain
        and not hooked
        and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and not hasattr(mlp, "_hf_hook")
    )


@contextmanager
def lean_mlps(decoder: Any) -> Iterator[None]:
    """Swap the decoder's MLPs where they fit."""
    swapped = [(layer, layer.mlp) for layer in decoder.layers if torch.is_grad_enabled() and _fits(layer)]
    for layer, mlp in swapped:
        layer.mlp = _LeanMLP(mlp)
    try:
        yield
    finally:
        for layer, mlp in swapped:
            layer.mlp = mlp
