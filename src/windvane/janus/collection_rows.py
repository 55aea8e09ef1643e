"""Multifaceted-Collection as it is published, and as we write it: a reader for each layout.

In: rows of a file or data set (`table_rows`), with
- SFT: main_source, original_source, preference_set (a list of four, one a dimension), system, prompt, output; earlier versions say
  `instruction` for prompt;
- DPO and ORPO: ..., system, prompt, chosen, rejected, the answers as text or as a list of one assistant's turn; earlier versions say
  `chosen_response` and `rejected_response`;
- RM: chosen and rejected as text with `input`, which holds system message and prompt together, or with system and prompt apart.
Out: `Sample`s and `Preference`s. What is missing or no text is a `UserError` naming file, row and field. Fields not named here are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.records import content_id
from windvane.core.text import normalize
from windvane.datasets.fields import fail, first_of, text_of
from windvane.datasets.sources import table_rows
from windvane.janus.value_prompts import Value
from windvane.judges.rubric_rows import PROMPT

FIELDS = ("dimension", "subdimension", "preference", "description")


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer to one instruction under one system message. `place`: where it was read, or "" where it was made."""

    main_source: str
    original_source: str
    preference_set: tuple[Value, ...]
    system: str
    prompt: str
    output: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """`chosen` was written for `system`, `rejected` for another system message of the same instruction. Of an RM row with `input` the
    system message is part of `prompt`, and `system` is empty."""

    main_source: str
    original_source: str
    system: str
    prompt: str
    chosen: str
    rejected: str
    place: str = ""


def instruction_id(prompt: str) -> str:
    """The same for instructions that differ in letters' case, blanks and punctuation alone: none of them may stand on both sides of a
    split. Of a text without letters or digits, its own."""
    return content_id(normalize(prompt) or prompt)


def read_samples(source: str | Path, split: str | None = None) -> Iterator[Sample]:
    """The SFT layout."""
    for place, row in table_rows(source, split):
        values = row.get("preference_set")
        if not isinstance(values, list) or not values:
            fail(
                place,
                "preference_set",
                "an instruction without a set of values; expected a list of tables, one a dimension",
            )
        yield Sample(
            text_of(row, place, "main_source", ""),
            text_of(row, place, "original_source", ""),
            tuple(value_of(v, place, f"preference_set[{i}]") for i, v in enumerate(values)),
            text_of(row, place, "system"),
            text_of(row, place, first_of(row, place, PROMPT)),
            text_of(row, place, "output"),
            place,
        )


def read_preferences(source: str | Path, split: str | None = None) -> Iterator[Preference]:
    """The DPO, ORPO and RM layouts."""
    for place, row in table_rows(source, split):
        chosen = answer_of(row, place, first_of(row, place, ("chosen", "chosen_response")))
        rejected = answer_of(row, place, first_of(row, place, ("rejected", "rejected_response")))
        if chosen == rejected:
            fail(place, "rejected", "the same text as chosen; remove the row")
        whole = row.get("input") is not None
        yield Preference(
            text_of(row, place, "main_source", ""),
            text_of(row, place, "original_source", ""),
            "" if whole else text_of(row, place, "system"),
            text_of(row, place, "input" if whole else first_of(row, place, PROMPT)),
            chosen,
            rejected,
            place,
        )


def value_of(value: Any, place: str, field: str) -> Value:
    """One item of a preference set; what stands beside its four fields is left."""
    if not isinstance(value, Mapping):
        fail(place, field, f"expected a table with {', '.join(FIELDS)}; mend or remove the row")
    return Value(*(text_of(value, place, name, None, f"{field}.") for name in FIELDS))


def answer_of(row: Mapping[str, Any], place: str, field: str) -> str:
    """Text, or the content of the last turn of a list, the assistant's."""
    value = row[field]
    if not isinstance(value, list):
        return text_of(row, place, field)
    last = value[-1] if value else None
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        fail(place, field, "expected text, or a list of turns that ends with the assistant's; mend or remove the row")
    return text_of(last, place, "content", None, f"{field}[-1].")
