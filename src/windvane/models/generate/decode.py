"""Token-by-token decoding of K answers a prompt with one prefill a prompt.

In: prompts as token ids. Out: next-token logits, one row an answer: `start` gives those after each prompt [G, vocab], `step` those
after one more token a row [R, vocab]; `keep` lets finished rows go. Three ways, the first that passes a check against the plain forward:

1. `SharedDecoder`: the prompt's keys and values exist once for all its answers (decode_attention.py), prompts of different lengths
   side by side. For decoders whose layers go through transformers' AttentionInterface with full or sliding-window attention.
2. `CopyDecoder`: one prefill, its cache copied for each answer: for models with other state or their own attention.
3. `PlainDecoder`: the whole row through the model for each token: slow, right for anything that has logits.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from windvane.core.errors import UserError
from windvane.models.generate.decode_attention import NAME, Trunks
from windvane.models.generate.onednn import FastLinears

LAYER_TYPES = {"full_attention", "sliding_attention"}  # what decode_attention.py knows how to mask
PREFILL_TOKENS = 8192  # padded tokens of prompts in one prefill forward
log = logging.getLogger("windvane")


class Decoder(Protocol):
    """R rows, the answers of the prompts one after another. `many`: whether several prompts may start together."""

    many: bool

    def start(self, prompts: Sequence[Sequence[int]], copies: int) -> torch.Tensor:
        """Logits [prompts, V], float32, after each prompt's token ids; each goes on in `copies` rows."""

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        """Logits [R, V], float32, after one more token [R] of each row."""

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone: ascending indices [rows left]."""


def plain_model(model: Any) -> Any:
    """The transformers model itself: a PEFT wrapper's layers are inside it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextlib.contextmanager
def attention_by(config: Any, name: str) -> Iterator[None]:
    """The attention implementation set to `name` for a while (through the config, which the layers read at each call:
    `set_attn_implementation` walks all modules, too slow for each token)."""
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


class SharedDecoder:
    """Each prompt's keys and values once, for all of its answers. Errors: assertion where the model has layers of another type."""

    many = True

    def __init__(self, model: Any) -> None:
        self.model = plain_model(model)
        config = self.model.config.get_text_config(decoder=True)
        odd = set(getattr(config, "layer_types", None) or ()) - LAYER_TYPES
        assert not odd, f"layers of type {', '.join(sorted(odd))}"
        self.fast = FastLinears(self.model)
        self.keeps = "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def start(self, prompts: Sequence[Sequence[int]], copies: int) -> torch.Tensor:
        device = self.model.device
        rows = [torch.tensor(p, device=device) for p in prompts]
        parts: list[Any] = []
        logits = []
        for part in micro_batches([len(r) for r in rows], PREFILL_TOKENS):
            cache: Any = DynamicCache()  # without a config: sliding layers keep all, positions stay aligned
            ids = pad_sequence([rows[i] for i in part], batch_first=True)
            # Right padding needs no mask: causal queries never reach it, and its keys are cut or masked below.
            ends = torch.tensor([len(rows[i]) - 1 for i in part], device=device)
            kept, index = torch.unique(ends, return_inverse=True)
            extra = {"logits_to_keep": kept} if self.keeps else {}
            positions = torch.arange(ids.shape[1], device=device)[None]
            with self.fast.on(ids.numel()):
                out = self.model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, **extra)
            picked = out.logits[torch.arange(len(part), device=device), index if self.keeps else ends]
            logits.append(picked.float())
            parts.append(cache)
        longest = max(map(len, rows))
        layers = range(len(parts[0].layers))
        keys = [_stack([c.layers[i].keys for c in parts], longest) for i in layers]
        values = [_stack([c.layers[i].values for c in parts], longest) for i in layers]
        self.trunks = Trunks(keys, values, [len(r) for r in rows], copies)
        return torch.cat(logits)

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        trunks = self.trunks
        positions = (trunks.positions_R + trunks.step)[:, None]
        with attention_by(self.model.config, NAME), self.fast.on(len(tokens_R)):
            out = self.model(input_ids=tokens_R[:, None], position_ids=positions, use_cache=False, shared_trunks=trunks)
        trunks.advance()
        return out.logits[:, -1].float()

    def keep(self, rows: torch.Tensor) -> None:
        self.trunks.keep(rows)


class CopyDecoder:
    """One prompt at a time, its cache copied for each answer. Errors: assertion where the model keeps no cache."""

    many = False

    def __init__(self, model: Any) -> None:
        self.model = plain_model(model)

    def start(self, prompts: Sequence[Sequence[int]], copies: int) -> torch.Tensor:
        assert len(prompts) == 1
        ids = torch.tensor(prompts, device=self.model.device)
        out = self.model(input_ids=ids, use_cache=True)
        self.cache = out.past_key_values
        assert self.cache is not None, "the model keeps no cache"
        self.cache.reorder_cache(torch.zeros(copies, dtype=torch.long, device=ids.device))
        self.length = ids.shape[1]
        return out.logits[:, -1].float()

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        positions = torch.full_like(tokens_R, self.length)[:, None]
        out = self.model(
            input_ids=tokens_R[:, None], position_ids=positions, past_key_values=self.cache, use_cache=True
        )
        self.cache = out.past_key_values
        self.length += 1
        return out.logits[:, -1].float()

    def keep(self, rows: torch.Tensor) -> None:
        self.cache.reorder_cache(rows)


