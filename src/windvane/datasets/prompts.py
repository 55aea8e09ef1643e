"""Prompts from anywhere -> `Prompt` records, each once, in the order of the source: those of the rows that `read_rows` reads.

The first thing that is wrong stops the reading with one line naming file, row, field and what to do: a row is never dropped or altered in
silence. The same chat twice is one prompt (ids come from content); repeats are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windvane.core.records import Prompt
from windvane.datasets.columns import ALIASES
from windvane.datasets.rows import read_rows


@dataclass(frozen=True, slots=True)
class ReadPrompts:
    """`prompts` are distinct; `rows` = len(prompts) + `duplicates`. `columns`: role -> column of what was read, `unread`: the columns that
    nothing reads; both empty for records and the embedded world."""

    prompts: list[Prompt]
    duplicates: int
    rows: int
    columns: Mapping[str, str]
    unread: tuple[str, ...]


def read_prompts(
    source: str | Path,
    column: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> ReadPrompts:
    """Every prompt of `source`. `column`: the field that holds the prompt, where its name is not usual; `columns`: role -> column of any
    role; `split`: of a data set with several, or of the embedded world (its default is "train")."""
    given = dict(columns or {})
    if column is not None:
        given["chat" if column.lower() in ALIASES["chat"] else "prompt"] = column
    rows = read_rows(source, given, split=split, only_prompts=True)
    distinct: dict[str, Prompt] = {}
    for row in rows:
        prompt = Prompt.of(row.prompt.messages)
        distinct.setdefault(prompt.id, prompt)
    layout = rows.layout
    return ReadPrompts(list(distinct.values()), len(rows) - len(distinct), len(rows), layout.columns, layout.unread)
