"""Two models compared, as an evaluation's result holds it: a line a difference, with its interval and the smallest that would show.

In: result.json, any evaluation's: a difference is a table with `mean`, `low`, `high` and `mde`, wherever it stands. Out: sentences. Who is
compared is told by `first` and `second`, or by `against` above it; the keys on the way say in what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 12  # lines shown; the rest are in the file
STRUCTURE = frozenset(("comparison", "comparisons", "tasks", "models", "lengths", "minus_first", "shifts"))
NAMES = ("task", "model")  # what an element of a list is called


def differences(result: Mapping[str, Any]) -> list[str]:
    """At most `MOST` lines, and how many more there are."""
    found = list(_walk(result, (), None))
    return found[:MOST] + ([f"{len(found) - MOST} more differences are in the file."] if len(found) > MOST else [])


def _walk(value: Any, path: tuple[str, ...], against: str | None) -> Iterator[str]:
    if isinstance(value, list):
        for element in value:
            if isinstance(element, Mapping):
                name = next((str(element[k]) for k in NAMES if isinstance(element.get(k), str)), "")
                yield from _walk(element, (*path, name), against)
    elif isinstance(value, Mapping):
        against = value["against"] if isinstance(value.get("against"), str) else against
        if {"mean", "low", "high", "mde"} <= value.keys():
            line = _line(value, path, against)
            if line is not None:
                yield line
            return
        for key, inner in value.items():
            if isinstance(inner, (Mapping, list)):
                yield from _walk(inner, (*path, str(key)), against)


def _line(row: Mapping[str, Any], path: tuple[str, ...], against: str | None) -> str | None:
    numbers = [row.get(key) for key in ("mean", "low", "high")]
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers):
        return None
    mean, low, high = (f"{v:+,.4g}".replace("-", "−") for v in numbers)
    told = [part.replace("_", " ") for part in path if part and part not in STRUCTURE]
    if isinstance(row.get("first"), str) and isinstance(row.get("second"), str):
        told.insert(0, f"{row['first']} minus {row['second']}")
    elif against is not None:
        told.append(f"minus {against}")
    seen = row.get("mde")
    known = isinstance(seen, (int, float)) and not isinstance(seen, bool)
    return f"{', '.join(told) or 'difference'}: {mean} [{low}, {high}]" + (
        f"; a difference under {seen:,.3g} would probably go unseen." if known else "."
    )
