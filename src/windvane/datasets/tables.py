"""Files and data sets -> one column of cells, each with the place it stands at.

In: a path (JSONL, JSON list, CSV, TSV, Parquet), a folder saved by `datasets`, or a data set's name on the Hugging Face hub; `pick`,
which chooses the column from the names there. Out: `Column`. Rows count from 1: in JSONL a row is a line, elsewhere a record (the CSV
header is none). Text files are UTF-8, with or without a byte order mark, with any line ends; anything else is a `UserError`.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.hub import refusal
from windvane.datasets.chats import NOT_RENDERED

Pick = Callable[
    [Sequence[str] | None], str | None
]  # names of the columns (None: rows are bare values) -> the one to read

SYSTEM_COLUMNS = ("system", "system_prompt")


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is None where rows are bare strings or chats; `cells` are (place such as "row 17", value)."""

    name: str | None
    cells: list[tuple[str, Any]]


def read_file(path: Path, pick: Pick) -> Column:
    """One column of a file, its kind told by the suffix."""
    reader = FILE_READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: unknown kind of file; known: {', '.join(FILE_READERS)}, or a folder saved by datasets"
        )
    return reader(path, pick)


def read_dataset(name: str, split: str | None, pick: Pick) -> Column:
    """One column of a `datasets` folder (an existing path) or of a data set on the hub."""
    import datasets

    folder = Path(name)
    try:
        if not folder.exists():
            data = datasets.load_dataset(name, split=split)
        elif (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
            data = datasets.load_from_disk(name)
        else:
            data = datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        what = "cannot be read as a data set" if folder.exists() else "no such file, and no data set that can be read"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not folder.exists() and (refused := refusal(error, name, "data set")) is not None:
            raise UserError(f"{name}: {refused}") from None
        raise UserError(f"{name}: {what} ({type(error).__name__}: {reason[:200]}); check the name") from None
    if isinstance(data, dict):
        if split is None and len(data) > 1:
            raise UserError(f"{name}: it has the splits {', '.join(data)}; name one")
        chosen = split if split is not None else next(iter(data))
        if chosen not in data:
            raise UserError(f"{name}: no split '{chosen}'; there are: {', '.join(data)}")
        data = data[chosen]
    elif split is not None and folder.exists() and data.split is not None and str(data.split) != split:
        raise UserError(f"{name}: it holds the split '{data.split}' alone, not '{split}'; leave the split out")
    column = pick(data.column_names)
    assert column is not None
    return Column(column, _numbered(data[column]))


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: row {row}: not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}); "
            "save the file as UTF-8"
        ) from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty; write at least one prompt into it")
    return text


def _numbered(values: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(f"row {number}", value) for number, value in enumerate(values, 1)]


