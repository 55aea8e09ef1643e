"""Families of the toy world by name: `toy:FAMILY`, or `world:FAMILY`, which means exactly the same.

A family is a tiny model with tasks whose right answers are known. What it offers is written down as "module:object" strings, so that rooms
below can use it without importing it, and nothing heavy is imported before it is needed. The table is empty at first:
`windvane.toy.register.register` fills it, and is called once by the command line and by the public API.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError

PREFIXES = ("toy:", "world:")


@dataclass(frozen=True, slots=True)
class Family:
    """What a family offers, each as "module:function"; None where it does not offer it."""

    name: str
    model: str | None = None  # () -> Path: the folder of its model
    prompts: str | None = None  # (count or None, split, seed) -> list[Prompt]
    documents: str | None = None  # (seed, lengths in tokens, count of each or None) -> Iterator[str]
    transcripts: str | None = None  # (seed, family=generator family) -> list[Transcript]
    words: str | None = None  # (split) -> level -> words
    sentences: str | None = None  # (seed, count, generator family) -> list[(sentence, level)]
    steering: str | None = None  # (prompts, seed) -> rows of steerability cases
    judge: str | None = None  # (name) -> PairJudge
    grader: str | None = None  # (name) -> RubricJudge
    writer: str | None = None  # () -> Generator: a program that answers what a writer is asked
    grounded: str | None = None  # (question, chunk) -> bool
    describe: str | None = None  # () -> str: what a reader of a report must know


_FAMILIES: dict[str, Family] = {}


def register(*families: Family) -> None:
    """Add families to the table. A name that is registered again is replaced."""
    _FAMILIES.update({family.name: family for family in families})


def is_family(spec: str) -> bool:
    """Whether `spec` names a family, registered or not."""
    return spec.startswith(PREFIXES)


def offers(spec: str, part: str) -> bool:
    """Whether `spec` names a registered family that offers `part` (a field of `Family`)."""
    name = spec.partition(":")[2].partition(":")[0]
    return is_family(spec) and getattr(_FAMILIES.get(name), part, None) is not None


def offer(spec: str, part: str) -> tuple[Callable[..., Any], str]:
    """The function that a family offers as `part` (a field of `Family`), and what follows the family's name in `spec`.

    Errors: `UserError` for an unknown family, or one that does not offer this.
    """
    name, _, rest = spec.partition(":")[2].partition(":")
    where = getattr(_FAMILIES.get(name), part, None)
    if where is None:
        able = ", ".join(f"toy:{f.name}" for f in _FAMILIES.values() if getattr(f, part) is not None)
        raise UserError(
            f"{spec}: there is no toy family '{name}' that offers {part}; there are: "
            f"{able or 'none, since windvane.toy.register.register() was not called'}"
        )
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(module), function), rest


def spelled(spec: str) -> str:
    """`spec` with its family spelled `world:`, after `llm:` or `rubric:` too; any other text as it is.

    Whatever is derived from a name (an id, a file's name, whether two names are one) is derived from this, so that it does not depend on
    which of the two spellings was used.
    """
    return re.sub(r"\A((?:llm:|rubric:|local:)*)toy:", r"\1world:", spec)
