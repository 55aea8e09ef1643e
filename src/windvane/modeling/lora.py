"""LoRA (arXiv 2106.09685) by PEFT: a new adapter on a model, an existing one to go on with, and merging.

In: a causal language model. Out: a `PeftModel` whose adapter alone is trainable, or the plain model with the adapter merged in. The
adapter starts as the identity (B = 0), so the adapted model equals its base at step 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils import load_peft_weights
from torch import nn

from windvane.errors import UserError


def add_lora(
    model: Any,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "all-linear",
    seed: int = 0,
) -> PeftModel:
    """A fresh adapter: W + (alpha/rank) B A on the `targets` (module names, or "all-linear" for all but the head).

    `seed` draws A; the global random state is left as it was. Errors: `UserError` where a target names no linear module.
    """
    if isinstance(model, PeftModel):
        raise UserError("lora: the model holds an adapter already; train that one on, or merge it first")
    if rank < 1 or not 0 <= dropout < 1 or alpha <= 0:
        raise UserError(
            f"lora: rank {rank}, alpha {alpha}, dropout {dropout}: take rank >= 1, alpha > 0, 0 <= dropout < 1"
        )
    names = targets if isinstance(targets, str) else list(targets)
    if names != "all-linear":
        names = [names] if isinstance(names, str) else names
        there = sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)})
        unknown = [n for n in names if not any(m == n or m.endswith(f".{n}") for m, _ in model.named_modules())]
        if unknown:
            raise UserError(f"lora: no module is named {unknown[0]}; this model has {', '.join(there)}")
    config = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def load_adapter(model: Any, folder: str | Path, trainable: bool = False, name: str = "default") -> PeftModel:
    """The adapter in `folder` (or of a hub id) on its base `model`; `trainable` to go on training it. A `PeftModel` gets it beside those
    that it has, under `name`, which `set_adapter` switches to; the active one stays."""
    try:
        if isinstance(model, PeftModel):
            adapted = model
            adapted.load_adapter(str(folder), adapter_name=name, is_trainable=trainable)
        else:
            adapted = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
        stored = set(load_peft_weights(str(folder), device="cpu"))
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"adapter {folder}: does not fit its base ({first[:200]}); check base_model_name_or_path"
        ) from None
    odd = sorted(stored ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False, adapter_name=name)))
    if odd:  # PEFT leaves out in silence what has no place
        raise UserError(f"adapter {folder}: does not fit its base ({odd[0]}); check base_model_name_or_path")
    return adapted.eval()


def merge(model: Any) -> Any:
    """The plain model with the adapter added into its weights; a model without adapter is returned as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model
