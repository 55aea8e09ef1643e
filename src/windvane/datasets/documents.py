"""Long documents from anywhere -> `Document`s, one at a time: a corpus need not fit in memory.

In: text files (whatever their suffix: a file is a document), folders of such, JSONL, Parquet, JSON, CSV (a row is a document), a folder
saved by `datasets`, a data set on the Hugging Face hub, or `toy:FAMILY[:SEED]`, the toy world's own. Out: documents in the
order of the sources, text to the letter: nothing is stripped, normalised or cut. The first thing that is wrong stops the reading with one
line naming file, row, field and mend. Ids come from content, so a document that stands twice has one id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.hub import refusal
from windvane.core.records import content_id
from windvane.datasets.sources import FILE_READERS, HUB_NAME, parquet_rows, raw_rows
from windvane.runs.store import read_jsonl

USUAL_COLUMNS = ("text", "content", "document", "raw_content", "context", "body")
SAVED = ("state.json", "dataset_dict.json")  # what `datasets` leaves in a folder of its own


@dataclass(frozen=True, slots=True)
class Document:
    """`source`: file name and row, for people; its suffix may say how to cut it."""

    id: str
    source: str
    text: str

    @staticmethod
    def of(source: str, text: str) -> Document:
        return Document(content_id(["document", text]), source, text)


def read_documents(
    sources: Sequence[str],
    column: str | None = None,
    split: str | None = None,
    lengths: Sequence[int] = (),
    count: int | None = None,
) -> Iterator[Document]:
    """Every document of `sources`. `column`: the field that holds the text (found by itself where one of the usual names is there);
    `split`: of a data set with several; `lengths` (tokens) and `count` (documents of each) are asked of the toy world, which makes
    its own."""
    if not sources:
        raise UserError("documents: none named; give files, folders, a data set or toy:FAMILY")
    for name in sources:
        path = Path(name).expanduser()
        if is_family(name):
            yield from _of_family(name, lengths, count)
        elif path.is_file():
            yield from _file(path, column)
        elif path.is_dir() and not any((path / s).exists() for s in SAVED):
            files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            if not files:
                raise UserError(f"{path}: the folder is empty; put documents into it")
            for file in files:
                yield from _file(file, column)
        elif path.is_dir() or (
            HUB_NAME.fullmatch(name) and ("/" in name or not path.suffix)
        ):  # nowhere.txt is no data set
            yield from _dataset(name, column, split)
        else:
            raise UserError(f"{name}: no such file; check the path")


def choose_column(source: str, names: Sequence[str], wanted: str | None) -> str:
    """`wanted` if it is there, else the only usual name."""
    listed = ", ".join(map(str, names)) or "none"
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"{source}: no column '{wanted}'; there are: {listed}")
        return wanted
    usual = [n for n in names if str(n).lower() in USUAL_COLUMNS]
    if len(usual) != 1:
        problem = f"{' and '.join(usual)} could each be the text" if usual else "no column looks like the text"
        raise UserError(f"{source}: {problem}; columns: {listed}; name one with --document-column")
    return usual[0]


def _file(path: Path, column: str | None) -> Iterator[Document]:
    kind = path.suffix.lower()
    if kind in (".jsonl", ".ndjson"):
        yield from _rows(path, ((f"row {n}", v) for n, v in read_jsonl(path)), column)
    elif kind == ".parquet":
        yield from _parquet(path, column)
    elif kind in FILE_READERS:
        rows = ((place.removeprefix(f"{path}: "), row) for place, row in raw_rows(path))
        yield from _rows(path, rows, column)
    else:
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: byte {error.start}: not UTF-8 text; save it as UTF-8, or keep other files out of the folder"
            ) from None
        yield Document.of(path.name, text)


def _rows(path: Path, rows: Iterator[tuple[str, Any]], column: str | None) -> Iterator[Document]:
    chosen = None
    for place, row in rows:
        if isinstance(row, str):
            yield _document(path.name, place, row, None)
            continue
        if not isinstance(row, dict):
            raise UserError(
                f"{path}: {place}: expected a table or text, got {type(row).__name__}; mend or remove the row"
            )
        chosen = chosen or choose_column(str(path), list(row), column)
        yield _document(path.name, place, row.get(chosen), chosen)


def _parquet(path: Path, column: str | None) -> Iterator[Document]:
    rows = parquet_rows(path, lambda names: choose_column(str(path), names, column))
    for number, row in enumerate(rows, 1):
        ((name, value),) = row.items()
        yield _document(path.name, f"row {number}", value, name)


def _dataset(name: str, column: str | None, split: str | None) -> Iterator[Document]:
    import datasets

    try:
        data = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not Path(name).is_dir() and (refused := refusal(error, name, "data set")) is not None:
            raise UserError(f"{name}: {refused}") from None
        raise UserError(
            f"{name}: no such file, and no data set that can be read ({reason[:200]}); check the name"
        ) from None
    if isinstance(data, dict):
        if (split is None and len(data) > 1) or (split is not None and split not in data):
            raise UserError(f"{name}: it has the splits {', '.join(data)}; name one with --document-split")
        data = data[split if split is not None else next(iter(data))]
    chosen = choose_column(name, data.column_names, column)
    for number, row in enumerate(data.select_columns([chosen]), 1):
        yield _document(Path(name).name, f"row {number}", row[chosen], chosen)


def _document(file: str, place: str, value: Any, column: str | None) -> Document:
    if not isinstance(value, str):
        field = f" field '{column}':" if column else ""
        raise UserError(f"{file}: {place}:{field} expected text, got {type(value).__name__}; mend or remove the row")
    try:
        return Document.of(f"{file}: {place}", value)
    except UnicodeEncodeError as error:
        raise UserError(
            f"{file}: {place}: half of a surrogate pair at character {error.start + 1}, which is no text; mend the row"
        ) from None


def _of_family(name: str, lengths: Sequence[int], count: int | None) -> Iterator[Document]:
    """`toy:FAMILY[:SEED]`: `count` documents of each of `lengths`."""
    documents, seed = offer(name, "documents")
    if not (seed or "0").isdigit():
        raise UserError(f"{name}: '{seed}' is no seed; give toy:FAMILY or toy:FAMILY:SEED")
    for number, text in enumerate(documents(int(seed or 0), lengths, count), 1):
        yield Document.of(f"{name}: {number}", text)
