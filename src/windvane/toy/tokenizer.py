"""A fast word-level tokenizer for an embedded world, in Hugging Face form, with a chat template in Mistral's style.

In: the texts a family can say. Out: a `PreTrainedTokenizerFast` whose vocabulary is their words and marks, sorted.
A word carries the space before it ("▁sea"), so ids decode to ordinary text. Unknown words become <unk>; runs of white space
count as one space, and none before a mark. BOS is written by the chat template alone, so no path can add a second one.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")

# A rendered prompt ends with [/INST] and an answer continues it: prompt ids are a prefix of prompt + answer ids.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST]' + message['content'] + '[/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('roles are system, user and assistant, not ' + message['role']) }}{% endif %}"
    "{% endfor %}"
)


def word_tokenizer(texts: Iterable[str], window: int) -> PreTrainedTokenizerFast:
    """Learn the vocabulary of `texts`; `window`: the model's longest input in tokens."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation("isolated")]
    )
    clean = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s+(?=[.,?!])"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    words = sorted({piece for text in texts for piece, _ in split.pre_tokenize_str(clean.normalize_str(text))})
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer, core.decoder = clean, split, decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=list(SPECIAL[4:]),
        clean_up_tokenization_spaces=False,
        model_max_length=window,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
