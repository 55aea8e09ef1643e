"""A model's reach over long inputs: its RoPE base raised, its window widened, its weights untouched.

In: a decoder and a base. Out: the same decoder with other rotary frequencies and a config that says so, so that what is saved loads
with plain transformers as it was trained. LongPO (arXiv 2502.13922) raises theta to 1e7 on the long side before anything is generated;
the short model keeps its own."""

from __future__ import annotations

from typing import Any

from windvane.core.errors import UserError
from windvane.engines.local import window
from windvane.models.generate.decode import plain_model


def rope_of(model: Any) -> dict[str, Any]:
    """The RoPE parameters that hold theta: those of the full-attention layers where a model has several kinds."""
    config = plain_model(model).config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if "rope_theta" not in rope:
        raise UserError(f"model: {type(plain_model(model)).__name__} has no RoPE base to raise; set --theta 0")
    return rope


def stretch(model: Any, theta: float, length: int) -> Any:
    """Raise `model`'s base to `theta` (0: leave it) and its window to `length` tokens, in place; doing it twice changes nothing."""
    plain = plain_model(model)
    config = plain.config.get_text_config(decoder=True)
    if theta:
        rope = rope_of(model)
        if theta < rope["rope_theta"]:
            raise UserError(
                f"theta: {theta:g} is below the model's own {rope['rope_theta']:g}; raise it, or set --theta 0"
            )
        rope["rope_theta"] = float(theta)
    limit = window(model)
    if limit is not None and limit < length:
        config.max_position_embeddings = length
    rotary = [(name, m) for name, m in plain.named_modules() if type(m).__name__.endswith("RotaryEmbedding")]
    for name, module in rotary:
        device = next((b.device for b in module.buffers()), plain.device)
        plain.set_submodule(name, type(module)(config=config).to(device))
    return model
