"""Files of predictions, line by line: what can be read is kept, the rest is counted by reason.

In: JSONL files (or files of one JSON list) and how one benchmark makes a row of a value. Out: its rows, reason -> lines left out, and
model -> rows that name it (one mean over two models' rows would be nobody's score: the caller refuses them in its own words).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from windvane.core.errors import UserError

R = TypeVar("R")
BROKEN = object()
MODELS = ("model", "model_name", "generator")


def read_lines(
    files: Iterable[Path], parse: Callable[[Any, Path, int], R | str]
) -> tuple[list[R], Counter[str], Counter[str]]:
    """(rows, left out, models). `parse(value, file, line number)` gives a row, or the reason why there is none. A file that cannot be
    read is a `UserError`."""
    rows: list[R] = []
    left_out: Counter[str] = Counter()
    models: Counter[str] = Counter()
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from None
        for number, value in _values(text):
            if value is BROKEN:
                left_out["not valid JSON"] += 1
                continue
            row = parse(value, file, number)
            if isinstance(row, str):
                left_out[row] += 1
                continue
            rows.append(row)
            models.update(
                [str(value[k]) for k in MODELS if k in value][:1]
            )  # one name a row: `generator` may name the engine
    return rows, left_out, models


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """(line number, value or BROKEN); of a file that is one list of tables its elements, by their place."""
    if text.lstrip().startswith("["):
        whole = _read(text)
        if isinstance(whole, list) and any(isinstance(value, dict) for value in whole):
            yield from enumerate(whole, 1)
            return
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: predictions hold U+2028 and form feeds
        if line.strip():
            yield number, _read(line)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the latter: a line of a thousand opening brackets
        return BROKEN
