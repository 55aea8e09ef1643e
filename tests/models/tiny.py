"""Tiny random models of each listed architecture, weights scaled up so that attention matters, and ways to compare gradients."""

import torch
import transformers as hf

SHAPE = {
    "vocab_size": 97, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 8192, "head_dim": 16, "attention_dropout": 0.0,
}  # fmt: skip
GEMMA = {"sliding_window": 9, "query_pre_attn_scalar": 16}
MODELS = {
    "mistral": (hf.MistralConfig, hf.MistralForCausalLM, {"sliding_window": None}),
    "mistral-window": (hf.MistralConfig, hf.MistralForCausalLM, {"sliding_window": 9}),
    "mistral-wide-window": (hf.MistralConfig, hf.MistralForCausalLM, {"sliding_window": 600}),
    "ministral": (hf.MinistralConfig, hf.MinistralForCausalLM, {"sliding_window": 9}),
    "llama-mha": (hf.LlamaConfig, hf.LlamaForCausalLM, {"num_key_value_heads": 4}),
    "llama-tied": (hf.LlamaConfig, hf.LlamaForCausalLM, {"tie_word_embeddings": True, "attention_bias": True}),
    "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, {}),
    "qwen3-window": (hf.Qwen3Config, hf.Qwen3ForCausalLM, {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}),
    "smollm3": (hf.SmolLM3Config, hf.SmolLM3ForCausalLM,
                {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "no_rope_layer_interval": 3}),
    "gemma": (hf.GemmaConfig, hf.GemmaForCausalLM, {}),
    "gemma2": (hf.Gemma2Config, hf.Gemma2ForCausalLM, GEMMA | {"attn_implementation": "eager"}),
    "gemma3": (hf.Gemma3TextConfig, hf.Gemma3ForCausalLM, GEMMA | {"final_logit_softcapping": 5.0}),
}  # fmt: skip

TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MORE = {  # trees, but with the last layer's whole work
    "phi3": (hf.Phi3Config, hf.Phi3ForCausalLM, TOKENS),
    "olmo2": (hf.Olmo2Config, hf.Olmo2ForCausalLM, TOKENS),
    "olmo3-window": (hf.Olmo3Config, hf.Olmo3ForCausalLM, TOKENS | {"sliding_window": 9}),
    "glm4": (hf.Glm4Config, hf.Glm4ForCausalLM, TOKENS),
}


def model(name, scale=6.0, **changes):
    config, cls, kwargs = (MODELS | MORE)[name]
    torch.manual_seed(0)
    made = cls(config(**(SHAPE | kwargs | changes)))
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            if "proj" in key:
                parameter.mul_(scale)
    return made.train()


def tokens(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda n: torch.randint(3, 97, (n,), generator=generator).tolist()


def flat(values):
    return torch.cat([v for tree in values for v in tree if v is not None])


def gradients(made, values):
    """Gradients of a loss in which every token has a weight of its own."""
    made.zero_grad()
    sum((v * torch.linspace(0.5, 1.5, len(v))).sum() for tree in values for v in tree if v is not None).backward()
    return {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}


def gap(mine, theirs):
    """L2 of the difference over L2."""
    return ((mine - theirs).norm() / theirs.norm()).item()


def worst(mine, theirs):
    """The largest gap of any parameter's gradient. One that is zero (of queries that see one key) is zero but for rounding."""
    assert mine.keys() == theirs.keys()
    whole = torch.stack([g.norm() for g in theirs.values()]).norm()
    zero = [n for n, g in theirs.items() if not g.any()]
    assert all(mine[n].norm() < 1e-7 * whole for n in zero)
    return max(gap(mine[n], g) for n, g in theirs.items() if n not in zero)
