"""MLPs that take less memory: SwiGLU ones keep two wide tensors for the backward instead of four, and very long rows go in tiles.

In: a transformers decoder whose MLPs compute down(silu(gate(x)) * up(x)). Out: while `lean_mlps` lasts they do so with a function
that saves gate(x) and up(x) alone and computes silu and the product again in the backward: element-wise work, about a quarter of a
layer's saved activations less. Layers under gradient checkpointing save nothing and are left alone; so is every other MLP.

Under gradient checkpointing a layer that is computed again holds its MLP's wide tensors for all tokens at once: of 128K tokens of
Mistral-7B 3.5 GiB each in bfloat16. `tile_mlps` gives rows longer than a tile to the MLP a tile at a time, each computed again in its own
backward (as ALST's TiledMLP, arXiv 2506.13996); without gradients tiles just follow each other. Any MLP will do: tokens do not meet in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu
from torch.utils.checkpoint import checkpoint

TILE = 16_384  # tokens: a tile's GEMMs are as fast as the whole row's, its wide tensors half a GiB of Mistral-7B's


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


def tile_mlps(decoder: Any) -> None:
    """Once a decoder, and for good: what is computed again in the backward must be what was computed before. Shorter rows, and layers
    that keep everything for the backward, are as ever."""
    for layer in decoder.layers:
        mlp = getattr(layer, "mlp", None)
        if isinstance(mlp, nn.Module) and getattr(vars(mlp).get("forward"), "func", None) is not _tiled:
            vars(mlp)["forward"] = partial(_tiled, layer, mlp.forward)


def _tiled(layer: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`forward` of x [1, tokens, hidden]."""
    graded = torch.is_grad_enabled()
    if x.shape[-2] <= TILE or (graded and not layer.gradient_checkpointing):
        return forward(x)
    parts = x.split(TILE, -2)
    if not graded:
        return torch.cat([forward(part) for part in parts], -2)
    return torch.cat([checkpoint(forward, part, use_reentrant=False) for part in parts], -2)
