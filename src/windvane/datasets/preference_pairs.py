"""Preference pairs from anywhere -> `PreferencePair` records, every row or one line that says what is wrong with it.

In: a file (JSONL, JSON, CSV, TSV, Parquet), a folder saved by `datasets` or a hub data set, with the columns chosen and rejected and
perhaps prompt (also called input, instruction or question), system, probability (that chosen wins) or margin. Layouts, as TRL has them:
- a prompt (text or a chat) and two answers (text, or one assistant turn; the whole chat again, as UltraFeedback's, is understood);
- no prompt: two chats that differ in their last turn, a reply; or two dialogues as text, "\\n\\nHuman: ...\\n\\nAssistant: ..." (HH);
- no prompt, other text: what the two have in common is the prompt, the blank before their difference left to the answers.
Text becomes a user turn and its reply, since a reward model here always reads a chat. Nothing is
dropped or cut in silence; what is stripped is the layout's blanks around a dialogue's turns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.datasets.chats import ROLES, messages_of
from windvane.datasets.tables import Column, read_dataset, read_file

PROMPT_COLUMNS = ("prompt", "input", "instruction", "question")
DIALOGUE = re.compile(r"(?:^|\n\n)(Human|Assistant):")


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """`probability`: that `chosen` wins; `margin`: by how much at least, in the reward's unit. `place`: where it was read."""

    prompt: Prompt
    chosen: str
    rejected: str
    probability: float
    margin: float
    place: str


def read_pairs(source: str | Path, split: str | None = None) -> list[PreferencePair]:
    """Every row of `source`, in its order. Raises `UserError` naming file, row, field and mend for the first that is wrong."""
    name = str(source)
    columns = {"chosen": _column(name, split, "chosen")}
    names = columns["chosen"][1]
    for column in ("rejected", "system", "probability", "margin", *PROMPT_COLUMNS):
        if column in names or column == "rejected":
            columns[column] = _column(name, split, column)
    prompts = [c for c in PROMPT_COLUMNS if c in columns]
    if len(prompts) > 1:
        raise UserError(f"{name}: {' and '.join(prompts)} could each be the prompt; rename one column")
    if {"probability", "margin"} <= columns.keys():
        raise UserError(f"{name}: columns probability and margin: the loss takes one of them; remove one")
    cells = {c: column.cells for c, (column, _) in columns.items()}
    found = []
    for i, (place, _) in enumerate(cells["chosen"]):
        row = {c: values[i][1] for c, values in cells.items()}
        found.append(_pair(f"{name}: {place}", row, prompts[0] if prompts else None))
    return found


def _column(name: str, split: str | None, column: str) -> tuple[Column, Sequence[str]]:
    """One column, and the names of all."""
    seen: list[str] = []

    def pick(names: Sequence[str] | None) -> str:
        if names is None or column not in names:
            there = f"there are: {', '.join(names)}" if names else "rows are bare values"
            raise UserError(f"{name}: no column '{column}' ({there}); preference pairs have chosen and rejected")
        seen.extend(names)
        return column

    path = Path(name)
    if path.is_file():
        if split is not None:
            raise UserError(f"{name}: a file has no splits; leave the split '{split}' out")
        return read_file(path, pick), seen
    if not path.exists() and path.suffix:
        raise UserError(f"{name}: no such file; check the path")
    return read_dataset(name, split, pick), seen


def _pair(where: str, row: dict[str, Any], prompt_column: str | None) -> PreferencePair:
    if prompt_column is not None:
        messages = list(messages_of(row[prompt_column], where, prompt_column))
        chosen, rejected = (_answer(row[f], where, f, messages) for f in ("chosen", "rejected"))
    else:
        messages, chosen, rejected = _implicit(row["chosen"], row["rejected"], where)
    if "system" in row:
        if messages[0].role == "system":
            _fail(where, "system", "the prompt has a system message of its own; remove one")
        if not isinstance(row["system"], str):
            _fail(where, "system", f"expected text, got {type(row['system']).__name__}; mend or remove the row")
        if row["system"].strip():
            messages = [Message("system", row["system"]), *messages]
    if chosen == rejected:
        _fail(where, "rejected", "the same text as chosen; remove the row")
    probability = _number(row.get("probability", 1.0), where, "probability")
    if not 0 <= probability <= 1:
        _fail(where, "probability", f"{probability}; must be in [0, 1]")
    margin = _number(row.get("margin", 0.0), where, "margin")
    return PreferencePair(Prompt.of(tuple(messages)), chosen, rejected, probability, margin, where)


