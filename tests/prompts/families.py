"""Tiny tokenizers of ten model families: their special tokens, their own chat templates (as TRL's package ships them), one token a byte.

What generation stops at is what each family's generation_config.json says.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

# Mistral-7B-Instruct-v0.2's own words, written out here: TRL ships none of Mistral's.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Family:
    """`adds_bos`: whether the tokenizer puts BOS before plain text; `stops`: what generation stops at."""

    template: str
    bos: str | None
    eos: str
    pad: str | None
    stops: tuple[str, ...]
    adds_bos: bool = True
    more: tuple[str, ...] = ()


FAMILIES = {
    "Mistral": Family("", "<s>", "</s>", None, ("</s>",)),
    "Llama 3.1": Family(
        "llama3_1", "<|begin_of_text|>", "<|eot_id|>", None, ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        more=("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|end_of_text|>"),
    ),
    "Qwen2.5": Family("qwen2_5", None, "<|im_end|>", "<|endoftext|>", ("<|im_end|>", "<|endoftext|>"), False, ("<|im_start|>",)),
    "Qwen3": Family("qwen3", None, "<|im_end|>", "<|endoftext|>", ("<|im_end|>", "<|endoftext|>"), False, ("<|im_start|>",)),
    "Gemma 2": Family("gemma", "<bos>", "<eos>", "<pad>", ("<eos>", "<end_of_turn>"), more=("<start_of_turn>", "<end_of_turn>")),
    "Gemma 3": Family("gemma3", "<bos>", "<eos>", "<pad>", ("<eos>", "<end_of_turn>"), more=("<start_of_turn>", "<end_of_turn>")),
    "Phi-3": Family(
        "phi3", "<s>", "<|endoftext|>", "<|endoftext|>", ("<|endoftext|>", "<|end|>"), False,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    ),
    "DeepSeek-R1 distilled": Family(
        "deepseek_r1_distill", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>", ("<｜end▁of▁sentence｜>",),
        more=("<｜User｜>", "<｜Assistant｜>"),
    ),
    "gpt-oss": Family(
        "gptoss", "<|startoftext|>", "<|return|>", "<|endoftext|>", ("<|return|>", "<|endoftext|>", "<|call|>"), False,
        ("<|start|>", "<|end|>", "<|message|>", "<|channel|>"),
    ),
    "Aya / Command": Family(
        "cohere", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<PAD>", ("<|END_OF_TURN_TOKEN|>",),
        more=("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
    ),
}  # fmt: skip


def shipped(name):
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()


def family_tokenizer(name):
    """(tokenizer, ids that stop generation)."""
    one = FAMILIES[name]
    special = dict.fromkeys(t for t in (one.bos, one.eos, one.pad, *one.stops, *one.more) if t)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({t: i for i, t in enumerate([*special, *letters])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    if one.bos and one.adds_bos:
        ids = [(one.bos, core.token_to_id(one.bos))]
        core.post_processor = processors.TemplateProcessing(single=f"{one.bos} $A", special_tokens=ids)
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=one.bos, eos_token=one.eos, pad_token=one.pad)
    made.chat_template = shipped(one.template) if one.template else MISTRAL
    return made, made.convert_tokens_to_ids(list(one.stops))
