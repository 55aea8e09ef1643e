"""Files and data sets as raw rows, each with its place, in the order of the source.

In: a file (JSONL, JSON, CSV, TSV, Parquet), a folder saved by `datasets`, or the name of a data set on the Hugging Face hub. Out: (place,
value), the place such as "FILE: row 17". Rows count from 1: in JSONL a row is a line, elsewhere a record (the header of a CSV is none).
Text files are UTF-8, with or without a byte order mark, with any line ends. Cells of CSV and TSV stay text. A JSON file holds a list of
rows, one list under a key ({"train": [...]}), rows by their ids ({"id": {...}}) or one row; what the hub's viewer answers ({"row_idx",
"row"}) is unwrapped. What cannot be read is a `UserError`, or, for a row of a source that is collected, an `Unread`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.datasets.columns import ALIASES
from windvane.datasets.hub import stored_rows

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
VIEWER = {"row_idx", "row", "truncated_cells"}  # the fields of a row as the hub's viewer answers it
ROW_FIELDS = {name for names in ALIASES.values() for name in names}


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that cannot be used, and why, in one line that opens with its place."""

    place: str
    reason: str


def raw_rows(source: str | Path, split: str | None = None, collect: bool = False) -> Iterator[tuple[str, Any]]:
    """Every row of `source`. `split`: of a data set with several, or the key of a JSON file. `collect`: a broken line of JSONL, and a row
    that the hub's viewer cut, is an `Unread` in the place of its value."""
    name, path = str(source), Path(source)
    reader = FILE_READERS.get(path.suffix.lower())
    if path.is_file():
        if reader is None:
            kinds = ", ".join(FILE_READERS)
            raise UserError(f"{name}: unknown kind of file; known: {kinds}, or a folder saved by datasets")
        if split is not None and path.suffix.lower() != ".json":
            raise UserError(f"{name}: a file has no splits; leave the split '{split}' out")
        rows = reader(path, split, collect)
    elif not path.exists() and (reader is not None or not HUB_NAME.fullmatch(name)):
        raise UserError(f"{name}: no such file; check the path")
    else:
        rows = stored_rows(name, split)
    for place, value in rows:
        where = f"{name}: {place}"
        try:
            yield where, value if isinstance(value, Unread) else _unwrapped(value, where)
        except UserError as error:
            if not collect:
                raise
            yield where, Unread(where, str(error))


