"""The turns of one row: those before the response, from whichever columns hold some, and those of a response.

In: a row and the columns of its layout. Out: `Message`s, and the loss weights of a response's turns. A prompt of text that is a dialogue
("\\n\\nHuman: ...\\n\\nAssistant:", Anthropic's HH) is read as its turns; a prompt that is only implied is what chosen and rejected have in
common, as in TRL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.records import Message
from windvane.datasets.fields import fail
from windvane.datasets.scores import list_cell
from windvane.datasets.turns import Turns, Weight, blank, messages_of, turn_of, turns_of, unpacked, weighted_turns_of

Weighted = tuple[Turns, tuple[Weight, ...]]
ANSWERS = ("chosen", "rejected", "answer", "answers")
DIALOGUE = re.compile(r"(?:^|\n\n)(Human|Assistant):")
ASKED = re.compile(r"\n\nAssistant:\s*$")


def spoken(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The row with text that is a dialogue as its turns, the blanks around a turn left out: a prompt that ends with "Assistant:", or, where
    there is none, chosen and rejected."""
    turns: dict[str, Any] = {}
    if "prompt" in columns:
        value = row.get(columns["prompt"])
        if isinstance(value, str) and DIALOGUE.match(value) and ASKED.search(value):
            turns = {name: _stripped(row.get(name)) for role, name in columns.items() if role in ANSWERS}
            turns[columns["prompt"]] = dialogue(value)[:-1]
    elif "chat" not in columns and {"chosen", "rejected"} <= columns.keys():
        names = columns["chosen"], columns["rejected"]
        if all(isinstance(row.get(n), str) and DIALOGUE.match(row[n]) for n in names):
            turns = {n: dialogue(row[n]) for n in names}
    return {**row, **turns}


def _stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripped(v) for v in value]
    return value.strip() if isinstance(value, str) else value


def dialogue(text: str) -> list[dict[str, str]]:
    """The turns of "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    _, *parts = DIALOGUE.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[r], "content": c.strip()} for r, c in zip(parts[::2], parts[1::2])]


def prompt_turns(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Turns:
    """The turns of the prompt's column, or of the chat's, which may end with the assistant's, under those of the columns beside it."""
    return weighted_prompt_turns(row, columns, where)[0]


