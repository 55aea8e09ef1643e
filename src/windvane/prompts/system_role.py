"""Does a tokenizer's chat template know the system role? Where it does not, the system message goes into the user's turn.

In: a tokenizer. Out: how its chats are rendered everywhere, in training, in inference and for a reward model alike, and the note that says
so. The paper's Mistral template (arXiv 2405.17977) has no system role either and writes `[INST] {system}\\n{user} [/INST]`; here a blank
line stands between the two, as Mistral's own later templates have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.prompts.chat import System, drops_system, merged, render

_MODES: dict[str, System] = {}  # by the template's text: rows by the thousand are asked for
MERGED = (
    "the chat template {}: the system message is put at the head of the user's turn, in training and inference alike"
)


def system_mode(tokenizer: Any) -> tuple[System, str | None]:
    """("template", None), or ("merge", a note of one line). `UserError` where the template refuses any chat."""
    chat = [Message("system", "A system message."), Message("user", "A user's turn.")]
    render(tokenizer, chat[1:])
    try:
        render(tokenizer, chat)
    except UserError:
        return "merge", MERGED.format("refuses a system message")
    if drops_system(tokenizer):  # by its text: a small vocabulary may have no token for a probe's words
        return "merge", MERGED.format("leaves the system message out")
    return "template", None


def seated(tokenizer: Any, messages: Sequence[Message]) -> Sequence[Message]:
    """The chat as the template takes it: with its system message in the user's turn where it has no place of its own."""
    if messages[0].role != "system":
        return messages
    key = tokenizer.chat_template
    if not isinstance(key, str):  # several by name, or none: asked each time
        return merged(messages) if system_mode(tokenizer)[0] == "merge" else messages
    if key not in _MODES:
        _MODES[key] = system_mode(tokenizer)[0]
    return merged(messages) if _MODES[key] == "merge" else messages
