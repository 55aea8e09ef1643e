"""Tiny random models in Hugging Face format, their weights scaled up so that a broken mask or a wrong token shows."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ '[SYS] ' + m['content'] + ' [/SYS] ' }}"
    "{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
FAMILIES = {
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 8}),
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: any text, 256 bytes and four special tokens, a chat template with a system role."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    vocab = {t: i for i, t in enumerate(special + alphabet)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    made.chat_template = TEMPLATE
    return made


def model(
    family: str = "mistral", seed: int = 0, vocab: int = 260, layers: int = 2, scale: float = 4.0, window: int = 4096
):
    """A 2-layer decoder with 4 heads on 2 key-value heads, hidden 32; projections scaled up by `scale`."""
    config_class, model_class, extra = FAMILIES[family]
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=vocab,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **extra,
    )
    made = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "proj" in name or "lm_head" in name:
                parameter.mul_(scale)
    return made


def folder(path: Path, family: str = "mistral", seed: int = 0, **options) -> Path:
    """The model and the byte tokenizer, saved."""
    model(family, seed, **options).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path
