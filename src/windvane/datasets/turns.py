"""One cell -> the turns of a chat, each with its loss weight, or one line that says what is wrong with it.

In: a plain string, a turn {"role", "content"} or {"from", "value"} (ShareGPT's names), a list of turns, or turns as JSON or as Python
writes them in a cell of text (CSV has no lists; pandas writes Python's). Out: `Message`s: at most one system message, first; then user and
assistant in turn. Text is kept to the letter: nothing is stripped, normalised or cut. Content in parts ({"type": "text", "text": ...}) is
joined with nothing between, as templates that know parts do. What a turn holds beside its text is never overlooked: tool calls and thoughts
are refused, and what says how much of the turn is learned (`MASKS`) becomes its weight.
"""

from __future__ import annotations

import ast
import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from windvane.core.records import Message
from windvane.datasets.fields import fail

Turns = tuple[Message, ...]
# How much of a turn is learned: one weight, or [start, stop) of characters with a weight each (the rest counts 1)
Weight = float | tuple[tuple[int, int, float], ...]

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
OTHERS = (
    "tool",
    "function",
    "function_call",
    "observation",
    "ipython",
    "developer",
)  # speakers that are known and refused
TOOLS = "tool calls are not supported; write the turn as text or remove the row"
THOUGHT = "a thought beside the text is not read; write it into the text as the model's own template has it, or remove the field"
BESIDE = {  # fields of a turn that hold words of their own, which a template would write
    "tool_calls": TOOLS, "function_call": TOOLS,
    "reasoning_content": THOUGHT, "reasoning": THOUGHT, "thinking": THOUGHT,
}  # fmt: skip
# Fields that say how much of a turn is learned: OpenAI's and SlimOrca's weight, axolotl's train and training, ms-swift's loss and
# loss_scale
MASKS = ("weight", "train", "training", "loss", "loss_scale")
SEGMENTS = "train_detail"  # axolotl's: [{"begin_offset", "end_offset" (inclusive), "train"}, ...]
LIKE_A_MASK = re.compile(r"mask|train|loss|learn|weight|ignore", re.I)
NOT_RENDERED = {  # columns beside a chat that a template would render
    "tools": "tool definitions are not rendered here",
    "chat_template_kwargs": "a row's own arguments of the template are not read; --thinking sets the thinking switch for all rows",
    "images": "images are not read", "image": "images are not read", "videos": "videos are not read", "audios": "sound is not read",
}  # fmt: skip
SPEAKER, WORDS = (re.compile(rf"""['"]({names})['"]\s*:""") for names in ("role|from", "content|value|tool_calls"))


def blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, an empty text or list, or a table or list all of whose values are blank."""
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}", "null", "None")
    if isinstance(value, Mapping):
        return all(blank(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(blank(v) for v in value)
    return value is None or value != value  # NaN, which pandas writes for nothing


def refuse_beside(cell: Any, where: str, column: str) -> None:
    """`UserError` where a column that is not read holds what a template would write beside the turns."""
    reason = NOT_RENDERED.get(column.lower())
    if reason and not blank(cell):
        fail(where, column, f"{reason}; remove the row, or the column where the prompt goes without")


def messages_of(value: Any, where: str, field: str) -> Turns:
    """The chat in `value`, which ends with the user's turn; `where` ("prompts.jsonl: row 17") and `field` open the `UserError`."""
    messages = turns_of(value, where, field)
    if messages[-1].role != "user":
        fail(where, field, "the last turn is the assistant's; end with a user turn that waits for a response")
    return messages


def turns_of(value: Any, where: str, field: str) -> Turns:
    """The chat in `value`, which ends with the user's or the assistant's turn."""
    return weighted_turns_of(value, where, field)[0]


