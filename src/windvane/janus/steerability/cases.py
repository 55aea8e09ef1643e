"""What a steerability test asks: system messages with the values they ask for, several of them to one prompt.

In: rows of Multifaceted-Bench's layout (system, prompt, rubrics) and, where one has them, `values` (a name for each rubric; the same name
must have the same rubric everywhere; without it a rubric's criteria are its name), `split` (what is held out of this row: "seen",
"wordings", "combinations", ...), `targets` (which of its values the split is about; all of them where it is left out) and `id`. Or
`toy:values[:PROMPTS[:SEED]]`, the toy world's. Out: `Case`s. What is wrong is one line naming file, row and field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.records import content_id
from windvane.datasets.fields import fail, first_of, text_of
from windvane.datasets.sources import table_rows
from windvane.judges.rubric_rows import PROMPT, rubrics_of

PROMPTS = 60  # of the toy world, where no number is given
WHOLE = "all"


@dataclass(frozen=True, slots=True)
class Case:
    """One system message to one prompt. `rubrics`: value's name -> the rubric as a judge reads it, in the order of the row."""

    id: str
    split: str
    system: str
    prompt: str
    rubrics: Mapping[str, str]
    targets: tuple[str, ...]


def read_cases(source: str) -> list[Case]:
    """Every row. `UserError` also where no prompt has two system messages: then there is nothing to swap."""
    found: dict[str, Case] = {}
    known: dict[str, tuple[str, str]] = {}
    for place, row in _rows(source):
        case = _case(row, place)
        if case.id in found:
            raise UserError(
                f"{place}: field 'id': '{case.id}' stands twice; rename one, or leave one of two equal rows out"
            )
        for name, rubric in case.rubrics.items():
            held, where = known.setdefault(name, (rubric, place))
            if held != rubric:
                raise UserError(
                    f"{place}: field 'values': '{name}' has another rubric in {where}; rename one of the two"
                )
        found[case.id] = case
    if not found:
        raise UserError(f"{source}: no rows; a case has system, prompt and rubrics")
    if all(len(group) < 2 for group in by_prompt(found.values()).values()):
        raise UserError(
            f"{source}: no prompt has two system messages in one split, so nothing can be swapped; give each prompt two or more"
        )
    return list(found.values())


def by_prompt(cases: Iterable[Case]) -> dict[tuple[str, str], list[Case]]:
    """(prompt, split) -> its cases, in order."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        found.setdefault((case.prompt, case.split), []).append(case)
    return found


def _case(row: Mapping[str, Any], place: str) -> Case:
    prompt = text_of(row, place, first_of(row, place, PROMPT))
    system = text_of(row, place, first_of(row, place, ("system", "system_prompt")))
    rubrics = rubrics_of(row, place)
    names = _names(row, place, "values", [r.criteria for r in rubrics])
    if len(names) != len(rubrics):
        fail(place, "values", f"{len(names)} names for {len(rubrics)} rubrics; name each rubric")
    if len(set(names)) != len(names):
        fail(place, "values", "a name stands twice; a row asks for each value once")
    targets = _names(row, place, "targets", names)
    strange = next((t for t in targets if t not in names), None)
    if strange is not None or not targets:
        fail(
            place,
            "targets",
            f"{strange!r} is none of the row's values" if strange else "empty; leave the field out for all",
        )
    split = text_of(row, place, "split", WHOLE)
    made = content_id([split, system, prompt, [r.text for r in rubrics]])
    given = row.get("id")
    texts = {name: rubric.text for name, rubric in zip(names, rubrics)}
    return Case(made if given is None else str(given), split or WHOLE, system, prompt, texts, tuple(targets))


def _names(row: Mapping[str, Any], place: str, field: str, default: Sequence[str]) -> list[str]:
    value = row.get(field)
    if value is None:
        return list(default)
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        fail(place, field, "expected a list of names; mend or remove the field")
    return list(value)


def _rows(source: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if not is_family(source):
        return table_rows(source)
    rows, rest = offer(source, "steering")
    numbers = rest.split(":") if rest else []
    if len(numbers) > 2 or not all(n.isdecimal() for n in numbers):
        raise UserError(f"--cases {source}: expected toy:values[:PROMPTS[:SEED]], both of them numbers")
    count, seed = [*map(int, numbers), *(PROMPTS, 0)[len(numbers) :]]
    return ((f"{source}: row {i}", row) for i, row in enumerate(rows(count, seed), 1))
