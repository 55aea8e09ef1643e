"""A model answers an InfiniteBench task: examples generated or read, prompts cut in the middle where they exceed the length.

In: a run folder, an `Answerer`, a task, `Sizes`. Out: RUN/infinitebench/TASK.jsonl with `prediction` and `ground_truth`. As published, the
middle of a too long prompt's token list is left out, head and tail halves stay; each row says how many tokens were cut (`cut`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.evals.infinitebench.generate import generate_examples
from windvane.evals.infinitebench.tasks import TASKS, prompt_text, read_task_file
from windvane.evals.ruler.models import Answerer, Asked, ask, prompt_ids
from windvane.evals.ruler.tasks import parse_length
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder


@dataclass(frozen=True, slots=True)
class Sizes:
    """None: as published. `length` in tokens ("128k"), answer budget included."""

    samples: int | None = None
    size: int | None = None
    length: str = "128k"
    style: Literal["chat", "completion"] = "chat"
    max_new_tokens: int | None = None
    seed: int = 42
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a resumed run must not change; written beside the rows."""

    model: str
    task: str
    sizes: Sizes
    data: str | None


def cut_middle(tokenizer: Any, text: str, room: int, ids_of: Callable[[str], tuple[int, ...]]) -> tuple[str, int]:
    """(`text` without its middle so that `ids_of` it is at most `room` tokens, tokens cut); unchanged where it fits."""
    if len(ids_of(text)) <= room:
        return text, 0
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    keep = room - (len(ids_of(text)) - len(ids))
    while keep > 1:
        head, tail = ids[: keep // 2], ids[len(ids) - (keep - keep // 2) :]
        shorter = tokenizer.decode(head) + tokenizer.decode(tail)
        over = len(ids_of(shorter)) - room  # the seam can tokenise into a few more than its halves
        if over <= 0:
            return shorter, len(ids) - keep
        keep -= over
    raise UserError(f"--length: {room} tokens do not hold the chat template and a question; take a greater length")


def run_task(run: RunFolder, answerer: Answerer, task: str, sizes: Sizes, data: Path | None = None) -> Path:
    """Ask every example; returns the file of rows. The same call goes on where an interrupted one stopped."""
    limit = parse_length(sizes.length)
    budget = sizes.max_new_tokens or TASKS[task].tokens
    if limit <= budget:
        raise UserError(f"--length {sizes.length}: {task} answers with up to {budget} tokens; take a greater length")
    stage = f"infinitebench/{task}"
    record_settings(run / f"{stage}.toml", Settings(answerer.spec, task, sizes, data.name if data else None))
    path = run / f"{stage}.jsonl"
    if path.exists():
        return path
    if data is None:
        examples = generate_examples(task, sizes.samples, sizes.size, sizes.seed)
    else:
        examples = list(islice(read_task_file(data, task), sizes.samples))
    chat = sizes.style == "chat"
    questions = []
    for example in examples:
        whole = prompt_text(task, example, sizes.style)
        text, cut = cut_middle(
            answerer.tokenizer, whole, limit - budget, lambda t: prompt_ids(answerer.tokenizer, t, chat=chat)
        )
        ids = prompt_ids(answerer.tokenizer, text, chat=chat)
        facts = {
            "task": task,
            "model": answerer.spec,
            "ground_truth": example.answer,
            "cluster": example.cluster,
            "tokens": len(ids),
            "cut": cut,
            "style": sizes.style,
        }
        questions.append(Asked(example.id, text, "", len(ids), budget, facts))
    answerer.tell(len(questions), sum(q.tokens for q in questions), budget * len(questions))
    ask(run, stage, answerer, questions, sizes.seed, sizes.batch, chat)
    return path
