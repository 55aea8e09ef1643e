"""Prompts -> each iteration's own part and the held-out ones.

In: one source of prompts, which is divided, or one source an iteration (as UltraFeedback's three portions); the run's seed. Out: prompts
by file name. Order, held-out choice and parts are functions of (seed, prompt id) alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.records import Prompt, seed_of
from windvane.datasets.columns import mapping
from windvane.datasets.prompts import read_prompts

# UltraFeedback's prompts in Snorkel's three portions, as the released scripts name them for every base model (run_sppo_mistral.sh,
# run_sppo_llama-3.sh); column "prompt", split "train" (scripts/generate.py)
ULTRAFEEDBACK = tuple(f"UCLA-AGI/data-mistral-7b-instruct-sppo-iter{t}" for t in (1, 2, 3))
FEW = 50  # held-out prompts below which the run says how little a win rate from them tells


@dataclass(frozen=True, slots=True)
class Pool:
    """Distinct prompts in the order of (seed, id); `source` says for each id from which of `names` it is (the first that has it)."""

    names: tuple[str, ...]
    prompts: list[Prompt]
    source: dict[str, int]
    duplicates: int
    rows: int

    @property
    def told(self) -> str:
        return ", ".join(self.names)


def sources(prompts: str | Sequence[str]) -> tuple[str, ...]:
    return (prompts,) if isinstance(prompts, str) else tuple(prompts)


def read_pool(s: Any) -> Pool:
    """Read every source of a recipe's settings; `UserError` where they do not go with its iterations."""
    names = sources(s.prompts)
    if not isinstance(s.prompts, str) and len(names) != s.iterations:
        raise UserError(
            f"prompts: {len(names)} sources and {s.iterations} iterations; give one source, which is divided, or one an iteration"
        )
    found: dict[str, Prompt] = {}
    source: dict[str, int] = {}
    rows, columns = 0, mapping(s.prompt_columns)
    for i, name in enumerate(names):
        split = s.prompt_split or ("train" if name in ULTRAFEEDBACK else None)
        read = read_prompts(name, s.prompt_column, split, columns)
        rows += read.rows
        for prompt in read.prompts:
            found.setdefault(prompt.id, prompt)
            source.setdefault(prompt.id, i)
    ordered = sorted(found.values(), key=lambda p: seed_of(s.seed, "split", p.id))
    return Pool(names, ordered, source, rows - len(ordered), rows)


def portions(s: Any, pool: Pool, tell: Callable[[str], None]) -> tuple[list[Prompt], list[list[Prompt]]]:
    """(held out, one list an iteration)."""
    if pool.duplicates:
        tell(f"{pool.told}: {pool.duplicates} of {pool.rows} rows repeat a prompt and were merged")
    held, left = _held_out(s, pool, tell)
    if len(held) < FEW:
        tell(
            f"{len(held)} prompts are held out: a win rate from so few is known to ±{1.96 * 0.5 / math.sqrt(len(held)):.2f} at worst; "
            "more prompts, or --evaluate.prompts FILE, make it sharper"
        )
    if len(pool.names) > 1:
        parts = [[p for p in left if pool.source[p.id] == i] for i in range(s.iterations)]
        each = s.prompts_per_iteration
        for name, part in zip(pool.names, parts):
            if len(part) < (each or 1):
                raise UserError(
                    f"{name}: {len(part)} prompts are left for its iteration ({len(held)} of all held out); it needs {each or 'at least 1'}"
                )
        return held, [part[:each] for part in parts]
    each = s.prompts_per_iteration or len(left) // s.iterations
    if each < 1 or each * s.iterations > len(left):
        raise UserError(
            f"{pool.told}: {len(left)} prompts are left for training ({len(held)} held out, {pool.duplicates} duplicates "
            f"merged); {s.iterations} iterations of {each or 'at least 1'} need {max(1, each) * s.iterations}"
        )
    parts = [left[i * each : (i + 1) * each] for i in range(s.iterations)]
    if s.prompts_per_iteration is None:
        parts[-1] = left[(s.iterations - 1) * each :]
    return held, parts


def _held_out(s: Any, pool: Pool, tell: Callable[[str], None]) -> tuple[list[Prompt], list[Prompt]]:
    e = s.evaluate
    if not e.prompts:
        aside = min(e.count, max(1, len(pool.prompts) // 5))
        return pool.prompts[:aside], pool.prompts[aside:]
    split = "held-out" if is_family(e.prompts) else None
    held = read_prompts(e.prompts, column=e.prompt_column, split=split).prompts
    held = sorted(held, key=lambda p: seed_of(s.seed, "split", p.id))[: e.count]
    ids = {p.id for p in held}
    both = sum(p.id in ids for p in pool.prompts)
    if both:
        tell(f"{pool.told}: {both} prompts are held out and were kept out of training")
    return held, [p for p in pool.prompts if p.id not in ids]
