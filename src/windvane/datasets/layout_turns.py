"""The turns of one row: those before the answer, from whichever columns hold some, and those of an answer.

In: a row and the columns of its layout. Out: `Message`s. Turns are {"role", "content"} or {"from", "value"}, one of them alone, text, or
in a table of text a list of turns as JSON or as Python writes it (what pandas makes of one in a CSV). A prompt of text that is a dialogue
("\\n\\nHuman: ...\\n\\nAssistant:", Anthropic's HH) is read as its turns.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.records import Message
from windvane.datasets.chats import messages_of, turn_of, turns_of
from windvane.datasets.layout_responses import fail
from windvane.datasets.preference_pairs import DIALOGUE, dialogue

Turns = tuple[Message, ...]
ANSWERS = ("chosen", "rejected", "answer", "answers")
ASKED = re.compile(r"\n\nAssistant:\s*$")
PACKED = re.compile(r"""\s*\[\s*\{\s*['"](role|from|content|value)['"]""")


def spoken(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The row with text that is a dialogue as its turns, the blanks around a turn left out: a prompt that ends with "Assistant:", or, where
    there is none, chosen and rejected."""
    found: dict[str, Any] = {}
    if "prompt" in columns:
        value = row.get(columns["prompt"])
        if isinstance(value, str) and DIALOGUE.match(value) and ASKED.search(value):
            found = {name: _stripped(row.get(name)) for role, name in columns.items() if role in ANSWERS}
            found[columns["prompt"]] = dialogue(value)[:-1]
    elif "chat" not in columns and {"chosen", "rejected"} <= columns.keys():
        names = columns["chosen"], columns["rejected"]
        if all(isinstance(row.get(n), str) and DIALOGUE.match(row[n]) for n in names):
            found = {n: dialogue(row[n]) for n in names}
    return {**row, **found}


def _stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripped(v) for v in value]
    return value.strip() if isinstance(value, str) else value


def prompt_turns(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> list[Message]:
    """The turns before the answer, of every column that holds some."""
    if "prompt" in columns:
        field = columns["prompt"]
        messages = list(messages_of(unpacked(row.get(field), where, field), where, field))
    else:
        field = columns["chat"]
        messages = list(turns_of(unpacked(row.get(field), where, field), where, field))
    context = row.get(columns["context"]) if "context" in columns else None
    if isinstance(context, str) and context.strip():  # LLaMA-Factory joins alpaca's instruction and input by a line end
        messages[-1] = Message("user", f"{messages[-1].content}\n{context}")
    history = row.get(columns["history"]) if "history" in columns else None
    if history:
        messages = [*_history(history, where, columns["history"]), *messages]
    return with_system(messages, row, columns, where)


def with_system(
    messages: list[Message], row: Mapping[str, Any], columns: Mapping[str, str], where: str
) -> list[Message]:
    """The system message of a column of its own goes first."""
    system = row.get(columns["system"]) if "system" in columns else None
    if system is not None and not isinstance(system, str):
        fail(where, columns["system"], f"expected text, got {type(system).__name__}; mend or remove the row")
    if not system or not system.strip():
        return messages
    if messages[0].role == "system":
        fail(where, columns["system"], "the prompt has a system message of its own; remove one")
    return [Message("system", system), *messages]


def _history(value: Any, where: str, field: str) -> list[Message]:
    """Alpaca's: [[user, assistant], ...]."""
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        fail(where, field, "expected a list of [user, assistant] pairs; mend or remove the row")
    turns = [{"role": r, "content": t} for pair in value for r, t in zip(("user", "assistant"), pair)]
    return list(turns_of(turns, where, field))


def unpacked(value: Any, where: str, field: str) -> Any:
    """Turns that a table of text holds as a list in JSON or in Python's writing; text stays text."""
    if not isinstance(value, str) or not PACKED.match(value):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, list) and all(_is_turn(turn) for turn in found) else value
    if value.rstrip().endswith("]") and re.search(r"""['"](content|value)['"]\s*:""", value):
        fail(where, field, "looks like a list of turns, but is neither JSON nor a Python list; write it as JSON")
    return value


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and any({a, b} <= turn.keys() for a, b in (("role", "content"), ("from", "value")))


def answer_turns(value: Any, where: str, field: str, prompt: Sequence[Message]) -> Turns:
    """Text; one turn; several turns; or the whole chat, which must begin with the prompt's turns."""
    value = unpacked(value, where, field)
    if isinstance(value, str):
        return (Message("assistant", turns_of(value, where, field)[0].content),)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        fail(where, field, f"expected text or turns, got {type(value).__name__}; mend or remove the row")
    turns = tuple(turn_of(t, where, f"{field}[{i}]") for i, t in enumerate(value))
    for start in (tuple(prompt), tuple(m for m in prompt if m.role != "system")):
        if start and turns[: len(start)] == start:
            turns = turns[len(start) :]
            break
    expected = [("assistant", "user")[i % 2] for i in range(len(turns))]
    if not turns or len(turns) % 2 == 0 or [m.role for m in turns] != expected:
        told = ", ".join(m.role for m in turns) or "nothing beyond the prompt"
        fail(
            where,
            field,
            f"an answer begins and ends with the assistant's turn, after the prompt's own turns or without them; this one has {told}",
        )
    return turns
