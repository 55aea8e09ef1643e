"""Which models can be computed as trees: a literal list of layer types, each held to the rows by a test; anything else has its reason.

In: a model. Out: None, or one line that says why its rows are computed one by one instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LAYERS = (
    "GemmaDecoderLayer",
    "Gemma2DecoderLayer",
    "Gemma3DecoderLayer",
    "Glm4DecoderLayer",
    "LlamaDecoderLayer",
    "MinistralDecoderLayer",
    "MistralDecoderLayer",
    "Olmo2DecoderLayer",
    "Olmo3DecoderLayer",
    "Phi3DecoderLayer",
    "Qwen2DecoderLayer",
    "Qwen3DecoderLayer",
    "SmolLM3DecoderLayer",
)
ROPE = ("default", "linear", "llama3", "yarn")  # the others' angles depend on the row's length ("dynamic", "longrope")
ATTENTION = ("full_attention", "sliding_attention")


def base_of(model: nn.Module) -> Any:
    """The transformers model inside PEFT's wrapper (its LoRA layers stay in place), or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()


def unsupported(model: nn.Module) -> str | None:
    """Why trees would not be exact (or not known to be) for this model, in one line; None if they are."""
    peft: Any = getattr(model, "active_peft_config", None)
    if peft is not None and peft.is_prompt_learning:
        return f"{peft.peft_type.value} adds virtual tokens"
    base = base_of(model)
    name, config = type(base).__name__, base.config
    layers = getattr(getattr(base, "model", None), "layers", None)
    if (
        not name.endswith("ForCausalLM")
        or not isinstance(layers, nn.ModuleList)
        or base.get_output_embeddings() is None
    ):
        return f"{name} is not a plain decoder with layers and a head"
    unknown = sorted({type(layer).__name__ for layer in layers} - set(LAYERS))
    if unknown:
        return f"{unknown[0]} is not on the list of tree layers"
    for kind in getattr(config, "layer_types", None) or ():
        if kind not in ATTENTION:
            return f"a layer of type {kind} mixes tokens along the row"
    for rope in _ropes(config):
        if rope not in ROPE:
            return f"RoPE of type {rope} depends on the row's length"
    if getattr(config, "use_bidirectional_attention", False):
        return "its attention is not causal"
    if getattr(config, "attention_dropout", 0.0):
        return f"attention_dropout is {config.attention_dropout}, set it to 0"
    if config._attn_implementation.split("_")[-1] == "paged":
        return "paged attention has a cache of its own"
    return None


def _ropes(config: Any) -> list[str]:
    """The RoPE types in a configuration: one, or one per layer type."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    tables = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return [kind for table in tables if (kind := table.get("rope_type", table.get("type")))]


def cap_logits(logits: torch.Tensor, config: Any) -> torch.Tensor:
    """What a listed model does to its logits [..., V] after the head: Gemma's soft-capping, else nothing."""
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else (logits / cap).tanh() * cap
