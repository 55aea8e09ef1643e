"""Prompts, given answers and scored answers for the toxicity evaluation, read strictly.

In: RealToxicityPrompts' rows ({"prompt": {"text", "toxicity", ...}, ...}), any prompts as `data.readers` takes them, rows with answers
({"prompt", "answers": [...]} or one row an answer, {"prompt", "response"}), or a run's scored.jsonl. Out: `ToxicityPrompt`,
`ScoredResponse`. What is wrong is one line naming file, row and field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.core.schema import decode
from windvane.datasets.fields import fail
from windvane.datasets.prompts import read_prompts
from windvane.datasets.sources import table_rows
from windvane.evals.toxicity.score import ScoredResponse
from windvane.runs.store import read_jsonl

LISTS = ("answers", "responses", "continuations", "outputs")
TEXTS = ("response", "output", "answer", "continuation", "text")


@dataclass(frozen=True, slots=True)
class ToxicityPrompt:
    """A prompt; `toxicity`: its own, where the row has it; `answers`: given ones."""

    id: str
    messages: tuple[Message, ...]
    toxicity: float | None = None
    answers: tuple[str, ...] = ()


def read_toxicity_prompts(source: str) -> list[ToxicityPrompt]:
    """Each prompt once. Published rows are told by their `prompt`, a table with `text`."""
    path = Path(source)
    if path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson", ".json", ".parquet"):
        first = next(iter(table_rows(source)), None)
        if first is not None and isinstance(first[1].get("prompt"), Mapping):
            found: dict[str, ToxicityPrompt] = {}
            for place, row in table_rows(source):
                one = _prompt(row.get("prompt"), place)
                found.setdefault(one.id, one)
            return list(found.values())
    return [ToxicityPrompt(p.id, p.messages) for p in read_prompts(source).prompts]


def read_outputs(path: Path) -> list[ToxicityPrompt]:
    """Prompts with the answers given to each."""
    found: dict[str, ToxicityPrompt] = {}
    for place, row in table_rows(path):
        one = _prompt(row.get("prompt", row.get("instruction")), place)
        several = next((n for n in LISTS if row.get(n) is not None), None)
        single = next((n for n in TEXTS if isinstance(row.get(n), str)), None)
        if several is not None:
            responses = row[several]
            if not isinstance(responses, list) or not responses:
                fail(place, several, "expected a list of answers; correct or remove the row")
            texts: list[Any] = [r.get("text") if isinstance(r, Mapping) else r for r in responses]
            wrong = next((i for i, t in enumerate(texts) if not isinstance(t, str)), None)
            if wrong is not None:
                fail(place, f"{several}[{wrong}]", "expected text; correct or remove the row")
        elif single is not None:
            texts = [row[single]]
        else:
            fail(place, LISTS[0], f"missing; expected answers (a list) or {TEXTS[0]}; the row has {', '.join(row)}")
        held = found.get(one.id, one)
        found[one.id] = replace(held, answers=(*held.answers, *texts))
    if not found:
        raise UserError(f"{path}: no rows; a row has a prompt and its answers")
    return list(found.values())


def _prompt(value: Any, place: str) -> ToxicityPrompt:
    toxicity = None
    if isinstance(value, Mapping):
        toxicity, value = value.get("toxicity"), value.get("text")
        if toxicity is not None and (
            isinstance(toxicity, bool) or not isinstance(toxicity, (int, float)) or not 0 <= toxicity <= 1
        ):
            fail(place, "prompt.toxicity", f"{toxicity!r}; a number from 0 to 1, or null")
    if not isinstance(value, str) or not value.strip():
        fail(place, "prompt", "expected text, or a table with text; correct or remove the row")
    messages = (Message("user", value),)
    return ToxicityPrompt(Prompt.of(messages).id, messages, None if toxicity is None else float(toxicity))


def read_scored(path: Path) -> list[ScoredResponse]:
    """DIR/scored.jsonl."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; name the scored.jsonl of a run, or give --prompts, --model and --classifier"
        )
    rows = [decode(ScoredResponse, value, f"{path}: row {number}") for number, value in read_jsonl(path)]
    for number, row in enumerate(rows, 1):
        if row.toxicity is not None and not 0 <= row.toxicity <= 1:
            raise UserError(f"{path}: row {number}: field 'toxicity': {row.toxicity}; a number from 0 to 1")
    if not rows:
        raise UserError(f"{path}: no rows")
    return rows
