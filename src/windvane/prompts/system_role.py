"""Does a tokenizer's chat template know the system role? Where it does not, the system message goes into the user's turn.

In: a tokenizer. Out: how its chats are rendered everywhere, in training, in inference and for a reward model alike, and the note that says
so. The paper's Mistral template (arXiv 2405.17977) has no system role either and writes `[INST] {system}\\n{user} [/INST]`; here a blank
line stands between the two, as Mistral's own later templates have it.
"""

from __future__ import annotations

from typing import Any

from windvane.errors import UserError
from windvane.prompts.chat import System, render
from windvane.records import Message

PROBE = "Qwx system probe"
MERGED = (
    "the chat template {}: the system message is put at the head of the user's turn, in training and inference alike"
)


def system_mode(tokenizer: Any) -> tuple[System, str | None]:
    """("template", None), or ("merge", a note of one line). `UserError` where the template refuses any chat."""
    chat = [Message("system", PROBE), Message("user", "Qwx user probe")]
    render(tokenizer, chat[1:])
    try:
        ids = render(tokenizer, chat)
    except UserError:
        return "merge", MERGED.format("refuses a system message")
    if PROBE not in tokenizer.decode(ids):
        return "merge", MERGED.format("leaves the system message out")
    return "template", None