def _answer(value: Any, where: str, field: str, messages: list[Message]) -> str:
    """Text; one assistant turn; or the whole chat, whose turns before the last must be the prompt's."""
    if isinstance(value, str):
        return _text(value, where, field)
    *before, answer = _turns(value, where, field)
    if before and before not in (messages, messages[1:] if messages[0].role == "system" else messages):
        _fail(where, field, "a chat whose turns before the last are not the prompt's; keep the reply alone")
    return answer.content


def _implicit(chosen: Any, rejected: Any, where: str) -> tuple[list[Message], str, str]:
    """(prompt, chosen, rejected) of two chats or texts that begin alike."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        if not (DIALOGUE.match(chosen) and DIALOGUE.match(rejected)):
            return common_text(_text(chosen, where, "chosen"), _text(rejected, where, "rejected"), where)
        chosen, rejected = dialogue(chosen), dialogue(rejected)
    *before, answer = _turns(chosen, where, "chosen")
    *other, second = _turns(rejected, where, "rejected")
    if before != other:
        _fail(where, "rejected", "differs from chosen before its last turn; the two must share the prompt")
    if not before:
        _fail(where, "chosen", "a reply without a prompt; add the column prompt")
    prompt = messages_of([{"role": m.role, "content": m.content} for m in before], where, "chosen")
    return list(prompt), answer.content, second.content


def dialogue(text: str) -> list[dict[str, str]]:
    """The turns of "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    _, *parts = DIALOGUE.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[r], "content": c.strip()} for r, c in zip(parts[::2], parts[1::2])]


def common_text(chosen: str, rejected: str, where: str) -> tuple[list[Message], str, str]:
    """Cut where TRL cuts: at the first difference, the blank before it going to the answers."""
    shorter = min(len(chosen), len(rejected))
    at = next((i for i in range(shorter) if chosen[i] != rejected[i]), shorter)
    if at and chosen[at - 1] == " ":
        at -= 1
    parts = chosen[:at], chosen[at:], rejected[at:]
    if not all(part.strip() for part in parts):
        _fail(
            where,
            "chosen",
            "no prompt, and chosen and rejected are no common opening with two endings; add the column prompt",
        )
    return [Message("user", parts[0])], parts[1], parts[2]


def _turns(value: Any, where: str, field: str) -> list[Message]:
    """A non-empty list of turns, the last the assistant's."""
    if not isinstance(value, list) or not value:
        _fail(where, field, f"expected text or a list of turns, got {type(value).__name__}; mend or remove the row")
    found = []
    for i, turn in enumerate(value):
        role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
        if not isinstance(role, str) or role.strip().lower() not in ROLES:
            _fail(
                where, f"{field}[{i}]", f"expected a turn like {{'role': ..., 'content': ...}}, got {str(turn)[:40]!r}"
            )
        content = _text(turn.get("content", turn.get("value")), where, f"{field}[{i}].content")
        found.append(Message(ROLES[role.strip().lower()], content))
    if found[-1].role != "assistant":
        _fail(where, field, f"the last turn is the {found[-1].role}'s; it must be the reply that is judged")
    return found


def _text(value: Any, where: str, field: str) -> str:
    if not isinstance(value, str):
        _fail(where, field, f"expected text, got {type(value).__name__}; mend or remove the row")
    if not value.strip():
        _fail(where, field, "empty; write the text or remove the row")
    return value


def _number(value: Any, where: str, field: str) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        _fail(where, field, f"expected a number, got {str(value)[:40]!r}; mend or remove the row")
    return number


def _fail(where: str, field: str, text: str) -> NoReturn:
    raise UserError(f"{where}: field '{field}': {text}")
