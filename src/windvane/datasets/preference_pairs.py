"""Preference pairs for a reward model -> `PreferencePair` records: the pairs of the rows that `read_rows` reads.

In: rows with chosen and rejected in any layout of docs/data_formats.md, perhaps with a probability (that chosen wins) or a margin. Text
becomes a user turn and its reply, since a reward model here always reads a chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Prompt
from windvane.datasets.row_kinds import Row
from windvane.datasets.rows import read_rows
from windvane.datasets.scores import optional_number


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """`probability`: that `chosen` wins; `margin`: by how much at least, in the reward's unit. `place`: where it was read."""

    prompt: Prompt
    chosen: str
    rejected: str
    probability: float
    margin: float
    place: str


def read_pairs(
    source: str | Path, split: str | None = None, columns: Mapping[str, str] | None = None
) -> list[PreferencePair]:
    """Every row of `source`, in its order. Raises `UserError` naming file, row, field and what to do for the first that is wrong."""
    rows = read_rows(source, columns, "pairs", split)
    if "probability" in rows.layout.columns and "margin" in rows.layout.unread:
        raise UserError(
            f"{source}: columns {rows.layout.columns['probability']} and margin: the loss takes one of them; remove one"
        )
    return [_pair(row) for row in rows]


def _pair(row: Row) -> PreferencePair:
    if row.weights or any(len(turns) > 1 for turns in row.responses):
        what = "turns that weigh less or more than others" if row.weights else "an answer of several turns"
        raise UserError(
            f"{row.place}: {what}; a reward model judges one whole reply: make it a row of its own, the turns before it its prompt"
        )
    (chosen,), (rejected,) = row.responses
    margin = optional_number(row.fields, "margin", row.place)
    probability = 1.0 if row.probability is None else row.probability
    return PreferencePair(row.prompt, chosen.content, rejected.content, probability, margin or 0.0, row.place)