def table_rows(source: str | Path, split: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of a source whose rows are all tables with named fields."""
    for place, row in raw_rows(source, split):
        if not isinstance(row, dict):
            raise UserError(not_a_table(place, row))
        yield place, row


def not_a_table(place: str, row: Any) -> str:
    """The reason why a row without named fields cannot be used."""
    several = isinstance(row, list) and bool(row) and isinstance(row[0], dict)
    what = "name a file that is one list of rows .json" if several else "mend or remove it"
    return f"{place}: expected a table with named fields, got {type(row).__name__}; {what}"


def _unwrapped(value: Any, where: str) -> Any:
    """The row inside what the hub's viewer answers; anything else as it is."""
    if not (isinstance(value, dict) and isinstance(value.get("row"), dict) and value.keys() <= VIEWER):
        return value
    if value.get("truncated_cells"):
        cut = ", ".join(map(str, value["truncated_cells"]))
        raise UserError(f"{where}: the hub's viewer cut its cells ({cut}); take the row from the data set itself")
    return value["row"]


def _jsonl(path: Path, split: str | None, collect: bool) -> Iterator[tuple[str, Any]]:
    rows = 0
    with path.open(
        "rb"
    ) as handle:  # lines end with \n alone: JSON text may hold U+2028 and its kind, which end no line
        offset = 0
        for number, line in enumerate(handle, 1):
            try:
                text = _utf8(path, line, offset, number)
                if text.strip():
                    rows += 1
                    yield f"row {number}", _json_line(path, text, number)
            except UserError as error:
                if not collect:
                    raise
                rows += 1
                yield f"row {number}", Unread(f"{path}: row {number}", str(error))
            offset += len(line)
    if not rows:
        raise UserError(f"{path}: the file is empty; write at least one row into it")


def _json_line(path: Path, text: str, number: int) -> Any:
    try:
        return json.loads(text.rstrip())
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        reason = str(error)
    more = "; a file that is one list of rows is named .json" if text.strip() in ("[", "{") else ""
    raise UserError(f"{path}: row {number}: not valid JSON ({reason}); mend or remove the line{more}")


def _json(path: Path, split: str | None, collect: bool) -> Iterator[tuple[str, Any]]:
    text = _text(path)
    if text.lstrip().startswith("["):
        if split is not None:
            raise UserError(f"{path}: a list of rows has no splits; leave the split '{split}' out")
        items = list(_json_items(path, text))
        if not items:
            raise UserError(f"{path}: the list is empty; write at least one row into it")
        yield from items
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():  # rows a line under the wrong suffix
            yield from _jsonl(path, split, collect)
            return
        raise UserError(f"{path}: not valid JSON ({error}); mend it, or name a file with a row a line .jsonl") from None
    yield from ((f"row {number}", row) for number, row in enumerate(_rows_of_object(path, found, split), 1))


def _rows_of_object(path: Path, found: Any, split: str | None) -> list[Any]:
    """The rows of a JSON file that is no list: the list under a key, rows by their ids, or one row."""
    if not isinstance(found, dict):
        raise UserError(f"{path}: a JSON file must hold a list of rows, [...]; one row a line is called .jsonl")
    if any(str(key).lower() in ROW_FIELDS for key in found):
        return [found]
    lists = {key: value for key, value in found.items() if isinstance(value, list)}
    if "rows" in lists and "features" in lists:  # the hub's viewer describes the columns beside its rows
        lists = {"rows": lists["rows"]}
    lists = {k: v for k, v in lists.items() if all(isinstance(row, dict) for row in v)}
    if split is not None and split not in lists:
        raise UserError(f"{path}: no list of rows under '{split}'; there are: {', '.join(lists) or 'none'}")
    if split is None and len(lists) > 1:
        raise UserError(f"{path}: it has lists of rows under {', '.join(lists)}; name one as the split")
    if lists:
        key = split if split is not None else next(iter(lists))
        if not lists[key]:
            raise UserError(f"{path}: the list of rows under '{key}' is empty; write at least one row into it")
        return lists[key]
    if found and all(
        isinstance(row, dict) for row in found.values()
    ):  # {"id": row, ...}, as released evaluations write
        return [{"id": key, **row} for key, row in found.items()]
    keys = ", ".join(map(str, found)) or "nothing"
    raise UserError(
        f"{path}: a JSON file must hold a list of rows, alone or under one key, and this one is a table of {keys}; "
        "one row a line is called .jsonl"
    )


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


def _csv(path: Path, split: str | None, collect: bool) -> Iterator[tuple[str, Any]]:
    _text(path)  # UTF-8, and not empty
    before = csv.field_size_limit(sys.maxsize)  # the default refuses fields over 128K characters
    try:
        # `newline=""` keeps line ends inside quotes as they are; every cell stays text ("None", "NA" and "007" included)
        with path.open(encoding="utf-8-sig", newline="") as handle:
            yield from _csv_records(path, handle)
    finally:
        csv.field_size_limit(before)


def _csv_records(path: Path, handle: Any) -> Iterator[tuple[str, Any]]:
    reader = csv.reader(handle, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    header: list[str] | None = None
    number, place = 0, "header"
    try:
        for record in reader:
            if not record:
                continue
            if header is None:
                header = [cell.strip() for cell in record]
                if len(set(header)) < len(header):
                    raise UserError(f"{path}: header: a column name appears twice ({', '.join(header)}); rename one")
                place = "row 1"
                continue
            number += 1
            place = f"row {number} (line {reader.line_num})"
            if len(record) != len(header):
                raise UserError(
                    f"{path}: {place}: {len(record)} fields where the header has {len(header)}; "
                    "put text that holds the delimiter or a line end in double quotes"
                )
            yield place, dict(zip(header, record))
            place = f"row {number + 1}"
    except csv.Error as error:
        raise UserError(f"{path}: {place}: not valid CSV ({error}); mend its quotes") from None
    if not number:
        raise UserError(f"{path}: a header and no rows; write at least one row")


def parquet_rows(path: Path, pick: Callable[[Sequence[str]], str] | None = None) -> Iterator[dict[str, Any]]:
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


def _parquet(path: Path, split: str | None, collect: bool) -> Iterator[tuple[str, Any]]:
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; write at least one row into it")
    number = 0
    for number, row in enumerate(parquet_rows(path), 1):
        yield f"row {number}", row
    if not number:
        raise UserError(f"{path}: no rows; write at least one")


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise UserError(_not_utf8(path, row, data[error.start], error.start)) from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty; write at least one row into it")
    return text


def _utf8(path: Path, line: bytes, offset: int, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(_not_utf8(path, number, error.object[error.start], offset + error.start)) from None


def _not_utf8(path: Path, row: int, byte: int, offset: int) -> str:
    return f"{path}: row {row}: not UTF-8 (byte 0x{byte:02x} at offset {offset}); save the file as UTF-8"


FILE_READERS: dict[str, Callable[[Path, str | None, bool], Iterator[tuple[str, Any]]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
