"""What a self-play run, or training on rows that are there, will take, said before its first row: time by a short probe here and now,
disk by arithmetic.

In: the start's model, each iteration's prompts, the held-out ones, the settings. Out: seconds a stage and bytes a kind of file. Both
are what it takes at most: every answer is reckoned at `max_new_tokens`, every model and row is kept. A local judge's time is not in it
(a server's calls are told apart), and the probe's short rows run at another rate than long ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from windvane.core.records import Prompt
from windvane.engines.http.budget import Estimate
from windvane.engines.local import Sampling
from windvane.engines.writer import Writer
from windvane.losses.batch import Objective
from windvane.models.generate.decode import plain_model
from windvane.models.trees.tree import Tree
from windvane.plan.disk import (
    BYTES_A_ROW,
    BYTES_A_TOKEN,
    certain,
    checkpoint_bytes,
    disk_told,
    trained_numbers,
    weight_bytes,
)
from windvane.train.settings import Train

PROBE_ROWS, PROBE_TOKENS = 64, 64
LONGEST = "at most, were every answer as long as it may be, at the rate of a short probe here"
PROBED = "at the rate of a short probe here"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a forward costs by: weights outside the embeddings, layers, query width (heads x head size)."""

    weights: int
    layers: int
    width: int

    def forward(self, tokens: int) -> float:
        """Operations to read a row of `tokens`."""
        return 2.0 * self.weights * tokens + 2.0 * self.layers * self.width * tokens**2


class Readable(Protocol):
    """What training reads: an `Example`, a `RewardExample`."""

    @property
    def tree(self) -> Tree: ...


def shape_of(model: Any) -> Shape:
    plain = plain_model(model)
    config = plain.config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    table = plain.get_input_embeddings().weight.numel()
    return Shape(sum(p.numel() for p in plain.parameters()) - table, config.num_hidden_layers, heads * head)


def timed(plain: Any, ids: torch.Tensor, cache: Any) -> tuple[float, Any]:
    """(seconds of a forward over `ids`, the cache after it)."""
    if plain.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    output = plain(input_ids=ids, past_key_values=cache, use_cache=True)
    if plain.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, output.past_key_values


@torch.no_grad()
def probe(model: Any, rows: int) -> tuple[float, float]:
    """(operations a second in a forward, seconds of one decoding step) of `rows` rows of 64 tokens, after a warm-up."""
    plain, rows = plain_model(model), min(rows, PROBE_ROWS)
    vocab = plain.config.get_text_config(decoder=True).vocab_size
    ids = (torch.arange(rows * PROBE_TOKENS, device=plain.device) * 7919 % vocab).view(rows, PROBE_TOKENS)

    timed(plain, ids[:1], None)
    seconds, cache = timed(plain, ids, None)
    step, _ = timed(plain, ids[:, :1], cache)
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
    k, e = s.sampling.k, s.evaluate
    trained = trained_numbers(model, s.train.lora_rank)
    asked = sum(map(len, parts))
    rows = asked * k * s.sampling.max_new_tokens + (s.iterations + 1) * len(held) * (e.answers + 1) * e.max_new_tokens
    return {
        "models": weight_bytes(s.train) * trained * (s.iterations + 1),
        "rows": float(BYTES_A_TOKEN * rows + BYTES_A_ROW * asked * k * (k - 1) // 2),
        "checkpoints": 2 * checkpoint_bytes(s.train, trained),
    }


def estimate(
    model: Any, parts: Sequence[Sequence[Prompt]], held: Sequence[Prompt], s: Any, objective: Objective, out: Path
) -> str:
    """One line for people. `UserError` where the disk is certain to be too small."""
    took = seconds(model, probe(model, s.batch_prompts * s.sampling.k), parts, held, s, objective)
    mend = "use another --out, fewer iterations or --train.lora-rank"
    disk_line = disk_told(disk(model, parts, held, s), out, mend, certain(model, s.train, s.iterations))
    return f"{time_told(took, LONGEST)}; local judges not reckoned. {disk_line}"


def training_estimate(
    model: Any, examples: Sequence[Readable], train: Train, reference: bool, out: Path, begun: bool = False
) -> str:
    """One line for people about training on rows that are there, which are read as they are; `begun`: a checkpoint stands
    already. `UserError` where the disk is certain to be too small."""
    shape, (operations, _) = shape_of(model), probe(model, len(examples))
    forward = sum(shape.forward(e.tree.tokens) for e in examples) / operations
    again = 4 / 3 if train.gradient_checkpointing else 1.0
    took = {"reference": forward if reference else 0.0, "training": 3 * again * train.epochs * forward}
    trained = trained_numbers(model, train.lora_rank)
    takes = {
        "model": 2 * weight_bytes(train) * trained,
        "checkpoints": 2 * checkpoint_bytes(train, trained),
    }
    sure = 0.0 if begun else certain(model, train, 1)
    disk_line = disk_told(takes, out, "use another --out or --train.lora-rank", sure)
    return f"{time_told(took, PROBED)}. {disk_line}"


def sampling_estimate(model: Any, prompts: Sequence[Prompt], sampling: Sampling, batch: int, out: Path) -> str:
    """One line for people about answers of a model in this process; `batch` prompts are one unit."""
    operations, step = probe(model, batch * sampling.k)
    shape, rows = shape_of(model), min(batch * sampling.k, PROBE_ROWS)
    read = sum(shape.forward(len(p.token_ids)) for p in prompts) / operations
    wrote = math.ceil(len(prompts) * sampling.k / rows) * sampling.max_new_tokens * step
    disk_line = disk_told(answer_bytes(len(prompts), sampling), out, "use another --out or fewer prompts")
    return f"{time_told({'responses': read + wrote}, LONGEST)}. {disk_line}"


def writer_estimate(writer: Writer, expected: Estimate, at_once: int, out: Path) -> str:
    """One line for people about replies of a writer: disk, and where the writer is a model in this process its time, measured by a short
    probe with `at_once` replies side by side. A server's time is not known before its first units; `windvane status` shows it then."""
    likely = expected.likely
    takes = {"rows": float(BYTES_A_ROW * expected.calls + BYTES_A_TOKEN * likely.completion_tokens)}
    disk_line = disk_told(takes, out, "use another --out or write less")
    model = writer.local_model()
    if model is None:
        return disk_line
    rows = min(max(1, at_once), PROBE_ROWS)
    operations, step = probe(model, rows)
    took = likely.prompt_tokens * shape_of(model).forward(1) / operations + likely.completion_tokens / rows * step
    return f"{time_told({'replies': took}, LONGEST)}. {disk_line}"


def answer_bytes(prompts: int, sampling: Sampling) -> dict[str, float]:
    """Of the rows of `sampling.k` answers to each of `prompts` prompts, were every one as long as it may be."""
    answers = prompts * sampling.k
    return {"rows": float(answers * (BYTES_A_ROW + BYTES_A_TOKEN * sampling.max_new_tokens))}


def time_told(took: Mapping[str, float], how: str) -> str:
    """ "about 2.1 h <how>: responses 1.3 h, ..."."""
    by_stage = ", ".join(f"{name} {format_hours(value / 3600)}" for name, value in took.items() if value)
    return f"about {format_hours(sum(took.values()) / 3600)} {how}: {by_stage}"


def format_hours(hours: float) -> str:
    """ "1.5 h", "12.0 min" or "3.4 s"."""
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"
