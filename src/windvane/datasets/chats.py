"""One cell of a prompts file -> the messages of a chat, or one line that says what is wrong with it.

In: a plain string, a list of turns {"role", "content"} or {"from", "value"} (ShareGPT's names), or such a list as JSON text in a
cell of a chat column (CSV has no lists). Out: `Message`s: at most one system message, first; then user and assistant in turn; last
a user's, because a prompt waits for an answer. Text is kept to the letter: nothing is stripped, normalised or cut. Content in parts
({"type": "text", "text": ...}) is joined with nothing between, as templates that know parts do. What a turn says beside its text (tool
calls, a thought, that it is not to be learnt) is never overlooked: such a turn is refused.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NoReturn

from windvane.core.errors import UserError
from windvane.core.records import Message

CHAT_COLUMNS = ("messages", "conversations", "conversation")
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
TOOLS = "tool calls are not supported; write the turn as text or remove the row"
THOUGHT = "a thought beside the text is not read; write it into the text as the model's own template has it, or remove the field"
BESIDE = {  # fields of a turn that hold words of their own, which a template would write
    "tool_calls": TOOLS, "function_call": TOOLS,
    "reasoning_content": THOUGHT, "reasoning": THOUGHT, "thinking": THOUGHT,
}  # fmt: skip
LEARNT = ("weight", "train", "loss")  # OpenAI's, axolotl's: whether a turn is learnt


NOT_RENDERED = {  # columns beside a chat that a template would render
    "tools": "tool definitions are not rendered here",
    "chat_template_kwargs": "a row's own arguments of the template are not read; --thinking sets the thinking switch for all rows",
    "images": "images are not read", "image": "images are not read", "videos": "videos are not read", "audios": "sound is not read",
}  # fmt: skip


def refuse_beside(cell: Any, where: str, column: str) -> None:
    """`UserError` where a column that is not read holds what a template would write beside the turns."""
    told = NOT_RENDERED.get(column.lower())
    if told and cell and cell not in ("[]", "{}", "null"):
        _fail(where, column, f"{told}; remove the row, or the column where the prompt goes without")


def messages_of(value: Any, where: str, field: str) -> tuple[Message, ...]:
    """The chat in `value`; `where` ("prompts.jsonl: row 17") and `field` open the `UserError` of a broken one."""
    messages = turns_of(value, where, field)
    if messages[-1].role != "user":
        _fail(where, field, "the last turn is the assistant's; end with a user turn that waits for an answer")
    return messages


def turns_of(value: Any, where: str, field: str) -> tuple[Message, ...]:
    """The same for a chat that may have been answered: its last turn is the user's or the assistant's."""
    if isinstance(value, str) and field.lower() in CHAT_COLUMNS and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            _fail(where, field, f"looks like a list of turns but is not valid JSON ({error}); mend the cell")
    if isinstance(value, str):
        return (Message("user", _text(value, where, field)),)
    if not isinstance(value, list):
        _fail(where, field, f"expected text or a list of turns, got {_kind(value)}; mend or remove the row")
    if not value:
        _fail(where, field, "the chat has no turns; write at least one user turn or remove the row")
    messages = tuple(_turn(turn, where, f"{field}[{i}]" if field else f"turn {i + 1}") for i, turn in enumerate(value))
    _check_order(messages, where, field)
    return messages


def turn_of(turn: Any, where: str, field: str) -> Message:
    """One turn by itself, whoever speaks."""
    return _turn(turn, where, field)


def _turn(turn: Any, where: str, field: str) -> Message:
    if not isinstance(turn, dict):
        _fail(where, field, f"expected a turn like {{'role': ..., 'content': ...}}, got {_kind(turn)}")
    keys = ("role", "content") if turn.get("role") is not None or turn.get("from") is None else ("from", "value")
    role, content = (turn.get(key) for key in keys)
    for name, told in BESIDE.items():
        if turn.get(name):
            _fail(where, f"{field}.{name}", told)
    for name in LEARNT:
        if turn.get(name) in (0, False):
            _fail(
                where, f"{field}.{name}", "a turn that is not to be learnt; every assistant turn is, or the last alone "
                "(--learn last): cut the chat behind the answer to learn, and remove the field",
            )  # fmt: skip
    if not isinstance(role, str) or role.strip().lower() not in ROLES:
        _fail(where, f"{field}.{keys[0]}", f"expected system, user or assistant, got {_kind(role)}")
    if isinstance(content, list):
        content = _parts(content, where, f"{field}.{keys[1]}")
    return Message(ROLES[role.strip().lower()], _text(content, where, f"{field}.{keys[1]}"))


def _parts(parts: list[Any], where: str, field: str) -> str:
    """The text of content in parts."""
    for i, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            what = f"one of type {kind!r}" + (" without text" if kind == "text" else "") if kind else _kind(part)
            _fail(
                where,
                f"{field}[{i}]",
                f"expected a part {{'type': 'text', 'text': ...}}, got {what}; text alone is read",
            )
    return "".join(part["text"] for part in parts)


def _text(value: Any, where: str, field: str) -> str:
    if not isinstance(value, str):
        _fail(where, field, f"expected text, got {_kind(value)}; mend or remove the row")
    if not value.strip():
        _fail(where, field, "empty; write the text or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        _fail(where, field, f"half of a surrogate pair at character {error.start + 1}, which is no text; mend the row")
    return value


def _check_order(messages: tuple[Message, ...], where: str, field: str) -> None:
    roles = [m.role for m in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if "system" in turns:
        _fail(where, field, "a system message must come first and only once; mend the order of the turns")
    if not turns or turns[0] != "user":
        first = "the system message stands alone" if not turns else "the first turn is the assistant's"
        _fail(where, field, f"{first}; after a system message, if any, the user speaks first")
    for number, (before, after) in enumerate(itertools.pairwise(turns), len(roles) - len(turns) + 1):
        if before == after:
            _fail(where, field, f"turns {number} and {number + 1} are both the {after}'s; they must alternate")


def _fail(where: str, field: str, text: str) -> NoReturn:
    raise UserError(f"{where}: field '{field}': {text}" if field else f"{where}: {text}")


def _kind(value: Any) -> str:
    names = {type(None): "nothing", dict: "a table", list: "a list"}
    return names.get(type(value), f"{type(value).__name__} {str(value)[:40]!r}")
