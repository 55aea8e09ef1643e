"""Prompts with rubrics, in the layout of Multifaceted-Bench: one instance a row, its rubrics read into one form.

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
from windvane.datasets.fields import fail, first_of, text_of
from windvane.datasets.sources import table_rows

LEVELS = ("1", "2", "3", "4", "5")
PROMPT = ("prompt", "instruction", "user_prompt")


@dataclass(frozen=True, slots=True)
class Rubric:
    """`score_descriptions`: what deserves 1, 2, 3, 4 and 5, in this order."""

    criteria: str
    score_descriptions: tuple[str, ...]

    @property
    def text(self) -> str:
        """As a judge reads it: the published layout, indented JSON."""
        table = {"criteria": self.criteria, "score_descriptions": dict(zip(LEVELS, self.score_descriptions))}
        return json.dumps(table, indent=2, ensure_ascii=False)


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
    for place, row in table_rows(source, split):
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


def rubric_of(value: Any) -> tuple[Rubric | None, str | None]:
    """(the rubric in a table of the published layout, None), or (None, why it is none)."""
    if not isinstance(value, Mapping) or not {"criteria", "score_descriptions"} <= value.keys():
        return None, "expected a table with criteria and score_descriptions"
    levels = value["score_descriptions"]
    if not isinstance(levels, Mapping) or {str(k) for k in levels} != set(LEVELS):
        return None, "score_descriptions: expected a table of 1, 2, 3, 4 and 5"
    told = {str(k): v for k, v in levels.items()}
    texts = [value["criteria"], *(told[level] for level in LEVELS)]
    if not all(isinstance(t, str) and t.strip() for t in texts):
        return None, "criteria or a score's description is empty or no text"
    return Rubric(texts[0], tuple(texts[1:])), None


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