def weighted_turns_of(value: Any, where: str, field: str) -> tuple[Turns, tuple[Weight, ...]]:
    """The chat in `value` and the loss weight of each turn."""
    value = unpacked(value, where, field)
    if isinstance(value, str):
        if field.lower() in CHAT_COLUMNS and value.lstrip().startswith("["):
            fail(
                where, field, "looks like a list of turns, but is neither JSON nor written as Python; write it as JSON"
            )
        return (Message("user", _text(value, where, field)),), (1.0,)
    if isinstance(value, dict) and _is_turn(value):
        value = [value]
    if not isinstance(value, list):
        fail(where, field, f"expected text or a list of turns, got {_kind(value)}; mend or remove the row")
    if not value:
        fail(where, field, "the chat has no turns; write at least one user turn or remove the row")
    turns = [turn_of(turn, where, f"{field}[{i}]") for i, turn in enumerate(value)]
    messages = tuple(message for message, _ in turns)
    _check_order(messages, where, field)
    return messages, tuple(weight for _, weight in turns)


def turn_of(turn: Any, where: str, field: str) -> tuple[Message, Weight]:
    """One turn by itself, whoever speaks, and its loss weight."""
    if not isinstance(turn, dict):
        fail(where, field, f"expected a turn like {{'role': ..., 'content': ...}}, got {_kind(turn)}")
    keys = ("role", "content") if turn.get("role") is not None or turn.get("from") is None else ("from", "value")
    role, content = (turn.get(key) for key in keys)
    for name, reason in BESIDE.items():
        if not blank(turn.get(name)):
            fail(where, f"{field}.{name}", reason)
    if not isinstance(role, str) or role.strip().lower() not in ROLES:
        fail(where, f"{field}.{keys[0]}", f"expected system, user or assistant, got {_kind(role)}")
    role = ROLES[role.strip().lower()]
    if isinstance(content, list):
        content = _parts(content, where, f"{field}.{keys[1]}")
    text = _text(content, where, f"{field}.{keys[1]}")
    return Message(role, text), _weight(turn, role, text, where, field)


def unpacked(value: Any, where: str, field: str) -> Any:
    """Turns that a cell of text holds, as JSON or as Python writes them, and the list in {"messages": [...]}; any other value as it is."""
    if isinstance(value, str) and _looks_packed(value):
        parsed = literal(value)
        if parsed is None:
            if WORDS.search(value):
                fail(where, field, "looks like turns, but is neither JSON nor written as Python; write it as JSON")
            return value
        inner = unpacked(parsed, where, field)
        turns = inner if isinstance(inner, list) else [inner]
        return inner if turns and all(isinstance(t, dict) for t in turns) and any(map(_is_turn, turns)) else value
    if isinstance(value, dict) and len(value) == 1:
        (name, inner), *_ = value.items()
        if str(name).lower() in CHAT_COLUMNS and isinstance(inner, list):
            return inner
    return value


def _looks_packed(text: str) -> bool:
    text = text.strip()
    return text.startswith(("[", "{", "array(")) and text.endswith(("]", "}", ")")) and SPEAKER.search(text) is not None


