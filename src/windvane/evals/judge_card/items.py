"""Files of requests with better and worse answers, as a judge card needs them.

In: JSON lines, a JSON list or Parquet with `prompt`, `chosen` and `rejected` (RewardBench 2: lists of texts; RewardBench, UltraFeedback and
others: one text each, or a chat whose last turn is the answer) and, where there is one, `subset`. Other columns are ignored. Out: `Item`s.
A row that cannot be used stops the reading with one line that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response
from windvane.datasets.sources import parquet_rows
from windvane.datasets.turns import messages_of
from windvane.runs.store import read_jsonl


@dataclass(frozen=True, slots=True)
class Item:
    """`answers`: the chosen ones first, `chosen` of them. The prompt's id names the row: the same prompt may stand in several."""

    prompt: Prompt
    answers: tuple[Response, ...]
    chosen: int
    subset: str | None


def read_items(path: Path) -> list[Item]:
    """Every row. `UserError` for the first that has no prompt, no chosen or no rejected answer."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give rows with prompt, chosen and rejected")
    items = [_item(row, f"{path}: row {number}", number) for number, row in _rows(path)]
    if not items:
        raise UserError(f"{path}: no rows; write at least one with prompt, chosen and rejected")
    return items


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix.lower() == ".parquet":
        yield from enumerate(parquet_rows(path), 1)
    elif path.suffix.lower() == ".json":
        try:
            rows = json.loads(path.read_text(encoding="utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"{path}: not valid JSON ({error}); one row a line is called .jsonl") from None
        if not isinstance(rows, list):
            raise UserError(f"{path}: a JSON file must hold a list of rows; one row a line is called .jsonl")
        yield from enumerate(rows, 1)
    else:
        try:
            yield from read_jsonl(path)
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _item(row: Any, where: str, number: int) -> Item:
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a table with prompt, chosen and rejected")
    if row.get("prompt") is None:
        raise UserError(f"{where}: field 'prompt': missing; it has {', '.join(map(str, row)) or 'none'}; add it")
    messages = messages_of(row["prompt"], where, "prompt")
    sides = [_answers(row.get(name), where, name) for name in ("chosen", "rejected")]
    id = f"row{number:06d}"
    answers = tuple(Response(f"{id}-{i}", id, i, text, (), "stop") for i, text in enumerate(sides[0] + sides[1]))
    subset = row.get("subset")
    return Item(Prompt(id, messages), answers, len(sides[0]), str(subset) if subset is not None else None)


def _answers(value: Any, where: str, name: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if values and isinstance(values[0], dict):  # a chat: its last turn is the answer
        values = [values[-1].get("content") if isinstance(values[-1], dict) else None]
    if not values or not all(isinstance(v, str) for v in values):
        raise UserError(
            f"{where}: field '{name}': expected a text or a list of texts, one at least; mend or remove the row"
        )
    return values
