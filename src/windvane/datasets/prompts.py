"""Prompts from anywhere -> `Prompt` records, each once, in the order of the source.

In: a file (JSONL, JSON, CSV, TSV, Parquet), a folder saved by `datasets`, a data set's name on the Hugging Face hub, or
`world:FAMILY[:SPLIT]` for the embedded world's own. A cell is plain text or a chat (see `chats`); a column `system` (or `system_prompt`)
beside it, as in Multifaceted-Bench, holds its system message. Out: `ReadPrompts`. The first thing that is wrong stops the reading with one
line naming file, row, field and mend: a row is never dropped or altered in silence. The same chat twice is one prompt (ids come from
content); repeats are counted.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.datasets.chats import CHAT_COLUMNS, NOT_RENDERED, messages_of, refuse_beside
from windvane.datasets.tables import FILE_READERS, SYSTEM_COLUMNS, Column, Pick, read_dataset, read_file

USUAL_COLUMNS = ("prompt", "instruction", "question", "query", "input", "text", *CHAT_COLUMNS)
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class ReadPrompts:
    """`prompts` are distinct; `rows` = len(prompts) + `duplicates`. `column`: what was read, None for bare rows and the world."""

    prompts: list[Prompt]
    duplicates: int
    rows: int
    column: str | None


def read_prompts(source: str | Path, column: str | None = None, split: str | None = None) -> ReadPrompts:
    """Read every prompt of `source`.

    `column`: the field that holds the prompt; found by itself where exactly one of the usual names is there (prompt, instruction,
    question, query, input, text, messages, conversations, conversation; capitals do not matter). `split`: of a `datasets` folder or hub
    data set with several, or of the world (its default is "train"). Raises `UserError` for whatever is wrong with the source.
    """
    name = str(source)
    if name.startswith("world:"):
        return _distinct(_world(name, column, split), None)

    there: list[str] = []

    def pick(names: Sequence[str] | None) -> str | None:
        there.extend(names or ())
        return choose_column(name, names, column)

    found = _column(name, split, pick)
    if not found.cells:
        raise UserError(f"{name}: no rows; write at least one prompt")
    field = found.name or ""
    chats = [messages_of(v, f"{name}: {place}", field) for place, v in found.cells]
    for beside in (n for n in there if n.lower() in NOT_RENDERED and n != found.name):
        for place, cell in _column(name, split, lambda _, n=beside: n).cells:  # type: ignore[misc]
            refuse_beside(cell, f"{name}: {place}", beside)
    systems = _systems(name, split, there, found)
    if systems is not None:
        chats = [_under(chat, cell, f"{name}: {place}") for chat, cell, (place, _) in zip(chats, systems, found.cells)]
    return _distinct([Prompt.of(chat) for chat in chats], found.name)


def _systems(name: str, split: str | None, names: Sequence[str], main: Column) -> list[tuple[str, Any]] | None:
    """(field, cell) of the system messages' column, a row each; None where there is none."""
    own = next((n for n in names if n.lower() in SYSTEM_COLUMNS and n != main.name), None)
    return None if own is None else [(own, value) for _, value in _column(name, split, lambda _: own).cells]


def _under(chat: tuple[Message, ...], cell: tuple[str, Any], where: str) -> tuple[Message, ...]:
    """The chat under the system message in a cell of the same row; an empty cell is none."""
    field, value = cell
    if value is None or (isinstance(value, str) and not value.strip()):
        return chat
    if not isinstance(value, str):
        raise UserError(f"{where}: field '{field}': expected text, got {type(value).__name__}; mend or remove the row")
    if chat[0].role == "system":
        raise UserError(f"{where}: field '{field}': the chat has a system message of its own; keep one of the two")
    return (Message("system", value), *chat)


def choose_column(source: str, names: Sequence[str] | None, wanted: str | None) -> str | None:
    """The column to read: `wanted` if it is there, else the only usual one. `names` is None where rows are bare values."""
    if names is None:
        if wanted is not None:
            raise UserError(f"{source}: rows are bare values, so there is no column '{wanted}'; leave the column out")
        return None
    listed = ", ".join(names) or "none"
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"{source}: no column '{wanted}'; there are: {listed}")
        return wanted
    usual = [name for name in names if name.lower() in USUAL_COLUMNS]
    if len(usual) == 1:
        return usual[0]
    problem = f"{' and '.join(usual)} could each be the prompt" if usual else "no column looks like the prompt"
    raise UserError(f"{source}: {problem}; columns: {listed}; name one with --prompt-column")


def _column(name: str, split: str | None, pick: Pick) -> Column:
    path = Path(name)
    if path.is_file():
        if split is not None:
            raise UserError(f"{name}: a file has no splits; leave the split '{split}' out")
        return read_file(path, pick)
    if not path.exists() and (path.suffix.lower() in FILE_READERS or not HUB_NAME.fullmatch(name)):
        raise UserError(f"{name}: no such file; check the path")
    return read_dataset(name, split, pick)


def _world(name: str, column: str | None, split: str | None) -> list[Prompt]:
    """`world:FAMILY[:SPLIT]`: every prompt of `windvane.toy.FAMILY.family:prompts(n, split, seed)`, where n = None means all."""
    family, _, named = name.removeprefix("world:").partition(":")
    if column is not None:
        raise UserError(f"{name}: the embedded world has no columns; leave the column '{column}' out")
    module, prompts = f"windvane.toy.{family}.family", None
    if family.isidentifier():
        try:
            prompts = getattr(importlib.import_module(module), "prompts", None)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or " "):
                raise
    if prompts is None:
        raise UserError(f"{name}: the embedded world has no family '{family}' with prompts")
    return list(prompts(None, named or split or "train", 0))


def _distinct(prompts: list[Prompt], column: str | None) -> ReadPrompts:
    kept: dict[str, Prompt] = {}
    for prompt in prompts:
        kept.setdefault(prompt.id, prompt)
    return ReadPrompts(list(kept.values()), len(prompts) - len(kept), len(prompts), column)
