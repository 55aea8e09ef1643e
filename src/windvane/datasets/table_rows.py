"""Whole rows of a file or data set, each with its place, one at a time.

In: JSON lines, a JSON list, CSV, TSV, Parquet, a folder saved by `datasets` or a hub data set. Out: (place such as "FILE: row 17",
table). Layouts with lists and tables in their cells are read here; for one column of text see `tables`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.datasets.tables import Pick, json_lines, parquet_rows, read_dataset, read_file


def rows_of(source: str | Path, split: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row; `UserError` for what cannot be read, and for a row that is no table."""
    name, path = str(source), Path(source)
    for place, row in _rows(name, path, split):
        if not isinstance(row, dict):
            rows = isinstance(row, list) and bool(row) and isinstance(row[0], dict)
            instead = "name a file that is one list of rows .json" if rows else "mend or remove it"
            raise UserError(f"{place}: expected a table with named fields, got {type(row).__name__}; {instead}")
        yield place, row


def _rows(name: str, path: Path, split: str | None) -> Iterator[tuple[str, Any]]:
    if path.is_file() and split is not None:
        raise UserError(f"{name}: a file has no splits; leave the split '{split}' out")
    kind = path.suffix.lower()
    if path.is_file() and kind in (".jsonl", ".ndjson"):
        for place, row in json_lines(path):
            yield f"{name}: {place}", row
    elif path.is_file() and kind == ".json":
        for number, row in enumerate(_listed(path), 1):
            yield f"{name}: row {number}", row
    elif path.is_file() and kind == ".parquet":
        for number, row in enumerate(parquet_rows(path), 1):
            yield f"{name}: row {number}", row
    elif path.is_file() and kind in (".csv", ".tsv"):
        yield from _columns(name, lambda pick: read_file(path, pick).cells)
    elif path.is_file():
        raise UserError(
            f"{name}: unknown kind of file; known: .jsonl, .json, .csv, .tsv, .parquet, or a folder saved by datasets"
        )
    elif not path.exists() and kind:
        raise UserError(f"{name}: no such file; check the path")
    else:
        yield from _dataset(name, split)


def _listed(path: Path) -> list[Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not valid JSON ({error}); mend it, or name the file .jsonl for a row a line"
        ) from None
    if isinstance(data, dict):  # the released evaluation writes {"id": row, ...}
        data = [{"id": key, **row} if isinstance(row, dict) else row for key, row in data.items()]
    if not isinstance(data, list):
        raise UserError(f"{path}: expected a list of rows; mend the file")
    return data


def _dataset(name: str, split: str | None) -> Iterator[tuple[str, Any]]:
    return _columns(name, lambda pick: read_dataset(name, split, pick).cells)


def _columns(name: str, read: Callable[[Pick], list[tuple[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """Rows of what is read a column at a time."""
    seen: list[str] = []

    def first(names: Sequence[str] | None) -> str:
        seen.extend(names or ())
        return seen[0]

    columns = [read(first)]
    columns += [read(lambda _, c=c: c) for c in seen[1:]]  # type: ignore[misc]
    for cells in zip(*columns):
        yield f"{name}: {cells[0][0]}", {c: value for c, (_, value) in zip(seen, cells)}
