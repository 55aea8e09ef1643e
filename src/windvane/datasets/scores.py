"""Several responses to one prompt, each with what is known of how good it is; and numbers and labels in the cells of a file.

In: the cell of responses (texts, or tables with a text and perhaps a score: UltraFeedback's completions), and the cells of scores and of
probabilities; lists may stand as JSON or as Python writes them in a cell of text. Out: the texts, and a score or a probability each, or
neither.

A response's score in UltraFeedback is the mean of its ratings (helpfulness, honesty, instruction following, truthfulness), 1 to 5, each a
table with a Rating or, as its annotation script writes it, a list of such; not `overall_score`, which the data set's own readers found
wrong (an overall score of 10 was often a 1.0 misread; Argilla's `ultrafeedback-binarized-preferences` corrects it the same way). A response
that was not rated in some way ("N/A") has no score at all: a mean of the others, or `overall_score` in its place, would stand beside means
of another scale. `--columns scores=overall_score` takes that one for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.datasets.fields import fail
from windvane.datasets.turns import blank, literal

TEXTS = ("response", "text", "content", "output", "completion", "answer")
SCORES = ("score", "rating", "reward", "overall_score")
PROBABILITIES = ("probability", "p_win", "p_loo")


def scored_responses(
    row: Mapping[str, Any], columns: Mapping[str, str], where: str
) -> tuple[list[Any], list[float] | None, list[float] | None]:
    """(responses as they stand, scores, probabilities that each wins)."""
    field = columns["answers"]
    cell = list_cell(row.get(field))
    if not isinstance(cell, list):
        fail(where, field, f"expected a list of answers, got {type(cell).__name__}; mend or remove the row")
    if not cell:
        fail(where, field, "an empty list, so there is no answer to the prompt; add the answers, or remove the row")
    column = columns.get("scores")
    inner = column if column is not None and column not in row else None  # a field inside each response
    texts, scores, probabilities = [], [], []
    for i, response in enumerate(cell):
        place = f"{field}[{i}]"
        if not isinstance(response, Mapping) or "role" in response or "from" in response:
            texts.append(response)
            continue
        name = next((n for n in TEXTS if n in response), None)
        if name is None:
            fail(where, place, f"no text; name it {' or '.join(TEXTS[:3])}")
        texts.append(response[name])
        score = _inline(response, (inner,) if inner else SCORES, where, place)
        annotations = response.get("annotations")
        if inner is None and isinstance(annotations, Mapping):
            ratings = {aspect: _ratings(value) for aspect, value in annotations.items()}
            if any(ratings.values()):
                score = _mean_rating(ratings, where, f"{place}.annotations")
        scores.append(score)
        probabilities.append(_inline(response, PROBABILITIES, where, place))
    listed = None if inner else _numbers(row, column, len(cell), where)
    likely = _numbers(row, columns.get("probabilities"), len(cell), where)
    return texts, listed or _whole(scores, len(cell)), _checked(likely or _whole(probabilities, len(cell)), where)


def has_scores(row: Mapping[str, Any], column: str) -> bool:
    """Whether a response of the row carries a score or a probability of its own."""
    cell = list_cell(row.get(column))
    first = cell[0] if isinstance(cell, list) and cell else None
    return isinstance(first, Mapping) and any(n in first for n in (*SCORES, *PROBABILITIES, "annotations"))


def list_cell(value: Any) -> Any:
    """The list that a cell of text holds; any other value as it is."""
    if isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]"):
        parsed = literal(value)
        return parsed if isinstance(parsed, list) else value
    return value


def number(value: Any, where: str, field: str) -> float:
    """A finite number, as such or as text."""
    try:
        parsed = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if not math.isfinite(parsed):
        fail(where, field, f"expected a number, got {str(value)[:40]!r}; mend or remove the row")
    return parsed


def optional_number(row: Mapping[str, Any], column: str | None, where: str) -> float | None:
    """The number in a cell; None where there is no such column, or nothing in it (a table of text has an empty text there)."""
    cell = row.get(column) if column is not None else None
    return None if column is None or blank(cell) else number(cell, where, column)


LABELS = {"true": True, "yes": True, "false": False, "no": False}


def label(value: Any, where: str, field: str) -> bool:
    """Whether a response is desirable: true or false, yes or no, 1 or 0 or -1, as such or as text."""
    word = str(value).strip().lower()
    try:
        known = LABELS[word] if word in LABELS else {1.0: True, 0.0: False, -1.0: False}[float(word)]
    except (KeyError, ValueError):
        what = "nothing" if blank(value) else repr(str(value)[:40])
        fail(where, field, f"expected true or false (desirable or not), got {what}; mend or remove the row")
    return known


def _numbers(row: Mapping[str, Any], column: str | None, count: int, where: str) -> list[float] | None:
    """A list of `count` numbers, or None where there is no such column."""
    if column is None:
        return None
    cell = list_cell(row.get(column))
    if not isinstance(cell, Sequence) or isinstance(cell, str) or len(cell) != count:
        what = (
            f"{len(cell)} values" if isinstance(cell, Sequence) and not isinstance(cell, str) else type(cell).__name__
        )
        fail(where, column, f"expected one number for each of {count} answers, got {what}; mend or remove the row")
    return [number(v, where, f"{column}[{i}]") for i, v in enumerate(cell)]


def _inline(response: Mapping[str, Any], names: Sequence[str], where: str, place: str) -> float | None:
    name = next((n for n in names if response.get(n) is not None), None)
    return None if name is None else number(response[name], where, f"{place}.{name}")


def _ratings(value: Any) -> list[Any]:
    """The ratings of one aspect: of a table, of a list of tables, or the value itself where it is a number; none of anything else."""
    if isinstance(value, Mapping):
        return [v for k, v in value.items() if str(k).lower() == "rating"]
    if isinstance(value, list):
        return [rating for item in value for rating in _ratings(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def _mean_rating(ratings: Mapping[str, list[Any]], where: str, place: str) -> float | None:
    """The mean over the aspects of each aspect's mean; None where an aspect was not rated (UltraFeedback writes "N/A")."""
    means = []
    for aspect, given in ratings.items():
        if not given or any(rating in (None, "N/A") for rating in given):
            return None
        values = [number(rating, where, f"{place}.{aspect}.Rating") for rating in given]
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def _whole(values: Sequence[float | None], count: int) -> list[float] | None:
    known = [v for v in values if v is not None]
    return known if len(known) == count else None


def _checked(values: list[float] | None, where: str) -> list[float] | None:
    for value in values or ():
        if not 0 <= value <= 1:
            fail(where, "probabilities", f"{value:g}; must be in [0, 1]")
    return values
