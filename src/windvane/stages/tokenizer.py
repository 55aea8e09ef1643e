"""A model's tokenizer, stop tokens and window without its weights.

In: a model's name as `load_model` takes it. Out: what rendering rows asks for; the same as with the weights in memory, from config.json
and generation_config.json alone.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from typing import Any

from windvane.models.load import below_adapters, load_tokenizer, locate


@cache
def own_tokenizer(model: str) -> tuple[Any, tuple[int, ...], int]:
    """(tokenizer, ids that stop generation, window in tokens)."""
    from transformers import AutoConfig, GenerationConfig

    tokenizer, where = (
        load_tokenizer(model),
        locate(below_adapters(model)),
    )  # an adapter may bring a tokenizer of its own
    stops: set[int] = set() if tokenizer.eos_token_id is None else {tokenizer.eos_token_id}
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False).get_text_config(decoder=True)
    except (OSError, ValueError):  # a tokenizer alone
        return tokenizer, tuple(sorted(stops)), sys.maxsize
    told = config.eos_token_id
    with suppress(OSError):  # no generation_config.json: what the config says stands
        generation = GenerationConfig.from_pretrained(where)
        told = generation.eos_token_id if generation.eos_token_id is not None else told
    stops |= {told} if isinstance(told, int) else set(told or ())
    return tokenizer, tuple(sorted(stops)), getattr(config, "max_position_embeddings", None) or sys.maxsize
