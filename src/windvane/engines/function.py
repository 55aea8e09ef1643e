"""A user's own judge or generator, named `py:module:object`.

In: the module (importable, or a file in the current folder) and its object. Out: a `PairJudge` or `Generator`. A judge is an object with
`.judge(questions)`, a class of such objects (made without arguments), or a plain function f(prompt: str, a: str, b: str) -> float, the
probability that a wins. What is not a probability becomes None, with the reason in `reasons`; an exception in the user's code stops the
run with one line that names the object and the question.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import Generator, Grade, PairJudge, Question, RubricQuestion
from windvane.core.records import Prompt, Response
from windvane.core.schema import whole_text


def open_judge(spec: str, device: str, dtype: str) -> PairJudge:
    """`spec` is `module:object`. `device` and `dtype` are the user's own affair and not passed on."""
    found = load_object(spec)
    if isinstance(found, type):
        found = _made(spec, found)
    if hasattr(found, "judge"):
        return CheckedJudge(spec, found)
    if callable(found):
        return FunctionJudge(spec, found)
    raise UserError(f"py:{spec}: is {type(found).__name__}; give a function f(prompt, a, b) or an object with .judge")


def open_generator(spec: str, sampling: Any, device: str, dtype: str) -> Generator:
    """An object with `.generate(prompts, indices, seed)`, or a class of such objects, made with the `Sampling`."""
    found = load_object(spec)
    if isinstance(found, type):
        found = _made(spec, found, sampling)
    if not hasattr(found, "generate"):
        raise UserError(f"py:{spec}: has no .generate(prompts, indices, seed)")
    return CheckedGenerator(spec, found)


def open_grader(spec: str) -> CheckedGrader | None:
    """An object with `.grade(questions)`, or a class of such objects, made without arguments; None where it has no such method."""
    found = load_object(spec)
    if not hasattr(found, "grade"):
        return None
    return CheckedGrader(spec, _made(spec, found) if isinstance(found, type) else found)


def load_object(spec: str) -> Any:
    """The object that `module:object` names; the current folder is importable."""
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        raise UserError(f"py:{spec}: expected py:module:object")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise UserError(f"py:{spec}: no module {module}; run in the folder of {module}.py or install it") from None
        raise UserError(f"py:{spec}: importing {module} failed with {_told(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise UserError(f"py:{spec}: {module} has no {name}; check the name")
        found = getattr(found, part)
    return found


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
            raise UserError(f"py:{self.spec}: question {q.key}: {_told(error)}") from error
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
            raise UserError(f"py:{self.spec}: {named}: {_told(error)}") from error
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


class CheckedGenerator:
    """A user's `.generate(prompts, indices, seed)` (see `windvane.core.protocols.Generator`), its answers checked; half of a surrogate
    pair in a
    text becomes U+FFFD. `reasons` are the object's own, where it has any."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner

    @property
    def reasons(self) -> dict[str, str]:
        own = getattr(self.inner, "reasons", None)
        return own if isinstance(own, dict) else {}

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        named = f"py:{self.spec}: {len(prompts)} prompts from {prompts[0].id if prompts else 'none'} on"
        try:
            found = [list(answers) for answers in self.inner.generate(prompts, indices, seed)]
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{named}: {_told(error)}") from error
        if len(found) != len(prompts):
            raise UserError(f"{named}: .generate gave {len(found)} lists of answers; give one for each prompt")
        for prompt, answers in zip(prompts, found):
            for a in answers:
                if not isinstance(a, Response) or not isinstance(a.text, str) or a.prompt_id != prompt.id:
                    raise UserError(
                        f"{named}: .generate must give windvane.core.records.Response with a text and the prompt's id; "
                        f"for {prompt.id} it gave {repr(a)[:80]}"
                    )
                if a.index not in indices:
                    raise UserError(f"{named}: .generate gave answer {a.index} to {prompt.id}, which was not asked for")
        return [[replace(a, text=whole_text(a.text)) for a in answers] for answers in found]


class CheckedGrader:
    """A user's `.grade(questions)` (see `windvane.core.protocols.RubricJudge`), its answers checked to be one `Grade` a question."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]:
        first = questions[0].key if questions else "none"
        try:
            found = list(self.inner.grade(questions))
        except (Exception, SystemExit) as error:
            raise UserError(f"py:{self.spec}: {len(questions)} questions from {first} on: {_told(error)}") from error
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


def _made(spec: str, kind: type, *args: Any) -> Any:
    try:
        return kind(*args)
    except Exception as error:
        given = "the sampling alone" if args else "no arguments"
        raise UserError(f"py:{spec}: making a {kind.__name__} with {given} failed with {_told(error)}") from error


def _told(error: BaseException) -> str:
    """Kind, first line and, where the file is known, the place."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {Path(error.filename).name}:{error.lineno}"
    return f"{type(error).__name__}{': ' if first else ''}{first[:200]}{place}"