def _jsonl(path: Path, pick: Pick) -> Column:
    return _of_rows(path, list(_json_lines(path, _decoded(path))), pick)


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    # not str.splitlines: JSON text may hold U+2028 and its kind, which end no line
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"row {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}: row {number}: not valid JSON ({error.msg} at column {error.colno}); mend or remove the line"
                    + ("; a file that is one list of rows is named .json" if line.strip() in ("[", "{") else "")
                ) from None
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
                raise UserError(f"{path}: row {number}: not valid JSON ({error}); mend or remove the line") from None


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) of each line that is not blank."""
    return _json_lines(path, _decoded(path))


def _json(path: Path, pick: Pick) -> Column:
    text = _decoded(path)
    if not text.lstrip().startswith("["):
        lines = list(_json_lines(path, text)) if "\n" in text.strip() and text.lstrip().startswith("{") else []
        if not lines:
            raise UserError(f"{path}: a JSON file must hold a list of rows, [...]; one row a line is called .jsonl")
        return _of_rows(path, lines, pick)
    items = list(_json_items(path, text))
    if not items:
        raise UserError(f"{path}: the list is empty; write at least one prompt into it")
    return _of_rows(path, items, pick)


def _json_items(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """The items of a JSON list one by one, so that a broken one has a number."""
    decoder, space, number = json.JSONDecoder(), " \t\r\n", 0
    at = len(text) - len(text.lstrip()) + 1
    while True:
        while at < len(text) and text[at] in space:
            at += 1
        if number == 0 and text[at : at + 1] == "]":
            break
        number += 1
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}: row {number}: not valid JSON ({error.msg} at line {error.lineno} column {error.colno}); mend it"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: row {number}: not valid JSON ({error}); mend it") from None
        yield f"row {number}", value
        while at < len(text) and text[at] in space:
            at += 1
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            line = text.count("\n", 0, at) + 1
            raise UserError(
                f"{path}: row {number}: not valid JSON (expected ',' or ']' after it at line {line}); mend it"
            )
        at += 1
    if text[at + 1 :].strip():
        raise UserError(
            f"{path}: more text after the list's end; keep one list, or name the file .jsonl for one row a line"
        )


def _of_rows(path: Path, rows: list[tuple[str, Any]], pick: Pick) -> Column:
    """Rows that are tables give their column; rows that are bare values give themselves. All rows must be of one kind."""
    if not isinstance(rows[0][1], dict):
        pick(None)
        for place, value in rows:
            if isinstance(value, dict):
                raise UserError(f"{path}: {place}: a table, but {rows[0][0]} is none; write all rows alike")
        return Column(None, rows)
    later = [
        n for _, row in rows if isinstance(row, dict) for n in row if n.lower() in (*SYSTEM_COLUMNS, *NOT_RENDERED)
    ]
    column = pick(
        list(dict.fromkeys([*rows[0][1], *later]))
    )  # a system message, or tools, in one row must not be overlooked
    assert column is not None
    cells = []
    for place, value in rows:
        if not isinstance(value, dict):
            raise UserError(f"{path}: {place}: expected a table with '{column}' as in {rows[0][0]}; mend or remove it")
        if value.get(column) is None and column.lower() not in NOT_RENDERED:
            raise UserError(f"{path}: {place}: field '{column}': missing; it has {', '.join(value) or 'none'}; add it")
        cells.append((place, value.get(column)))
    return Column(column, cells)


def _csv(path: Path, pick: Pick) -> Column:
    text = _decoded(path)
    before = csv.field_size_limit(sys.maxsize)  # the default refuses fields over 128K characters
    try:
        return _csv_rows(path, text, pick)
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, text: str, pick: Pick) -> Column:
    # `newline=""` keeps line ends inside quotes as they are; every cell stays text ("None", "NA" and "007" included)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
    )
    header: list[str] | None = None
    cells: list[tuple[str, Any]] = []
    at, name, place = 0, None, "header"
    try:
        for record in reader:
            if not record:
                continue
            if header is None:
                header = [cell.strip() for cell in record]
                if len(set(header)) < len(header):
                    raise UserError(f"{path}: header: a column name appears twice ({', '.join(header)}); rename one")
                name = pick(header)
                assert name is not None
                at = header.index(name)
                place = "row 1"
                continue
            place = f"row {len(cells) + 1} (line {reader.line_num})"
            if len(record) != len(header):
                raise UserError(
                    f"{path}: {place}: {len(record)} fields where the header has {len(header)}; "
                    "put text that holds the delimiter or a line end in double quotes"
                )
            cells.append((place, record[at]))
            place = f"row {len(cells) + 1}"
    except csv.Error as error:
        raise UserError(f"{path}: {place}: not valid CSV ({error}); mend its quotes") from None
    if not cells:
        raise UserError(f"{path}: a header and no rows; write at least one prompt")
    return Column(name, cells)


def parquet_rows(path: Path, pick: Pick | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, read a few at a time; where `pick` is given, only the column that it picks from the columns' names.
    Raises `UserError` where the file cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        columns = None if pick is None else [pick(file.schema_arrow.names)]
        for batch in file.iter_batches(batch_size=64, columns=columns):  # a row may be a document of a million tokens
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or ["broken"])[0]
        raise UserError(f"{path}: not a readable Parquet file ({reason}); write it again") from None


def _parquet(path: Path, pick: Pick) -> Column:
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; write at least one prompt into it")
    rows = list(parquet_rows(path, pick))
    if not rows:
        raise UserError(f"{path}: no rows; write at least one prompt")
    return Column(next(iter(rows[0])), _numbered([value for row in rows for value in row.values()]))


FILE_READERS: dict[str, Callable[[Path, Pick], Column]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
