"""What gradient checkpointing keeps of a layer, its input, waits in the CPU's memory until the backward asks for it.

In: a forward under gradient checkpointing. Out: the same numbers to the bit; of activations the device holds one layer's at a time. A copy
goes out as soon as a layer has read its input and comes back when that layer is computed again, each on the stream that computes,
through pinned memory: nothing to wait for or to lose, and no overlap (at 128K tokens of Mistral-7B a copy is 1 GiB in bfloat16, 2 in
float32, beside 2e14 operations of the layer's forward: some 50 ms beside half a second, by arithmetic). Without gradient checkpointing
there is nothing to gain: what layers keep inside is wanted at once. Unproven: on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

SMALLEST = 1 << 20  # numbers: what is smaller is not worth the trip

Kept = Tensor | tuple[torch.device, Tensor]


@contextmanager
def offloaded(enabled: bool = True) -> Iterator[None]:
    """Hidden states [1, tokens, hidden] that this forward keeps for its backward stay on the CPU meanwhile. Weights, logits and what
    layers under checkpointing make inside are left where they are."""
    if not enabled:
        yield
        return
    with torch.autograd.graph.saved_tensors_hooks(_out, _back):
        yield


def _away(tensor: Tensor) -> bool:
    """Whether the tensor is on a device whose memory is dear."""
    return tensor.device.type != "cpu"


def _out(tensor: Tensor) -> Kept:
    if tensor.ndim != 3 or tensor.numel() < SMALLEST or not tensor.is_floating_point() or not _away(tensor):
        return tensor
    kept = torch.empty(tensor.size(), dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return tensor.device, kept.copy_(tensor, non_blocking=True)


def _back(kept: Kept) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    device, tensor = kept
    return tensor.to(device, non_blocking=True)
