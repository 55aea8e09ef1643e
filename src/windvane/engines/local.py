"""A model in this process as a `Generator`: K sampled answers a prompt, one prefill a prompt.

In: prompts whose `token_ids` were rendered by prompts/chat.py. Out: Responses with the ids that were sampled (closing stop token
included), their summed log-probability at temperature 1 and their text without special tokens. An answer's seed comes from (seed, prompt
id, index) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response, seed_of
from windvane.models.generate.decode import Decoder, PlainDecoder, choose_decoder, plain_model
from windvane.models.generate.sampling import Sampled, sample
from windvane.models.load import load_model, load_tokenizer

TRUNK_TOKENS = 65_536  # padded prompt tokens that decode side by side
ROW_LOGITS = 2**25  # rows x vocabulary in one step (128 MiB of float32)


@dataclass(frozen=True, slots=True)
class Sampling:
    """`k` answers a prompt; `temperature` 0 is greedy; `top_p` 1 is the whole vocabulary. Defaults: SPPO's generation."""

    k: int = 5
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 2048

    def __post_init__(self) -> None:
        if self.k < 1 or self.max_new_tokens < 1:
            raise UserError(f"sampling: k {self.k}, max_new_tokens {self.max_new_tokens}: both must be at least 1")
        if self.k > 4096:
            raise UserError(f"sampling: k {self.k}; 4096 answers a prompt at most")
        if not (self.temperature == 0 or 1e-3 <= self.temperature <= 1e3) or not 0 < self.top_p <= 1:
            raise UserError(
                f"sampling: temperature {self.temperature}, top_p {self.top_p}: take 0 (greedy) or 0.001 to 1000, and 0 < top_p <= 1"
            )


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every id that ends an answer: the generation config's (a number or a list), else the config's, and the tokenizer's own."""
    model = plain_model(model)
    generation = getattr(model, "generation_config", None)
    told = getattr(generation, "eos_token_id", None)
    if told is None:
        told = model.config.get_text_config(decoder=True).eos_token_id
    found = {told} if isinstance(told, int) else set(told or ())
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    return sorted(found)


def window(model: Any) -> int | None:
    """Tokens that the model was made for, prompt and answer together; None where its config names no limit."""
    return getattr(plain_model(model).config.get_text_config(decoder=True), "max_position_embeddings", None)


def rope_switch(model: Any) -> int | None:
    """Length beyond which all positions are embedded otherwise (LongRoPE, as in Phi-3 128K); None where there is no such length."""
    config = plain_model(model).config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return None
    return rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)


class LocalGenerator:
    """`model` may be a `PeftModel`; it is used in evaluation mode and left as it was."""

    def __init__(self, model: Any, tokenizer: Any, sampling: Sampling) -> None:
        self.model, self.tokenizer, self.sampling = model, tokenizer, sampling
        self.stops, self.switch = stop_ids(model, tokenizer), rope_switch(model)
        self._decoder: Decoder | None = None

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        """For each prompt its answers at `indices`. `UserError` where a prompt leaves no room for `max_new_tokens`."""
        self._refuse(prompts)
        if not prompts or not indices:
            return [[] for _ in prompts]
        was_training = self.model.training
        self.model.eval()
        try:
            if self._decoder is None:
                self._decoder = choose_decoder(self.model)
            found: dict[int, list[Response]] = {}
            for group in self._groups(prompts, len(indices)):
                for i, sampled in zip(group, self._sample([prompts[i] for i in group], indices, seed)):
                    found[i] = [self._response(prompts[i], index, s) for index, s in zip(indices, sampled)]
        finally:
            self.model.train(was_training)
        return [found[i] for i in range(len(prompts))]

    def _sample(self, prompts: list[Prompt], indices: Sequence[int], seed: int) -> list[list[Sampled]]:
        assert self._decoder is not None
        crossing = self._side(prompts[0]) == 1  # keys cached before the switch would be wrong after it
        decoder = PlainDecoder(self.model) if crossing else self._decoder
        s = self.sampling
        seeds = [[seed_of(seed, p.id, index) for index in indices] for p in prompts]
        ids = [p.token_ids for p in prompts]
        return sample(decoder, ids, seeds, self.stops, s.temperature, s.top_p, s.max_new_tokens)

    def _response(self, prompt: Prompt, index: int, sampled: Sampled) -> Response:
        said = sampled.token_ids[:-1] if sampled.stopped else sampled.token_ids
        text = self.tokenizer.decode(said, skip_special_tokens=True)
        finish = "stop" if sampled.stopped else "length"
        return Response(f"{prompt.id}-{index}", prompt.id, index, text, sampled.token_ids, finish, sampled.logps)

    def _groups(self, prompts: Sequence[Prompt], copies: int) -> list[list[int]]:
        """Indices of prompts that decode together: near in length, within the bounds of memory. A function of the input alone."""
        assert self._decoder is not None
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].token_ids), i))
        if not self._decoder.many:
            return [[i] for i in order]
        vocab = plain_model(self.model).config.get_text_config(decoder=True).vocab_size
        most = max(1, ROW_LOGITS // vocab // copies)
        groups: list[list[int]] = []
        for i in order:
            length = len(prompts[i].token_ids)
            if groups and self._side(prompts[i]) == self._side(prompts[groups[-1][0]]) != 1:
                shortest, size = len(prompts[groups[-1][0]].token_ids), len(groups[-1]) + 1
                if size <= most and size * length <= TRUNK_TOKENS and length <= 2 * shortest + 64:
                    groups[-1].append(i)
                    continue
            groups.append([i])
        return groups

    def _side(self, prompt: Prompt) -> int:
        """Before the switch of position embeddings (0), beyond it (2), or crossing it while the answer grows (1)."""
        length = len(prompt.token_ids)
        if self.switch is None or length + self.sampling.max_new_tokens <= self.switch:
            return 0
        return 2 if length > self.switch else 1

    def _refuse(self, prompts: Sequence[Prompt]) -> None:
        limit, rows = window(self.model), plain_model(self.model).get_input_embeddings().weight.shape[0]
        for prompt in prompts:
            assert prompt.token_ids, f"prompt {prompt.id}: not rendered yet"
            if max(prompt.token_ids) >= rows:
                raise UserError(
                    f"prompt {prompt.id}: the tokenizer gives id {max(prompt.token_ids)} and the vocabulary ends at {rows - 1}: they "
                    "do not belong together; give the folder of the model with its own tokenizer"
                )
            length, new = len(prompt.token_ids), self.sampling.max_new_tokens
            if limit is not None and length + new > limit:
                raise UserError(
                    f"prompt {prompt.id}: {length} tokens and max_new_tokens {new} exceed the model's window of {limit}; "
                    "shorten the prompt or lower max_new_tokens"
                )


def open_generator(spec: str, sampling: Sampling, device: str, dtype: str) -> LocalGenerator:
    """`local:MODEL`: a folder, a hub id, an adapter's folder or `toy:FAMILY`."""
    return LocalGenerator(load_model(spec, dtype, device), load_tokenizer(spec), sampling)
