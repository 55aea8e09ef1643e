"""Multifaceted-Bench: one instance a row, its rubrics read into one form.

In: rows with source, system, prompt, reference_answer, rubrics (a list of tables with criteria and score_descriptions, or the same as JSON
text; `rubric` in an older example); or the older layout: id, user_prompt, system_prompt, reference_answer, main_source, original_source,
preference, rubric. Out: `Instance`s. An id that the file does not give is made of the row's content, and always text: in the released
evaluation numbers in one file did not meet texts in another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.datasets.table_rows import rows_of
from windvane.janus.collection_rows import PROMPT, fail, first_of, text_of
from windvane.janus.value_rubrics import Rubric, rubric_of


@dataclass(frozen=True, slots=True)
class Instance:
    """`reference`: an answer that would deserve 5 under this system message, None where the row has none."""

    id: str
    source: str
    system: str
    prompt: str
    reference: str | None
    rubrics: tuple[Rubric, ...]
    place: str


def read_bench(source: str | Path, split: str | None = None) -> list[Instance]:
    """Every row. `UserError` for the first that is wrong, and for an id that stands twice."""
    found: dict[str, Instance] = {}
    for place, row in rows_of(source, split):
        prompt = text_of(row, place, first_of(row, place, PROMPT))
        system = text_of(row, place, first_of(row, place, ("system", "system_prompt")))
        rubrics = rubrics_of(row, place)
        given = row.get("id")
        made = content_id([system, prompt, [r.text for r in rubrics]])
        instance = Instance(
            made if given is None else str(given),
            text_of(row, place, next((n for n in ("source", "main_source") if row.get(n) is not None), "source"), "?"),
            system,
            prompt,
            text_of(row, place, "reference_answer") if row.get("reference_answer") is not None else None,
            rubrics,
            place,
        )
        if instance.id in found:
            raise UserError(
                f"{place}: field 'id': '{instance.id}' stands in {found[instance.id].place} too; rename one"
            )
        found[instance.id] = instance
    if not found:
        raise UserError(f"{source}: no rows; a bench has system, prompt, reference_answer and rubrics")
    return list(found.values())


def rubrics_of(row: Mapping[str, Any], place: str) -> tuple[Rubric, ...]:
    """The rubrics of one row, in order."""
    name = first_of(row, place, ("rubrics", "rubric"))
    return tuple(_rubric(v, place, f"{name}[{i}]") for i, v in enumerate(_listed(row[name], place, name)))


def _listed(value: Any, place: str, field: str) -> list[Any]:
    value = _parsed(value, place, field)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value:
        fail(place, field, "expected a list of rubrics, one a value; mend or remove the row")
    return value


def _rubric(value: Any, place: str, field: str) -> Rubric:
    found, reason = rubric_of(_parsed(value, place, field))
    return found if found is not None else fail(place, field, f"{reason}; mend or remove the row")


def _parsed(value: Any, place: str, field: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        fail(place, field, f"expected a rubric as a table or as JSON text ({error}); mend or remove the row")