class PlainDecoder:
    """One prompt at a time, every row computed anew at each step: for a model without a cache."""

    many = False

    def __init__(self, model: Any) -> None:
        self.model = plain_model(model)

    def start(self, prompts: Sequence[Sequence[int]], copies: int) -> torch.Tensor:
        assert len(prompts) == 1
        self.ids = torch.tensor(prompts, device=self.model.device).repeat(copies, 1)
        return self.model(input_ids=self.ids[:1], use_cache=False).logits[:, -1].float()

    def step(self, tokens_R: torch.Tensor) -> torch.Tensor:
        self.ids = torch.cat((self.ids, tokens_R[:, None]), 1)
        return self.model(input_ids=self.ids, use_cache=False).logits[:, -1].float()

    def keep(self, rows: torch.Tensor) -> None:
        self.ids = self.ids[rows]


WAYS = (
    (SharedDecoder, "one prefill a prompt, shared by its answers"),
    (CopyDecoder, "one prefill a prompt, its cache copied for each answer"),
    (PlainDecoder, "no cache: every token reruns its whole row"),
)


@torch.no_grad()
def choose_decoder(model: Any) -> Decoder:
    """The fastest way whose logits equal the plain forward's on a small probe; one logged line where it is not the first."""
    why = last = ""
    for kind, text in WAYS:
        try:
            decoder: Decoder = kind(model)
            gap, allowed = probe(decoder, model)
        except Exception as error:  # whatever a stranger's model raises means: not this way
            reason = str(error).strip().splitlines() or [type(error).__name__]
            last = reason[0][:160]
            why = why or last
            continue
        if gap <= allowed:
            if why:
                log.warning("decoding of %s: %s (%s)", type(plain_model(model)).__name__, text, why)
            return decoder
        last = f"its logits were {gap:.1e} of their size away from the plain forward's"
        if not math.isfinite(gap):
            last = "its logits are not finite: its weights hold NaN or infinity; fetch or train them again"
        why = why or last
    raise UserError(f"model: {type(plain_model(model)).__name__} cannot be decoded: {last}")


def probe(decoder: Decoder, model: Any) -> tuple[float, float]:
    """Largest logit difference from the plain forward, as a fraction of the largest logit, and what is allowed.

    Two prompts of unequal length, two answers each, three steps of forced tokens, one answer let go half-way.
    """
    plain = plain_model(model)
    vocab = plain.config.get_text_config(decoder=True).vocab_size
    prompts = [[(7919 * i + 13 * n) % vocab for i in range(n)] for n in (23, 9)]
    worst, largest = 0.0, 1e-6
    for group in [prompts] if decoder.many else [[p] for p in prompts]:
        rows = [list(p) for p in group for _ in range(2)]
        seen = decoder.start(group, 2).repeat_interleave(2, 0)
        for step in range(4):
            for row, logits in zip(rows, seen):
                ids = torch.tensor([row], device=plain.device)
                expected = plain(input_ids=ids, use_cache=False).logits[0, -1].float()
                gap = (logits - expected).abs().max().item()
                worst = max(worst, gap if gap == gap else float("inf"))
                largest = max(largest, expected.abs().max().item())
            if step == 2:
                living = torch.tensor([i for i in range(len(rows)) if i != 1], device=plain.device)
                decoder.keep(living)
                rows = [rows[i] for i in living.tolist()]
            tokens = [(31 * step + 17 * i + 5) % vocab for i in range(len(rows))]
            seen = decoder.step(torch.tensor(tokens, device=plain.device))
            rows = [[*row, token] for row, token in zip(rows, tokens)]
    return worst / largest, 1e-4 if plain.dtype == torch.float32 else 4e-2


def micro_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Consecutive indices whose padded size stays within `budget` tokens (at least one each)."""
    parts: list[list[int]] = []
    longest = 0
    for i, n in enumerate(lengths):
        longest = max(longest, n)
        if not parts or longest * (len(parts[-1]) + 1) > budget:
            parts.append([])
            longest = n
        parts[-1].append(i)
    return parts


def _stack(parts: list[torch.Tensor], longest: int) -> torch.Tensor:
    """[g, J, l, D] pieces as one [G, J, longest, D]; a single piece is taken as it is."""
    if len(parts) == 1:
        return parts[0]
    whole = parts[0].new_zeros(sum(len(p) for p in parts), parts[0].shape[1], longest, parts[0].shape[3])
    at = 0
    for part in parts:
        whole[at : at + len(part), :, : part.shape[2]] = part
        at += len(part)
    return whole
