"""A model answers RULER: every task at every length, one journaled stage each.

In: a run folder, an `Answerer`, tasks, lengths, `Settings`. Out: RUN/ruler/TASK-LENGTH.jsonl with `prediction`, `references`, `depths` and
what the question was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.ruler.models import Answerer, Asked, ask, prompt_ids
from windvane.evals.ruler.sample import Draft
from windvane.evals.ruler.tasks import TASKS, Sample, Sources, make_samples
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder


@dataclass(frozen=True, slots=True)
class Settings:
    """What a resumed run must not change. `chat`: through the chat template; `prefix`: the published beginning of the answer."""

    model: str
    samples: int
    seed: int = 42
    chat: bool = True
    prefix: bool = True
    batch: int = 1
    haystack: str | None = None
    squad: str | None = None
    hotpotqa: str | None = None


def facts(sample: Sample, settings: Settings) -> dict[str, Any]:
    """What a row says about its question."""
    return {
        "task": sample.task,
        "model": settings.model,
        "length": sample.length,
        "tokens": sample.tokens,
        "units": sample.units,
        "index": sample.index,
        "references": list(sample.draft.references),
        "depths": list(sample.draft.depths),
        "cluster": sample.draft.cluster or sample.id,
        "source": sample.source,
        "stand_in": sample.stand_in,
    }


def run_ruler(
    run: RunFolder,
    answerer: Answerer,
    tasks: Sequence[str],
    lengths: Sequence[int],
    settings: Settings,
    sources: Sources,
) -> Path:
    """Ask every task at every length; returns the folder of rows. A task and length that is finished is not asked again, so tasks
    and lengths can be added later; other settings are refused."""
    folder = run / "ruler"
    record_settings(folder / "settings.toml", settings)
    tokenizer = answerer.tokenizer

    def ids_of(draft: Draft) -> tuple[int, ...]:
        return prompt_ids(tokenizer, draft.text, draft.prefix if settings.prefix else "", settings.chat)

    def samples(name: str, length: int, n: int) -> list[Sample]:
        return list(make_samples(TASKS[name], length, n, settings.seed, sources, lambda d: len(ids_of(d))))

    limit = answerer.window()
    if limit is not None and max(lengths) > limit:
        raise UserError(f"length {max(lengths)}: the model's window is {limit} tokens; take lengths up to that")
    for length in lengths:
        for name in tasks:
            samples(name, length, 1)  # a length that cannot hold a question is told before hours of answers
    left = [(n, k) for k in lengths for n in tasks if not run.finished(f"ruler/{n}-{k}.jsonl")]
    answers = settings.samples * sum(TASKS[n].tokens for n, _ in left)
    answerer.tell(settings.samples * len(left), settings.samples * sum(k for _, k in left) - answers, answers)
    for length in lengths:
        for name in tasks:
            stage = f"ruler/{name}-{length}"
            if run.finished(f"{stage}.jsonl"):
                continue
            questions = []
            for sample in samples(name, length, settings.samples):
                begun, budget = sample.draft.prefix if settings.prefix else "", TASKS[name].tokens
                row = facts(sample, settings)
                questions.append(Asked(sample.id, sample.draft.text, begun, sample.tokens - budget, budget, row))
            ask(run, stage, answerer, questions, settings.seed, settings.batch, settings.chat)
    return folder
