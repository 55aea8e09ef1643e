"""What a model that thinks aloud says in the end: a label, a grade or a level in the middle of its thought is no answer.

In: an answer's text. Out: the part that is read. Marks are those of Qwen and DeepSeek, <think> and </think>; a template may have written
the first of them into the prompt, so that the answer shows the second alone.
"""

from __future__ import annotations

import json
import re
from typing import Any

from windvane.core.schema import torn


def after_thought(text: str) -> str:
    """What stands behind the thought; nothing where the thought does not end."""
    _, end, said = text.rpartition("</think>")
    return said if end or not text.lstrip().startswith("<think>") else ""


def read_json(reply: str) -> tuple[Any, str | None]:
    """(the value, None), or (None, why not): JSON alone, or alone in one code fence."""
    text = after_thought(reply).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?```", text, re.DOTALL | re.IGNORECASE)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None, "not JSON" if text else "no reply"
    return (None, "half of a surrogate pair, which is no text") if torn(value) else (value, None)
