"""float32 linear layers on the CPU through oneDNN instead of MKL, for inference.

In: a model. Out: the same numbers (to rounding) for less time: measured on an AMD EPYC with AVX-512 and torch 2.13, one thread, 1.7 to 2.3
times faster from five rows of a large layer up to a whole prompt; MKL keeps to AVX2 on such a machine (benchmarks/generate.py shows the
effect as a whole). Small products stay with MKL, where the call itself costs more than it saves. Elsewhere (other device, other
precision, a build without oneDNN) nothing changes. No gradient passes: inside `torch.no_grad` only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

WORTH = 2**21  # multiply-adds below which MKL is as quick


def linear(module: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """What `module` computes: [..., in] -> [..., out]."""
    weight = module.weight
    if x.dtype != torch.float32 or not x.is_cpu or (x.numel() // x.shape[-1]) * weight.numel() < WORTH:
        return nn.functional.linear(x, weight, module.bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, module.bias, "none", [], "")


class FastLinears:
    """The linear layers of `model` that may go through oneDNN; `with fast.on(rows):` they do."""

    def __init__(self, model: Any) -> None:
        there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        self.modules = [m for m in model.modules() if there and self._fits(m)]

    @staticmethod
    def _fits(module: nn.Module) -> bool:
        plain = type(module) is nn.Linear and "forward" not in vars(module)
        return plain and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32

    @contextlib.contextmanager
    def on(self, rows: int) -> Iterator[None]:
        """While this lasts, the layers that gain by it at `rows` rows (of tokens) go through oneDNN."""
        assert not torch.is_grad_enabled(), "oneDNN's linear has no gradient"
        gaining = [m for m in self.modules if rows * m.weight.numel() >= WORTH]
        for module in gaining:
            vars(module)["forward"] = functools.partial(linear, module)
        try:
            yield
        finally:
            for module in gaining:
                del vars(module)["forward"]
