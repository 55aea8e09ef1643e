"""What a model that thinks aloud says in the end: a label, a grade or a level in the middle of its thought is no answer.

In: an answer's text. Out: the part that is read. Marks are those of Qwen and DeepSeek, <think> and </think>; a template may have written
the first of them into the prompt, so that the answer shows the second alone.
"""

from __future__ import annotations


def after_thought(text: str) -> str:
    """What stands behind the thought; nothing where the thought does not end."""
    _, end, said = text.rpartition("</think>")
    return said if end or not text.lstrip().startswith("<think>") else ""