def weighted_prompt_turns(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Weighted:
    """The same, with the loss weight of each turn."""
    field = columns["prompt"] if "prompt" in columns else columns["chat"]
    if row.get(field) is None:
        fail(
            where,
            field,
            f"missing; the row has {', '.join(k for k, v in row.items() if v is not None) or 'nothing'}; add it",
        )
    if "prompt" in columns:
        messages = messages_of(row[field], where, field)
        weights: tuple[Weight, ...] = (1.0,) * len(messages)
    else:
        messages, weights = weighted_turns_of(row[field], where, field)
    context = row.get(columns["context"]) if "context" in columns else None
    if not blank(context) and not isinstance(context, str):
        fail(where, columns["context"], f"expected text, got {type(context).__name__}; mend or remove the row")
    if isinstance(context, str) and context.strip():  # LLaMA-Factory joins alpaca's instruction and input by a line end
        messages = (*messages[:-1], Message("user", f"{messages[-1].content}\n{context}"))
    if "history" in columns:
        system = messages[:1] if messages[0].role == "system" else ()
        earlier = _history(row.get(columns["history"]), where, columns["history"])
        if system and earlier and earlier[0].role == "system":
            fail(where, columns["history"], "history and prompt each have a system message; remove one")
        messages = (*system, *earlier, *messages[len(system) :])
    messages = with_system(messages, row, columns, where)
    return messages, (*(1.0,) * (len(messages) - len(weights)), *weights)


def with_system(messages: Turns, row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Turns:
    """The system message of a column of its own goes first."""
    system = row.get(columns["system"]) if "system" in columns else None
    if system is not None and not isinstance(system, str):
        fail(where, columns["system"], f"expected text, got {type(system).__name__}; mend or remove the row")
    if not system or not system.strip():
        return messages
    if any(m.role == "system" for m in messages):
        fail(where, columns["system"], "the prompt has a system message of its own; remove one")
    return (Message("system", system), *messages)


def _history(value: Any, where: str, field: str) -> Turns:
    """Alpaca's: [[user, assistant], ...]; turns are read, too."""
    value = unpacked(list_cell(value), where, field)
    if blank(value):
        return ()
    if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value):
        value = [{"role": r, "content": t} for pair in value for r, t in zip(("user", "assistant"), pair)]
    elif not (isinstance(value, list) and all(isinstance(turn, dict) for turn in value)):
        fail(where, field, "expected a list of [user, assistant] pairs; mend or remove the row")
    turns = turns_of(value, where, field)
    if turns[-1].role != "assistant":
        fail(where, field, "ends with the user's turn, and another one follows in the prompt; mend or remove the row")
    return turns


def response_turns(value: Any, where: str, field: str, prompt: Sequence[Message]) -> Weighted:
    """Text; one turn; several turns; or the whole chat, which must begin with the prompt's turns."""
    value = unpacked(value, where, field)
    if isinstance(value, str):
        return (Message("assistant", turns_of(value, where, field)[0].content),), (1.0,)
    if isinstance(value, dict):
        value = [value]
    if value is None:
        fail(where, field, "missing; add the response, or remove the row")
    if not isinstance(value, list) or not value:
        fail(where, field, f"expected text or turns, got {type(value).__name__}; mend or remove the row")
    pairs = [turn_of(t, where, f"{field}[{i}]") for i, t in enumerate(value)]
    turns, weights = tuple(message for message, _ in pairs), tuple(weight for _, weight in pairs)
    for start in (tuple(prompt), tuple(m for m in prompt if m.role != "system")):
        if start and turns[: len(start)] == start:
            turns, weights = turns[len(start) :], weights[len(start) :]
            break
    expected = [("assistant", "user")[i % 2] for i in range(len(turns))]
    if not turns or len(turns) % 2 == 0 or [m.role for m in turns] != expected:
        roles = ", ".join(m.role for m in turns) or "nothing beyond the prompt"
        fail(
            where,
            field,
            f"an answer begins and ends with the assistant's turn, after the prompt's own turns or without them; this one has {roles}",
        )
    return turns, weights


def implied_prompt(row: Mapping[str, Any], names: tuple[str, str], where: str) -> tuple[Turns, list[Weighted]]:
    """The prompt that chosen and rejected have in common (TRL's implicit prompt), as text or as turns, and what is left of the two."""
    chosen, rejected = (unpacked(row.get(n), where, n) for n in names)
    if isinstance(chosen, str) and isinstance(rejected, str):
        for value, name in zip((chosen, rejected), names):
            turns_of(value, where, name)  # not empty
        messages, first, second = _common_text(chosen, rejected, where, names[0])
        return messages, [((Message("assistant", text),), (1.0,)) for text in (first, second)]
    sides = [weighted_turns_of(v, where, n) for v, n in zip((chosen, rejected), names)]
    left, right = (turns for turns, _ in sides)
    shared = 0
    while shared < min(len(left), len(right)) and left[shared] == right[shared]:
        shared += 1
    if shared == len(left) == len(right):
        fail(where, names[1], f"the same as {names[0]}; remove the row")
    while shared and left[shared - 1].role != "user":
        shared -= 1
    if not shared:
        fail(where, names[0], "the two chats share no user turn, so there is no prompt; add the column prompt")
    for (turns, _), name in zip(sides, names):
        if len(turns) == shared or turns[-1].role != "assistant":
            fail(where, name, "an answer begins and ends with the assistant's turn; this one ends with the user's")
    return left[:shared], [(turns[shared:], weights[shared:]) for turns, weights in sides]


def _common_text(chosen: str, rejected: str, where: str, field: str) -> tuple[Turns, str, str]:
    """Cut where TRL cuts: at the first difference, the blank before it going to the answers."""
    shorter = min(len(chosen), len(rejected))
    at = next((i for i in range(shorter) if chosen[i] != rejected[i]), shorter)
    if at and chosen[at - 1] == " ":
        at -= 1
    parts = chosen[:at], chosen[at:], rejected[at:]
    if not all(part.strip() for part in parts):
        fail(
            where,
            field,
            "no prompt, and chosen and rejected are no common opening with two endings; add the column prompt",
        )
    return (Message("user", parts[0]),), parts[1], parts[2]
