"""QLoRA's base (Dettmers et al., arXiv 2305.14314): the frozen weights of linear layers in 4-bit NormalFloat, by bitsandbytes.

In: the name of a format, the device. Out: what `from_pretrained` takes for it: NF4 with double quantization, computing in bfloat16, as in
the paper; embeddings, norms and the head keep their precision. CUDA alone: bitsandbytes' CPU kernels are a fall-back too slow to train by.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from windvane.core.errors import UserError


def refuse_quantized(name: str, device: torch.device) -> None:
    """`UserError` where this machine cannot hold weights so."""
    if device.type != "cuda":
        raise UserError(
            f"train.quantize {name}: needs CUDA, and this runs on {device.type}; leave it out: --train.lora-rank 16 "
            "--train.precision bfloat16 trains an adapter on bfloat16 weights"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"train.quantize {name}: needs bitsandbytes; pip install 'windvane[quantize]'")


def quantized(name: str, device: torch.device) -> dict[str, Any]:
    """Arguments of `from_pretrained`."""
    refuse_quantized(name, device)
    return arguments(device)


def arguments(device: torch.device) -> dict[str, Any]:
    """NF4, double quantization, bfloat16 arithmetic, all of it on one device."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}
