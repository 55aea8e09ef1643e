"""Several answers to one prompt, each with what is known of how good it is.

In: the cell of answers (texts, or tables with a text and perhaps a score: UltraFeedback's completions), and the cells of scores and of
probabilities. Out: the texts, and a score or a probability each, or neither.

An answer's score in UltraFeedback as released is the mean of its four ratings (helpfulness, honesty, instruction following, truthfulness),
1 to 5, not `overall_score`, which the data set's own readers found wrong (an overall score of 10 was often a 1.0 misread; Argilla's
`ultrafeedback-binarized-preferences` mends it the same way). An answer that was not rated in some way ("N/A") has no score at all: a
mean of the others, or `overall_score` in its place, would stand beside means of another scale. `--columns scores=overall_score` takes
that one for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from windvane.core.errors import UserError

TEXTS = ("response", "text", "content", "output", "completion", "answer")
SCORES = ("score", "rating", "reward", "overall_score")
PROBABILITIES = ("probability", "p_win", "p_loo")


def answers_of(
    row: Mapping[str, Any], columns: Mapping[str, str], where: str
) -> tuple[list[Any], list[float] | None, list[float] | None]:
    """(answers as they stand, scores, probabilities that each wins)."""
    field = columns["answers"]
    cell = row.get(field)
    if not isinstance(cell, list) or not cell:
        fail(where, field, f"expected a list of answers, got {type(cell).__name__}; mend or remove the row")
    wanted = columns.get("scores")
    inner = wanted if wanted is not None and wanted not in row else None  # a field inside each answer
    texts, scores, probabilities = [], [], []
    for i, answer in enumerate(cell):
        place = f"{field}[{i}]"
        if not isinstance(answer, Mapping) or "role" in answer or "from" in answer:
            texts.append(answer)
            continue
        name = next((n for n in TEXTS if n in answer), None)
        if name is None:
            fail(where, place, f"no text; name it {' or '.join(TEXTS[:3])}")
        texts.append(answer[name])
        score = _inline(answer, (inner,) if inner else SCORES, where, place)
        rated = answer.get("annotations")
        if inner is None and isinstance(rated, Mapping) and any("Rating" in (told or ()) for told in rated.values()):
            score = _mean_rating(rated, where, place)
        scores.append(score)
        probabilities.append(_inline(answer, PROBABILITIES, where, place))
    told = None if inner else listed(row, wanted, len(cell), where)
    likely = listed(row, columns.get("probabilities"), len(cell), where)
    return texts, told or _whole(scores, len(cell)), _checked(likely or _whole(probabilities, len(cell)), where)


def has_scores(row: Mapping[str, Any], column: str) -> bool:
    """Whether the answers of a row carry a score or a probability of their own."""
    cell = row.get(column)
    first = cell[0] if isinstance(cell, list) and cell else None
    return isinstance(first, Mapping) and any(n in first for n in (*SCORES, *PROBABILITIES, "annotations"))


def listed(row: Mapping[str, Any], column: str | None, count: int, where: str) -> list[float] | None:
    """A list of `count` numbers, or None where there is no such column."""
    if column is None:
        return None
    cell = row.get(column)
    if not isinstance(cell, Sequence) or isinstance(cell, str) or len(cell) != count:
        found = (
            f"{len(cell)} values" if isinstance(cell, Sequence) and not isinstance(cell, str) else type(cell).__name__
        )
        fail(where, column, f"expected one number for each of {count} answers, got {found}; mend or remove the row")
    return [number(v, where, f"{column}[{i}]") for i, v in enumerate(cell)]


def number(value: Any, where: str, field: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        fail(where, field, f"expected a number, got {str(value)[:40]!r}; mend or remove the row")
    return found


def _inline(answer: Mapping[str, Any], names: Sequence[str], where: str, place: str) -> float | None:
    name = next((n for n in names if answer.get(n) is not None), None)
    return None if name is None else number(answer[name], where, f"{place}.{name}")


def _mean_rating(aspects: Mapping[str, Any], where: str, place: str) -> float | None:
    """None where an aspect was not rated (UltraFeedback writes "N/A")."""
    found = []
    for aspect, told in aspects.items():
        value = told.get("Rating") if isinstance(told, Mapping) else None
        if value in (None, "N/A"):
            return None
        found.append(number(value, where, f"{place}.annotations.{aspect}.Rating"))
    return sum(found) / len(found) if found else None


def _whole(values: Sequence[float | None], count: int) -> list[float] | None:
    found = [v for v in values if v is not None]
    return found if len(found) == count else None


def _checked(values: list[float] | None, where: str) -> list[float] | None:
    for value in values or ():
        if not 0 <= value <= 1:
            fail(where, "probabilities", f"{value:g}; must be in [0, 1]")
    return values


def fail(where: str, field: str, text: str) -> NoReturn:
    raise UserError(f"{where}: field '{field}': {text}")
