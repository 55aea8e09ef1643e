"""Which backend computes the attention of trees, for a device, a dtype and a shape of heads.

On the CPU by a table: aten's flash operators for float32 and bfloat16 (measured against `Blocks` in benchmarks/trees.py), `Blocks` for
the rest; a choice by the clock could differ between two runs of one recipe, whose results must be identical there. On CUDA by
measurement, once a process for each dtype and shape of heads: every candidate computes one synthetic tree forward and backward,
those that fail or leave the others' result by more than the dtype's rounding are named in a warning and left out, the fastest stays.
WINDVANE_ATTENTION=flash|flex|blocks takes one without measuring.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from windvane.core.errors import UserError
from windvane.models.trees.flex import Flex
from windvane.models.trees.kernels import Blocks, FlashCpu, FlashCuda
from windvane.models.trees.merged_attention import Pieces
from windvane.models.trees.packing import Plan, pack
from windvane.models.trees.tree import Tree

Backend = Callable[[Tensor, Tensor, Tensor, Plan, float, int | None], Tensor]
VARIABLE = "WINDVANE_ATTENTION"
TRUNK, BRANCHES = 2048, (320, 192)  # of the tree that is measured
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # relative, output and gradients

_chosen: dict[tuple[object, ...], Backend] = {}


def candidates(q: Tensor, v: Tensor, softcap: float | None) -> dict[str, Backend]:
    """What could compute q [Hk, G, Q, D] and v [Hk, S, D] here, by name. The CPU's flash operators take float32 and bfloat16 at any head
    size; CUDA's bfloat16 and float16, head sizes that are multiples of 8 up to 256. FlexAttention has no backward on the CPU."""
    same, device, size = q.shape[-1] == v.shape[-1], q.device.type, q.shape[-1]
    found: dict[str, Backend] = {}
    if softcap is None and same and device == "cpu" and q.dtype in (torch.float32, torch.bfloat16):
        found["flash"] = Pieces(FlashCpu())
    halves = q.dtype in (torch.bfloat16, torch.float16)
    if softcap is None and same and device == "cuda" and halves and size % 8 == 0 and size <= 256:
        found["flash"] = Pieces(FlashCuda())
    if device == "cuda" and size >= 16 and q.dtype in ROUNDING:
        found["flex"] = Flex(softcap)
    found["blocks"] = Pieces(Blocks(softcap))
    return found


def backend(q: Tensor, v: Tensor, softcap: float | None) -> Backend:
    """The backend for these tensors: q [Hk, G, Q, D], v [Hk, S, D]. Raises `UserError` when WINDVANE_ATTENTION names none of them."""
    key = (q.device, q.dtype, q.shape[0], q.shape[1], q.shape[-1], v.shape[-1], softcap, os.environ.get(VARIABLE))
    if key not in _chosen:
        _chosen[key] = _choose(q, v, softcap)
    return _chosen[key]


def _choose(q: Tensor, v: Tensor, softcap: float | None) -> Backend:
    found, wanted = candidates(q, v, softcap), os.environ.get(VARIABLE)
    if wanted:
        if wanted not in found:
            raise UserError(f"{VARIABLE}={wanted}: on {q.device.type} in {q.dtype} there are: {', '.join(found)}")
        return found[wanted]
    if q.device.type != "cuda" or len(found) == 1:
        return next(iter(found.values()))
    seconds = measure(found, q, v)
    return found[min(seconds, key=lambda name: seconds[name])]


def measure(found: Mapping[str, Backend], q: Tensor, v: Tensor) -> dict[str, float]:
    """Seconds of one forward and backward of each of `found` that works, on trees with the heads of q [Hk, G, Q, D] and v [Hk, S, D]: the
    last of them is the plainest and judges the others."""
    generator = torch.Generator().manual_seed(0)
    plan = pack([Tree.of([1] * TRUNK, [[1] * n for n in BRANCHES])], q.device).plan
    shapes = [(*q.shape[:2], plan.size, q.shape[-1]), *((v.shape[0], plan.size, n) for n in (q.shape[-1], v.shape[-1]))]
    given = [torch.randn(s, generator=generator).to(q.device, q.dtype).requires_grad_() for s in shapes]

    def once(function: Backend) -> list[Tensor]:
        out = function(given[0], given[1], given[2], plan, q.shape[-1] ** -0.5, None)
        return [out.detach(), *torch.autograd.grad(out.float().square().sum(), given)]

    def wait() -> None:
        if q.device.type == "cuda":
            torch.cuda.synchronize(q.device)

    with torch.enable_grad():
        truth = once(list(found.values())[-1])
        seconds: dict[str, float] = {}
        for name, function in found.items():
            try:
                gap = max(float((a - b).float().norm() / b.float().norm()) for a, b in zip(once(function), truth))
            except Exception as error:  # whatever a kernel or its compiler throws here: said, and the others serve
                warnings.warn(f"attention: {name} does not work here ({type(error).__name__}: {error})", stacklevel=2)
                continue
            if not gap < ROUNDING.get(q.dtype, 1e-4):
                warnings.warn(f"attention: {name} is off by {gap:.1e} here and is not used", stacklevel=2)
                continue
            laps = []
            for _ in range(3):
                wait()
                start = time.perf_counter()
                once(function)
                wait()
                laps.append(time.perf_counter() - start)
            seconds[name] = sorted(laps)[1]
    return seconds
