"""A user's own judge or judge of grades, named `py:module:object`.

A judge is an object with `.judge(questions)`, a class of such objects (made without arguments), or a plain function
f(prompt: str, a: str, b: str) -> float, the probability that a wins. What is not a probability becomes None, with the reason in
`reasons`. A judge of grades is an object with `.grade(questions)`, or a class of such objects. An exception in the user's code stops the
run with one line that names the object and the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import Grade, PairJudge, Question, RubricQuestion
from windvane.core.user_objects import error_line, load_object, make_instance


def open_judge(spec: str, device: str, dtype: str) -> PairJudge:
    """`spec` is `module:object`. `device` and `dtype` are the user's own affair and not passed on."""
    found = load_object(spec)
    if isinstance(found, type):
        found = make_instance(spec, found)
    if hasattr(found, "judge"):
        return CheckedJudge(spec, found)
    if callable(found):
        return FunctionJudge(spec, found)
    raise UserError(f"py:{spec}: is {type(found).__name__}; give a function f(prompt, a, b) or an object with .judge")


def open_grader(spec: str) -> CheckedGrader | None:
    """An object with `.grade(questions)`, or a class of such objects, made without arguments; None where it has no such method."""
    found = load_object(spec)
    if not hasattr(found, "grade"):
        return None
    return CheckedGrader(spec, make_instance(spec, found) if isinstance(found, type) else found)


class FunctionJudge:
    """`reasons`: for each question of the last call without an answer, why."""

    def __init__(self, spec: str, function: Callable[[str, str, str], Any]) -> None:
        self.spec, self.function = spec, function
        self.reasons: dict[str, str] = {}

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        self.reasons = {}
        return [self._ask(q) for q in questions]

    def _ask(self, q: Question) -> float | None:
        try:
            value = self.function(q.prompt.text, q.first.text, q.second.text)
        except (Exception, SystemExit) as error:
            raise UserError(f"py:{self.spec}: question {q.key}: {error_line(error)}") from error
        return _probability(value, q.key, self.reasons)


class CheckedJudge:
    """A user's `.judge(questions)` with its answers checked; `reasons` holds the object's own, where it has any, and ours."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner
        self.reasons: dict[str, str] = {}

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        keys = [q.key for q in questions]
        named = (
            f"question {keys[0]}" if len(keys) == 1 else f"{len(keys)} questions from {keys[0] if keys else 'none'} on"
        )
        try:
            values = list(self.inner.judge(questions))
        except (Exception, SystemExit) as error:
            raise UserError(f"py:{self.spec}: {named}: {error_line(error)}") from error
        if len(values) != len(keys):
            raise UserError(
                f"py:{self.spec}: {named}: .judge gave {len(values)} answers; give one for each, None for no answer"
            )
        own = getattr(self.inner, "reasons", None)
        self.reasons = {}
        found = [_probability(value, key, self.reasons) for value, key in zip(values, keys)]
        if isinstance(own, dict):
            self.reasons.update({k: str(own[k]) for k, value in zip(keys, values) if value is None and k in own})
        return found


class CheckedGrader:
    """A user's `.grade(questions)` (see `windvane.core.protocols.RubricJudge`), its answers checked to be one `Grade` a question."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]:
        first = questions[0].key if questions else "none"
        try:
            found = list(self.inner.grade(questions))
        except (Exception, SystemExit) as error:
            raise UserError(
                f"py:{self.spec}: {len(questions)} questions from {first} on: {error_line(error)}"
            ) from error
        keys = [getattr(g, "key", None) for g in found]
        if not all(isinstance(g, Grade) for g in found) or keys != [q.key for q in questions]:
            raise UserError(
                f"py:{self.spec}: {len(questions)} questions from {first} on: .grade must give one windvane.core.protocols.Grade "
                f"for each, in "
                "order and with its key"
            )
        return found


def _probability(value: Any, key: str, reasons: dict[str, str]) -> float | None:
    number = None
    if hasattr(type(value), "__float__") and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):  # such as a tensor of several numbers
            number = None
    if number is not None and 0.0 <= number <= 1.0:
        return number
    plain = value is None or isinstance(value, (str, int, bool))  # another object's repr may hold an address
    shown = repr(number) if number is not None else repr(value)[:80] if plain else f"a {type(value).__name__}"
    reasons[key] = f"the judge returned {shown}: not a probability in [0, 1]"
    return None
