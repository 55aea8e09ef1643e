"""The last decoder layer for the tokens whose output is read, and no others.

In: a transformers decoder whose layer type is listed below. Out: while the `with` lasts, its last layer computes keys and values
for every token, but queries, MLP and residual only for the kept ones; the decoder's final norm then sees those alone. What a
trunk's tokens would have given there is read by nobody. An attention function cannot reach this, hence a literal table of layers;
others keep the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from windvane.models.trees.attention import attend
from windvane.models.trees.packing import Plan

# layer -> (norm after attention, before the residual; norm before the MLP; norm after it)
NORMS: dict[str, tuple[str | None, str, str | None]] = {
    "GemmaDecoderLayer": (None, "post_attention_layernorm", None),
    "Gemma2DecoderLayer": ("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    "Gemma3DecoderLayer": ("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    "LlamaDecoderLayer": (None, "post_attention_layernorm", None),
    "MinistralDecoderLayer": (None, "post_attention_layernorm", None),
    "MistralDecoderLayer": (None, "post_attention_layernorm", None),
    "Qwen2DecoderLayer": (None, "post_attention_layernorm", None),
    "Qwen3DecoderLayer": (None, "post_attention_layernorm", None),
    "SmolLM3DecoderLayer": (None, "post_attention_layernorm", None),
}
WORTH = 0.9  # where more of the row than this is read, there is nothing to gain


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [1, heads, tokens, D] by cos and sin [1, tokens, D] (half-split layout, as in the listed models)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos[:, None] + turned * sin[:, None]


class _KeptLayer(GradientCheckpointingLayer):
    """Stands in for `layer` during one forward; it owns no parameters (the tuple hides them from torch)."""

    def __init__(self, layer: Any, plan: Plan) -> None:
        super().__init__()
        self.held = (layer,)
        self.plan = plan
        self.training = layer.training
        self.gradient_checkpointing = layer.gradient_checkpointing
        if self.gradient_checkpointing:
            self._gradient_checkpointing_func = layer._gradient_checkpointing_func

    def _kept(self, x: Tensor) -> Tensor:
        assert self.plan.runs is not None
        return torch.cat([x[:, a:b] for a, b in self.plan.runs], 1)

    def forward(self, hidden_states: Tensor, position_embeddings: tuple[Tensor, Tensor], **kwargs: Any) -> Tensor:
        layer = self.held[0]
        attention = layer.self_attn
        after_attention, before_mlp, after_mlp = NORMS[type(layer).__name__]
        x = layer.input_layernorm(hidden_states)
        shape = (1, -1, attention.head_dim)
        q, k, v = (
            project(states).view(*states.shape[:2], *shape[1:]).transpose(1, 2)
            for project, states in (
                (attention.q_proj, self._kept(x)),
                (attention.k_proj, x),
                (attention.v_proj, x),
            )
        )
        if hasattr(attention, "q_norm"):
            q, k = attention.q_norm(q), attention.k_norm(k)
        if getattr(attention, "use_rope", True):
            cos, sin = position_embeddings
            q, k = rotate(q, self._kept(cos), self._kept(sin)), rotate(k, cos, sin)
        window = attention.sliding_window if hasattr(attention, "sliding_window") else _config_window(attention)
        out = attend(
            q, k, v, self.plan, attention.scaling, window, softcap=getattr(attention, "attn_logit_softcapping", None)
        )
        out = attention.o_proj(out.flatten(2))
        if after_attention is not None:
            out = getattr(layer, after_attention)(out)
        states = self._kept(hidden_states) + out
        out = layer.mlp(getattr(layer, before_mlp)(states))
        if after_mlp is not None:
            out = getattr(layer, after_mlp)(out)
        return states + out


def _config_window(attention: Any) -> int | None:
    """Mistral's attention reads its window from the configuration; Llama's has none whatever a configuration says."""
    return getattr(attention.config, "sliding_window", None) if "Mistral" in type(attention).__name__ else None


def _plain(layer: Any) -> bool:
    """A listed layer around its own attention, and nobody listening to either: the stand-in calls neither."""
    name = type(layer).__name__
    if name not in NORMS or type(layer.self_attn).__name__ != name.replace("DecoderLayer", "Attention"):
        return False
    return not any(hasattr(m, "_hf_hook") or m._forward_hooks or m._forward_pre_hooks for m in (layer, layer.self_attn))


@contextmanager
def keeping(decoder: Any, plan: Plan, runs: list[tuple[int, int]]) -> Iterator[bool]:
    """Let `decoder` return [1, R, hidden] for the R tokens of `runs`; yields whether it does (else all S, as always)."""
    layer = decoder.layers[-1]
    kept = plan.kept(runs)
    if not _plain(layer) or not 0 < kept.queries < WORTH * plan.size:
        yield False
        return
    decoder.layers[-1] = _KeptLayer(layer, kept)
    try:
        yield True
    finally:
        decoder.layers[-1] = layer
