"""LoRA (arXiv 2106.09685) by PEFT: a new adapter on a model, an existing one to go on with, and merging.

In: a causal language model. Out: a `PeftModel` whose adapter alone is trainable, or the plain model with the adapter merged in. The
adapter starts as the identity (B = 0), so the adapted model equals its base at step 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import load_peft_weights
from torch import nn

from windvane.core.errors import UserError


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
        resized = _resize(model, folder)
        if isinstance(model, PeftModel):
            adapted = model
            adapted.load_adapter(str(folder), adapter_name=name, is_trainable=trainable)
        else:
            adapted = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
        stored = set(load_peft_weights(str(folder), device="cpu"))
    except UserError:
        raise
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"adapter {folder}: does not fit its base ({first[:200]}); check base_model_name_or_path"
        ) from None
    own = set(get_peft_model_state_dict(adapted, save_embedding_layers=False, adapter_name=name))
    beside = {f"base_model.model.{name}{end}" for name in _embeddings(adapted.get_base_model()) for end in EMBEDDINGS}
    odd = sorted((stored ^ own) - (beside & stored))
    if odd:  # PEFT leaves out in silence what has no place
        raise UserError(f"adapter {folder}: does not fit its base ({odd[0]}); check base_model_name_or_path")
    cast(Any, adapted).resized = resized or getattr(adapted, "resized", False)  # then its embeddings are saved with it
    return adapted.eval()


# whole embedding layers, which PEFT stores beside an adapter on them, or where the vocabulary grew, under up to three names
EMBEDDINGS = (".weight", ".base_layer.weight", ".modules_to_save.weight", ".original_module.weight")


def _embeddings(core: Any) -> list[str]:
    """Names of the input and the output embeddings."""
    names = {id(m): n for n, m in core.named_modules(remove_duplicate=False)}
    return [names[id(m)] for m in (core.get_input_embeddings(), core.get_output_embeddings()) if m is not None]


def _resize(model: Any, folder: str | Path) -> bool:
    """Give the base as many tokens as the adapter's own embeddings have (tokens that were added for it: <|im_start|>, say)."""
    core: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    there = core.get_input_embeddings().weight.shape[0]
    weights = load_peft_weights(str(folder), device="cpu")
    ends = [tuple(f"base_model.model.{name}{end}" for end in EMBEDDINGS) for name in _embeddings(core)]
    sizes = [next((t.shape[0] for key, t in weights.items() if key in end), None) for end in ends]
    wanted = next((s for s in sizes if s is not None), there)
    if wanted == there:
        return False
    tied = (
        core.get_output_embeddings() is None
        or core.get_output_embeddings().weight is core.get_input_embeddings().weight
    )
    if any(s != wanted for s in sizes) and not (tied and sizes[0] == wanted):
        raise UserError(
            f"adapter {folder}: its embeddings have {wanted} tokens and its base {there}, and it does not hold both its embeddings and its "
            "head; save it with modules_to_save embed_tokens and lm_head"
        )
    core.resize_token_embeddings(wanted, mean_resizing=False)
    return True


def merge(model: Any) -> Any:
    """The plain model with the adapter added into its weights; a model without adapter is returned as it is."""
    if not isinstance(model, PeftModel):
        return model
    _untie(model.get_base_model())
    return model.merge_and_unload()


def _untie(core: Any) -> None:
    """Of tied embeddings where the adapter is on one side alone, what is added to it must not reach the other."""
    sides = [m for m in (core.get_input_embeddings(), core.get_output_embeddings()) if m is not None]
    bases = [getattr(m, "base_layer", m) for m in sides]
    if len(sides) == 2 and any(isinstance(m, LoraLayer) for m in sides) and bases[0].weight is bases[1].weight:
        bases[1].weight = nn.Parameter(bases[1].weight.detach().clone())
        core.config.get_text_config(decoder=True).tie_word_embeddings = False
