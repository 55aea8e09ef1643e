"""Files of transcripts -> `ReadTranscripts`: what could be read, and what could not with its reason and line.

In: CSV and TSV (the public data's single column or columns of their own), JSONL, JSON, Parquet, plain text (.txt, .md), or
`toy:grades[:SPEAKERS[:SEED]]`, the toy world's own. A row that
cannot be read is quarantined; only a file that cannot be read at all, or has no row, stops with a `UserError`. Text is UTF-8 (UTF-16
with its mark); other bytes are read as Windows-1252, which is what spreadsheets write, and each row of such a file says so among its
repairs.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.schema import torn
from windvane.datasets.sources import parquet_rows
from windvane.evalyaks.transcripts.instruction_rows import read_instruction
from windvane.evalyaks.transcripts.record import Quarantined, ReadTranscripts, Transcript
from windvane.evalyaks.transcripts.rows import read_row
from windvane.evalyaks.transcripts.text import read_text

PLAIN = (".txt", ".md", ".text", "")
WINDOWS = "read as Windows-1252, not UTF-8"
TORN = "half of a surrogate pair, which is no text"
Row = tuple[int, str, Any]  # line it begins at, its text, its value (a string says why there is none)


def read_transcripts(
    files: Sequence[str | Path],
    part: int | None = None,
    speakers: Mapping[str, str] | None = None,
    step: float = 1.0,
) -> ReadTranscripts:
    """Every row of `files`. `part`: for rows that do not say theirs (a file's name may: "Part2_LongTurn.csv"). `speakers`: label
    -> role, for names. `step`: of the score scale (0.5 where half bands are given)."""
    known = {" ".join(k.casefold().split()): v for k, v in (speakers or {}).items()}
    records: list[Transcript] = []
    quarantined: list[Quarantined] = []
    for name in files:
        if is_family(str(name)):
            records += _of_family(str(name))
            continue
        path = Path(name)
        before = len(records) + len(quarantined)
        for line, text, found in _file(path, part or _named(path), known, step):
            if isinstance(found, str):
                quarantined.append(Quarantined(f"{path.name}: line {line}", line, found, text))
            else:
                records.append(found)
        if len(records) + len(quarantined) == before:
            raise UserError(f"{path}: no rows; write at least one transcript into it")
    return ReadTranscripts(records, quarantined)


def _of_family(name: str) -> list[Transcript]:
    """`toy:FAMILY[:SPEAKERS[:SEED]]`."""
    transcripts, rest = offer(name, "transcripts")
    speakers, _, seed = rest.partition(":")
    if not (seed or "0").isdecimal():
        raise UserError(f"{name}: '{seed}' is no seed; give toy:grades:train:SEED or toy:grades:test:SEED")
    return list(transcripts(int(seed or 0), family=speakers or "train"))


def _named(path: Path) -> int | None:
    found = re.search(r"part[ _-]*([1-4])(?!\d)", path.stem, re.IGNORECASE)
    return int(found[1]) if found else None


def _file(
    path: Path, part: int | None, speakers: Mapping[str, str], step: float
) -> Iterator[tuple[int, str, Transcript | str]]:
    if path.suffix.lower() in PLAIN:
        text, notes = _decoded(path)
        for line, found in read_text(text, part, path.name, speakers, step):
            yield line, text, _noted(found, notes)
        return
    notes = _decoded(path)[1] if path.suffix.lower() in TEXTS else ()
    for line, text, value in read_rows(path):
        try:
            found = _row(value, part, f"{path.name}: line {line}", speakers, step)
        except UnicodeEncodeError:  # JSON within a cell
            found = TORN
        yield line, text, _noted(found, notes)


def _row(value: Any, part: int | None, source: str, speakers: Mapping[str, str], step: float) -> Transcript | str:
    if isinstance(value, Problem):
        return str(value)
    if isinstance(value, str) and ("[INST]" in value or "[/INST]" in value):
        return read_instruction(value, part, source, None, speakers, step)
    if isinstance(value, str):
        return read_row({"text": value}, part, source, speakers, step)
    if isinstance(value, Mapping):
        return read_row(value, part, source, speakers, step)
    return f"expected a table or text, got {type(value).__name__}"


def read_rows(path: Path) -> Iterator[Row]:
    """(line, text, value) of each row of a table, whatever it holds; a `Problem` where the row is none."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        for number, row in enumerate(parquet_rows(path), 1):
            yield number, json.dumps(row, default=str, ensure_ascii=False), row
    elif kind in TEXTS:
        yield from TEXTS[kind](path, _decoded(path)[0])
    else:
        known = ", ".join([*TEXTS, ".parquet"])
        raise UserError(
            f"{path}: unknown kind of file; known: {known}, and .txt for transcripts; save it as one of these"
        )


class Problem(str):
    """Why a row has no value."""


def _noted(found: Transcript | str, notes: tuple[str, ...]) -> Transcript | str:
    return (
        dataclasses.replace(found, repairs=(*notes, *found.repairs)) if notes and not isinstance(found, str) else found
    )


def _decoded(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace"), ()
    if b"\0" in data[:4096] or data[:4] == b"PK\x03\x04":
        raise UserError(f"{path}: no text file; save the transcript as plain text, CSV or JSONL")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), (WINDOWS,)


def _csv(path: Path, text: str) -> Iterator[Row]:
    before = csv.field_size_limit(sys.maxsize)  # the default refuses fields over 128K characters
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        header: list[str] = []
        line = 1
        for record in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in record):
                continue
            if not header:
                header = [cell.strip() for cell in record]
                if any("[INST]" in cell for cell in header):  # no header at all: the first row is a row
                    header = ["PROMPT"]
                else:
                    continue
            whole = "\n".join(record)
            if len(header) == 1:
                # an unquoted comma would split the one column; nothing else can have
                yield (
                    start,
                    whole,
                    record[0] if len(record) == 1 else Problem(f"{len(record)} fields where the header has 1"),
                )
            elif len(record) != len(header):
                yield start, whole, Problem(f"{len(record)} fields where the header has {len(header)}")
            else:
                yield start, whole, dict(zip(header, record))
    finally:
        csv.field_size_limit(before)


def _jsonl(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # JSON text may hold U+2028 and its kind, which end no line
        if line.strip():
            try:
                value = json.loads(line)
                yield number, line, Problem(TORN) if torn(value) else value
            except (ValueError, RecursionError) as error:
                yield number, line, Problem(f"not valid JSON ({error})")


def _json(path: Path, text: str) -> Iterator[Row]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = text.strip().split("\n")
        if len(lines) > 1 and lines[0].startswith("{") and lines[0].rstrip().endswith("}"):
            yield from _jsonl(path, text)
            return
        raise UserError(f"{path}: not valid JSON ({error}); one row a line is called .jsonl") from None
    rows = value if isinstance(value, list) else [value]
    for number, row in enumerate(rows, 1):
        broken = torn(row)
        yield number, json.dumps(row, ensure_ascii=broken), Problem(TORN) if broken else row


TEXTS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
}
