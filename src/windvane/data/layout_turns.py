"""The turns of one row: those before the answer, from whichever columns hold some, and those of an answer.

In: a row and the columns of its layout. Out: `Message`s. Turns are {"role", "content"} or {"from", "value"}, one of them alone, text, or
in a table of text the JSON of a list of turns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.data.chats import messages_of, turn_of, turns_of
from windvane.data.layout_answers import fail
from windvane.records import Message

Turns = tuple[Message, ...]


def prompt_turns(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> list[Message]:
    """The turns before the answer, of every column that holds some."""
    if "prompt" in columns:
        field = columns["prompt"]
        messages = list(messages_of(unpacked(row.get(field)), where, field))
    else:
        field = columns["chat"]
        messages = list(turns_of(unpacked(row.get(field)), where, field))
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


def unpacked(value: Any) -> Any:
    """Turns that a table of text holds as JSON."""
    if isinstance(value, str) and value.lstrip().startswith(('[{"role"', '[{"from"', '[{"content"', '[{"value"')):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def answer_turns(value: Any, where: str, field: str, prompt: Sequence[Message]) -> Turns:
    """Text; one turn; several turns; or the whole chat, which must begin with the prompt's turns."""
    value = unpacked(value)
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