def literal(text: str) -> Any:
    """The list or table that a text holds in JSON or as Python writes it; None where it holds neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return value if isinstance(value, (list, dict)) else None
    return None


def _is_turn(turn: Mapping[str, Any]) -> bool:
    """Whether a table is a turn: it names its speaker and holds words or a call, whatever stands beside them."""
    for role, content in (("role", "content"), ("from", "value")):
        speaker = turn.get(role)
        if isinstance(speaker, str):
            known = speaker.strip().lower() in (*ROLES, *OTHERS)
            if (content in turn and (known or isinstance(turn[content], (str, list)))) or (
                known and any(name in turn for name in BESIDE)
            ):
                return True
    return False


def _weight(turn: Mapping[str, Any], role: str, text: str, where: str, field: str) -> Weight:
    """The turn's loss weight by its own fields; 1 where it has none."""
    whole = 1.0
    for name in MASKS:
        if not blank(turn.get(name)):
            value = _learned(turn[name], where, f"{field}.{name}")
            if role != "assistant" and value:
                fail(
                    where,
                    f"{field}.{name}",
                    f"asks to learn the {role}'s words, which is never done; write 0 or remove the field",
                )
            whole *= value
    if role != "assistant":
        if any(_learned(s.get("train"), where, f"{field}.{SEGMENTS}") for s in _segments(turn, where, field)):
            fail(
                where, f"{field}.{SEGMENTS}", f"asks to learn the {role}'s words, which is never done; remove the field"
            )
        return 1.0
    for name, value in turn.items():
        known = name in (*MASKS, SEGMENTS, "role", "from", "content", "value")
        if not known and not blank(value) and LIKE_A_MASK.search(str(name)):
            fail(
                where, f"{field}.{name}",
                f"looks as if it says what is learned, and is not known; known are {', '.join((*MASKS, SEGMENTS))}: rename or remove it",
            )  # fmt: skip
    spans = []
    for number, segment in enumerate(_segments(turn, where, field)):
        place = f"{field}.{SEGMENTS}[{number}]"
        start, end = (_offset(segment.get(name)) for name in ("begin_offset", "end_offset"))
        if not 0 <= start <= end:
            fail(
                where,
                place,
                "expected whole numbers 0 <= begin_offset <= end_offset, the end included; mend the segment",
            )
        spans.append((start, min(end + 1, len(text)), whole * _learned(segment.get("train"), where, f"{place}.train")))
    spans = sorted(span for span in spans if span[0] < span[1])
    for before, after in itertools.pairwise(spans):
        if after[0] < before[1]:
            fail(where, f"{field}.{SEGMENTS}", f"segments overlap at character {after[0]}; mend them")
    if not spans or all(weight == whole for *_, weight in spans):
        return whole
    at = 0
    whole_turn: list[tuple[int, int, float]] = []  # what no segment covers counts as the turn does
    for start, stop, weight in [*spans, (len(text), len(text), whole)]:
        whole_turn += [(at, start, whole)] if at < start else []
        whole_turn += [(start, stop, weight)] if start < stop else []
        at = stop
    return 0.0 if not any(weight for *_, weight in whole_turn) else tuple(whole_turn)


def _offset(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _segments(turn: Mapping[str, Any], where: str, field: str) -> list[Mapping[str, Any]]:
    value = turn.get(SEGMENTS)
    if blank(value):
        return []
    if not isinstance(value, list) or not all(isinstance(segment, Mapping) for segment in value):
        fail(where, f"{field}.{SEGMENTS}", "expected a list of {'begin_offset', 'end_offset', 'train'}; mend the turn")
    return value


def _learned(value: Any, where: str, field: str) -> float:
    """A loss weight: true and false, or a number of at least 0, as such or as text."""
    words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        weight = float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not math.isfinite(weight) or weight < 0:
        fail(where, field, f"expected true, false or a weight of at least 0, got {_kind(value)}; mend or remove it")
    return weight


def _parts(parts: list[Any], where: str, field: str) -> str:
    """The text of content in parts."""
    for i, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            what = f"one of type {kind!r}" + (" without text" if kind == "text" else "") if kind else _kind(part)
            fail(
                where,
                f"{field}[{i}]",
                f"expected a part {{'type': 'text', 'text': ...}}, got {what}; text alone is read",
            )
    return "".join(part["text"] for part in parts)


def _text(value: Any, where: str, field: str) -> str:
    if not isinstance(value, str):
        fail(where, field, f"expected text, got {_kind(value)}; mend or remove the row")
    if not value.strip():
        fail(where, field, "empty; write the text or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        fail(where, field, f"half of a surrogate pair at character {error.start + 1}, which is no text; mend the row")
    return value


def _check_order(messages: Turns, where: str, field: str) -> None:
    roles = [m.role for m in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if "system" in turns:
        fail(where, field, "a system message must come first and only once; mend the order of the turns")
    if not turns or turns[0] != "user":
        first = "the system message stands alone" if not turns else "the first turn is the assistant's"
        fail(where, field, f"{first}; after a system message, if any, the user speaks first")
    for number, (before, after) in enumerate(itertools.pairwise(turns), len(roles) - len(turns) + 1):
        if before == after:
            fail(where, field, f"turns {number} and {number + 1} are both the {after}'s; they must alternate")


def _kind(value: Any) -> str:
    names = {type(None): "nothing", dict: "a table", list: "a list"}
    return names.get(type(value), f"{type(value).__name__} {str(value)[:40]!r}")
