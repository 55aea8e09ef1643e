"""What a round will take, said before it starts: reading long documents is most of it.

In: a model, the tokens of a round's documents and chunks. Out: hours by stage from the arithmetic of a decoder's forward (2 operations
a weight and token, and 2 layers x width x n^2 for causal attention over n tokens) at the rate measured on a short probe here and now.
For Mistral-7B at 131,072 tokens that is 6.4e15 operations a document: 45,000 of them at 4e14 a second are 200 hours, with each document
read once for all of its questions. An estimate: a long row is faster or slower than the probe; an answer is reckoned at its longest; of
experts all are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from windvane.longpo.documents import Cut
from windvane.longpo.settings import LongPO
from windvane.models.generate.decode import plain_model
from windvane.plan.disk import (
    BYTES_A_TOKEN,
    certain,
    checkpoint_bytes,
    disk_told,
    trained_numbers,
    weight_bytes,
)
from windvane.plan.time import Shape, format_hours, shape_of, timed

PROBE = {"cuda": 4096, "cpu": 256}  # tokens


@dataclass(frozen=True, slots=True)
class Rate:
    """`operations` a second in a forward over `tokens` tokens; `step`: seconds for one token after them."""

    operations: float
    step: float
    tokens: int


@torch.no_grad()
def measure_rate(model: Any, most: int) -> Rate:
    """A forward over at most `most` tokens and one more token, timed after a warm-up."""
    plain = plain_model(model)
    device, n = plain.device, min(most, PROBE.get(plain.device.type, 256))
    vocab = plain.config.get_text_config(decoder=True).vocab_size
    ids = (torch.arange(n, device=device) * 7919 % vocab)[None]

    timed(plain, ids[:, : min(n, 64)], None)
    seconds, cache = timed(plain, ids, None)
    step, _ = timed(plain, ids[:, :1], cache)
    return Rate(shape_of(model).forward(n) / seconds, step, n)


def hours(shape: Shape, rate: Rate, cuts: Sequence[Cut], s: LongPO) -> dict[str, float]:
    """Hours of each stage of one round."""
    chunks = [c.tokens for cut in cuts for c in cut.chunks]
    documents = [cut.tokens for cut in cuts if cut.chunks]
    short, long = (sum(map(shape.forward, lengths)) / rate.operations for lengths in (chunks, documents))
    answers = 2 if s.arm == "placebo" else 1
    wrote = rate.step * s.answer.max_new_tokens
    seconds = {
        "questions": s.ask.attempts * (short + rate.step * s.ask.max_new_tokens * len(documents)),
        "chosen": answers * (short + wrote * len(documents)),
        "rejected": 0.0 if s.arm == "placebo" else long + wrote * len(documents),
        "training": 3.0 * long * s.train.epochs * (4 / 3 if s.train.gradient_checkpointing else 1),
    }
    return {name: value / 3600 for name, value in seconds.items()}


def estimate(shape: Shape, rate: Rate, cuts: Sequence[Cut], s: LongPO, t: int) -> str:
    """One line for people."""
    lengths = [cut.tokens for cut in cuts if cut.chunks]
    parts = ", ".join(f"{name} {format_hours(value)}" for name, value in hours(shape, rate, cuts, s).items())
    chunks = sum(len(c.chunks) for c in cuts)
    return (
        f"round {t}: {len(lengths)} documents, {sum(lengths)} tokens (the longest {max(lengths, default=0)}), {chunks} chunks; at the "
        f"{rate.operations:.2g} operations a second of a {rate.tokens}-token probe here about: {parts}"
    )


def disk(model: Any, cuts: Sequence[Cut], s: LongPO, t: int) -> dict[str, float]:
    """Bytes that rounds t, t + 1, ... write, each as many documents as round t: models, answers, checkpoints. What an adapter ends in
    is merged, a whole model."""
    left, trained, whole = s.rounds - t + 1, trained_numbers(model, s.train.lora_rank), trained_numbers(model, 0)
    wrote = s.ask.attempts * s.ask.max_new_tokens + 2 * s.answer.max_new_tokens
    return {
        "models": weight_bytes(s.train) * (left * trained + whole),
        "rows": float(left * sum(len(c.chunks) for c in cuts) * wrote * BYTES_A_TOKEN),
        "checkpoints": 2 * checkpoint_bytes(s.train, trained),
    }


def disk_estimate(model: Any, cuts: Sequence[Cut], s: LongPO, t: int, out: Path) -> str:
    """One sentence, for this round and those after it. `UserError` where the disk is certain to be too small."""
    mend = "use another --out, fewer rounds or --train.lora-rank"
    return disk_told(disk(model, cuts, s, t), out, mend, certain(model, s.train, s.rounds - t + 1, trains=False))
