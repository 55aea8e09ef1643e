"""RULER's thirteen tasks and the key chains: what each is, and samples of exact length.

In: task names, target lengths in tokens, how many samples, a seed, a token counter. Out: `Sample`s, the same for the same arguments,
each drawn from its own seed. A sample's tokens (the prompt as the model gets it, answer prefix and answer budget included) never
exceed the length, and one more unit of haystack would.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.evals.ruler.needles import Needles, chain, niah
from windvane.evals.ruler.questions import Questions, qa, read_hotpotqa, read_squad, stand_in
from windvane.evals.ruler.sample import Draft, Growing, TooShort, fit
from windvane.evals.ruler.tracing import cwe, fwe, vt
from windvane.evals.ruler.words import Prose

GROUPS = ("locating", "tracing", "aggregation", "qa", "chains")


@dataclass(frozen=True, slots=True)
class Task:
    """`tokens`: answer budget; `metric`: all (mean over references) or part (best of them); `published`: one of the thirteen."""

    name: str
    group: str
    tokens: int
    metric: str = "all"
    design: Needles | None = None
    hops: int = 0
    published: bool = True


TASKS = {
    t.name: t
    for t in (
        Task("niah_single_1", "locating", 128, design=Needles("repeat")),
        Task("niah_single_2", "locating", 128, design=Needles("essay")),
        Task("niah_single_3", "locating", 128, design=Needles("essay", value_kind="uuids")),
        Task("niah_multikey_1", "locating", 128, design=Needles("essay", keys=4)),
        Task("niah_multikey_2", "locating", 128, design=Needles("needle")),
        Task("niah_multikey_3", "locating", 128, design=Needles("needle", key_kind="uuids", value_kind="uuids")),
        Task("niah_multivalue", "locating", 128, design=Needles("essay", values=4)),
        Task("niah_multiquery", "locating", 128, design=Needles("essay", asked=4)),
        Task("vt", "tracing", 30, hops=4),
        Task("cwe", "aggregation", 120),
        Task("fwe", "aggregation", 50),
        Task("qa_1", "qa", 32, metric="part"),
        Task("qa_2", "qa", 32, metric="part"),
        Task("chain_2", "chains", 128, hops=2, published=False),
        Task("chain_3", "chains", 128, hops=3, published=False),
        Task("chain_4", "chains", 128, hops=4, published=False),
    )
}
PUBLISHED = [t.name for t in TASKS.values() if t.published]


@dataclass(frozen=True, slots=True)
class Sample:
    """One question. `length`: the target; `tokens` <= length: what it takes, answer budget included; `units` of haystack."""

    id: str
    task: str
    length: int
    index: int
    draft: Draft
    tokens: int
    units: int
    source: str
    stand_in: bool


@dataclass
class Sources:
    """Borrowed material, read once: a haystack text and the two QA files, each optional."""

    haystack: Path | None = None
    squad: Path | None = None
    hotpotqa: Path | None = None
    prose: Prose = field(init=False)
    _questions: dict[str, Questions] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.prose = Prose(self.haystack)

    def questions(self, task: str) -> Questions:
        if task not in self._questions:
            path, read = (self.squad, read_squad) if task == "qa_1" else (self.hotpotqa, read_hotpotqa)
            self._questions[task] = stand_in(task == "qa_2") if path is None else read(path)
        return self._questions[task]


def parse_length(text: str) -> int:
    """ "4k" -> 4096, "128K" -> 131072, "6000" -> 6000."""
    number, factor = (text[:-1], 1024) if text[-1:] in ("k", "K") else (text, 1)
    if not number.isdigit() or int(number) < 1:
        raise UserError(f"length {text!r}: write tokens, as 4096 or 4k")
    return int(number) * factor


def make_samples(
    task: Task, length: int, n: int, seed: int, sources: Sources, count: Callable[[Draft], int]
) -> Iterator[Sample]:
    """`count`: tokens of a draft's prompt with its prefix, as the model gets it. Raises `UserError` where the length cannot hold the
    question or the file has too few questions that fit (questions whose own documents do not fit are passed over)."""
    guess, made, index = None, 0, 0
    is_qa = task.group == "qa"
    questions = sources.questions(task.name) if is_qa else None
    too_short: list[int] = []
    small = length < 4096
    while made < n:
        if questions is not None and index >= len(questions.questions):
            why = f", {len(too_short)} of them too long (the shortest takes {min(too_short)})" if too_short else ""
            raise UserError(
                f"{task.name} at {length} tokens: {questions.source} has {index} questions{why}, {n} were asked for; "
                "lower --samples or take a greater length"
            )
        row_seed = seed_of(seed, task.name, length, index)
        growing = question(task, random.Random(row_seed), sources, length, index, small)
        try:
            units, draft, tokens = fit(growing, lambda d: count(d) + task.tokens, length, guess)
        except TooShort as short:
            if task.name == "cwe" and not small:
                small = True  # a tokenizer that spends many tokens a word: the published design for short lengths
                continue
            if not is_qa:
                raise UserError(
                    f"{task.name} at {length} tokens: its shortest form takes {short.tokens}, the {task.tokens} of the answer "
                    "included; take a greater length"
                ) from None
            too_short.append(short.tokens)
            index += 1
            continue
        guess = units
        yield Sample(
            id=f"{task.name}-{length:08d}-{index:05d}",
            task=task.name,
            length=length,
            index=index,
            draft=draft,
            tokens=tokens,
            units=units,
            source=growing.source,
            stand_in=questions is not None and questions.stand_in,
        )
        made, index = made + 1, index + 1


def question(task: Task, rng: random.Random, sources: Sources, length: int, index: int, small: bool) -> Growing:
    """The task's question for one sample, its haystack still to be sized. `small`: see `cwe`."""
    if task.design is not None:
        return niah(rng, task.design, sources.prose)
    if task.group == "chains":
        return chain(rng, task.hops, sources.prose)
    if task.group == "qa":
        return qa(rng, index, sources.questions(task.name))
    if task.name == "vt":
        return vt(rng, task.hops)
    return cwe(rng, small) if task.name == "cwe" else fwe(rng, length)
