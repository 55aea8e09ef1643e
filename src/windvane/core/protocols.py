"""The narrow doors between rooms: one method each. Anything with the method will do; nothing is subclassed or registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from windvane.core.records import Prompt, Response


@dataclass(frozen=True, slots=True)
class Question:
    """One pairwise question in one order: `first` is shown first. `key` names it stably (a judge with randomness seeds from it)."""

    key: str
    prompt: Prompt
    first: Response
    second: Response


class Generator(Protocol):
    """Samples answers. Returns, for each prompt, its answers at the asked `indices` (index -> one sample, seeded by `seed`, the
    prompt's id and the index alone, so that a resumed or reordered run samples the same). An answer that could not be had (a server's
    refused call) is left out, with its reason under its response id in a `reasons` dict, where the generator has one."""

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]: ...


class PairJudge(Protocol):
    """Probability in [0, 1] that the first answer beats the second, per question; None where it gave nothing usable."""

    def judge(self, questions: Sequence[Question]) -> list[float | None]: ...


@dataclass(frozen=True, slots=True)
class RubricQuestion:
    """One answer to be graded by `rubric`; `reference` is an answer that would deserve 5, where there is one."""

    key: str
    prompt: Prompt
    response: Response
    rubric: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """`score`: 1 (worst) to 5, None where the judge gave nothing usable and `reason` says why; the feedback is kept either way."""

    key: str
    score: int | None
    feedback: str
    reason: str | None = None


class RubricJudge(Protocol):
    """An absolute grade with feedback for each question, in the order asked."""

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]: ...


class Runner(Protocol):
    """Runs a data stage: each unit (a key and the fixed batch it names) through `work`, its rows kept as soon as they are done."""

    def run(
        self, stage: str, units: Sequence[tuple[str, Any]], work: Callable[[Any], Iterable[dict[str, Any]]]
    ) -> None: ...
