"""Fields of a row, read strictly: what is missing, empty or of another type is a `UserError` that names the file, the row and the field.

In: a row (a table with named fields) and its place, such as "FILE: row 17". Out: the field's text exactly as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from windvane.core.errors import UserError


def first_of(row: Mapping[str, Any], place: str, names: tuple[str, ...]) -> str:
    """The first of `names` that the row has."""
    name = next((name for name in names if row.get(name) is not None), None)
    return name if name is not None else fail(place, names[0], f"missing; the row has {', '.join(row) or 'no fields'}")


def text_of(row: Mapping[str, Any], place: str, field: str, default: str | None = None, path: str = "") -> str:
    """A text that is not blank; `default` where the row lacks the field and a default is given. `path`: what leads to `row` inside its row,
    such as "rubrics[0].", for the message."""
    value = row.get(field)
    if value is None and default is not None:
        return default
    if value is None:
        fail(place, path + field, f"missing; the row has {', '.join(row) or 'no fields'}")
    if not isinstance(value, str):
        fail(place, path + field, f"expected text, got {type(value).__name__}; mend or remove the row")
    if not value.strip() and default is None:
        fail(place, path + field, "empty; write the text or remove the row")
    return value


def fail(place: str, field: str, text: str) -> NoReturn:
    """Refuse a row for what its `field` holds."""
    raise UserError(f"{place}: field '{field}': {text}")
