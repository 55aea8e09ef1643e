"""What a self-play run, or training on rows that are there, will take, said before its first row: time by a short probe here and now,
disk by arithmetic.

In: the start's model, each iteration's prompts, the held-out ones, the settings. Out: seconds a stage and bytes a kind of file. Both
are what it takes at most: every answer is reckoned at `max_new_tokens`, every model and row is kept. A local judge's time is not in it
(a server's calls are told apart), and the probe's short rows run at another rate than long ones.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from windvane.modeling.decode import plain_model
from windvane.objectives.batch import Objective
from windvane.recipes.long_cost import said, shape_of
from windvane.records import Prompt
from windvane.train.batches import Example
from windvane.train.loop import Train

PROBE_ROWS, PROBE_TOKENS = 64, 64
BYTES_A_TOKEN = 12  # of an answer in a row: its id and its text
BYTES_A_VERDICT = 320
ROOM = 1.1  # a file system wants some


@torch.no_grad()
def probe(model: Any, rows: int) -> tuple[float, float]:
    """(operations a second in a forward, seconds of one decoding step) of `rows` rows of 64 tokens, after a warm-up."""
    plain, rows = plain_model(model), min(rows, PROBE_ROWS)
    vocab = plain.config.get_text_config(decoder=True).vocab_size
    ids = (torch.arange(rows * PROBE_TOKENS, device=plain.device) * 7919 % vocab).view(rows, PROBE_TOKENS)

    def timed(ids: torch.Tensor, cache: Any) -> tuple[float, Any]:
        if plain.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        found = plain(input_ids=ids, past_key_values=cache, use_cache=True)
        if plain.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, found.past_key_values

    timed(ids[:1], None)
    seconds, cache = timed(ids, None)
    step, _ = timed(ids[:, :1], cache)
    return rows * shape_of(model).forward(PROBE_TOKENS) / seconds, step


def seconds(
    model: Any, rates: tuple[float, float], parts: Sequence[Sequence[Prompt]], held: Sequence[Prompt], s: Any, objective: Objective
) -> dict[str, float]:  # fmt: skip
    """Seconds of each kind of stage over the whole run; `rates` as `probe` gives them at `s.batch_prompts` x k rows."""
    shape, (operations, step) = shape_of(model), rates
    k, longest, e = s.sampling.k, s.sampling.max_new_tokens, s.evaluate
    read = k if s.answers == "all" else 1 if objective.branches == "single" else 2

    def decoding(prompts: int, batch: int, answers: int, tokens: int) -> float:
        rows = min(batch * answers, PROBE_ROWS)
        return math.ceil(prompts * answers / rows) * tokens * step

    def forward(prompts: Sequence[Prompt], answers: int, tokens: int) -> float:
        return sum(shape.forward(len(p.token_ids) + answers * tokens) for p in prompts) / operations

    plain = e.temperature == 1.0 and e.top_p == 1.0
    drawn = e.answers + (0 if plain else 1)
    evaluated = (s.iterations + 1) * (
        decoding(len(held), e.batch_prompts, drawn, e.max_new_tokens) + 2 * forward(held, 1, e.max_new_tokens)
    )
    again = 4 / 3 if s.train.gradient_checkpointing else 1.0
    return {
        "responses": sum(decoding(len(p), s.batch_prompts, k, longest) for p in parts),
        "reference": sum(forward(p, read, longest) for p in parts) if objective.reference else 0.0,
        "training": 3 * again * s.train.epochs * sum(forward(p, read, longest) for p in parts),
        "evaluation": evaluated,
    }


def disk(model: Any, parts: Sequence[Sequence[Prompt]], held: Sequence[Prompt], s: Any) -> dict[str, float]:
    """Bytes: the models of all iterations and the final copy, the rows of every stage, the checkpoints that stand at once."""
    plain, k, e = plain_model(model), s.sampling.k, s.evaluate
    every = sum(p.numel() for p in plain.parameters())
    trained = _adapter(plain, s.train.lora_rank) if s.train.lora_rank else every
    asked = sum(map(len, parts))
    rows = asked * k * s.sampling.max_new_tokens + (s.iterations + 1) * len(held) * (e.answers + 1) * e.max_new_tokens
    moments = 2 if s.train.optimizer == "adamw" else 1
    best = 1 if s.train.keep == "best" else 0
    return {
        "models": 4.0 * trained * (s.iterations + 1),
        "rows": float(BYTES_A_TOKEN * rows + BYTES_A_VERDICT * asked * k * (k - 1) // 2),
        "checkpoints": 2 * 4.0 * trained * (1 + moments + best),  # the newer one is published before the older one goes
    }


def _adapter(plain: Any, rank: int) -> int:
    """At most: every linear layer but the head."""
    head = plain.get_output_embeddings()
    layers = [m for m in plain.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return sum(rank * (m.in_features + m.out_features) for m in layers)


def estimate(
    model: Any, parts: Sequence[Sequence[Prompt]], held: Sequence[Prompt], s: Any, objective: Objective, out: Path
) -> str:
    """One line for people."""
    took = seconds(model, probe(model, s.batch_prompts * s.sampling.k), parts, held, s, objective)
    takes, free = disk(model, parts, held, s), shutil.disk_usage(out).free
    by_stage = ", ".join(f"{name} {said(value / 3600)}" for name, value in took.items() if value)
    by_kind = ", ".join(f"{name} {size(value)}" for name, value in takes.items())
    need = sum(takes.values())
    short = (
        " (MORE than is free: use another --out, fewer iterations or --train.lora-rank)" if need * ROOM > free else ""
    )
    return (
        f"about {said(sum(took.values()) / 3600)} at most, were every answer as long as it may be, at the rate of a short probe here: "
        f"{by_stage}; local judges not reckoned. Disk {size(need)} at most ({by_kind}), {size(free)} free{short}"
    )


def training_estimate(model: Any, examples: Sequence[Example], train: Train, objective: Objective, out: Path) -> str:
    """One line for people about `windvane train`, whose rows are there: they are read as they are, not at their longest."""
    shape, (operations, _) = shape_of(model), probe(model, len(examples))
    forward = sum(shape.forward(e.tree.tokens) for e in examples) / operations
    again = 4 / 3 if train.gradient_checkpointing else 1.0
    took = {"reference": forward if objective.reference else 0.0, "training": 3 * again * train.epochs * forward}
    plain = plain_model(model)
    every = sum(p.numel() for p in plain.parameters())
    trained = _adapter(plain, train.lora_rank) if train.lora_rank else every
    moments, best = 2 if train.optimizer == "adamw" else 1, 1 if train.keep == "best" else 0
    takes = {"model": 2 * 4.0 * trained, "checkpoints": 2 * 4.0 * trained * (1 + moments + best)}
    need, free = sum(takes.values()), shutil.disk_usage(out).free
    short = " (MORE than is free: use another --out or --train.lora-rank)" if need * ROOM > free else ""
    by_stage = ", ".join(f"{name} {said(value / 3600)}" for name, value in took.items() if value)
    return (
        f"about {said(sum(took.values()) / 3600)} at the rate of a short probe here: {by_stage}. Disk {size(need)} at most "
        f"({', '.join(f'{name} {size(value)}' for name, value in takes.items())}), {size(free)} free{short}"
    )


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
