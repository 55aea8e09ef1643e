"""Are two models related? A judge that grades its own family's work is not a stranger to it.

In: specs or names of models. Out: why they count as related, or None. A family is told by name alone, from a short table; models of
families that are not in it are related only where they are the same. What a model was distilled from is not known here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

FAMILIES = {  # a word in a model's name: who makes it, or what it was trained from
    "gpt": "OpenAI", "chatgpt": "OpenAI", "davinci": "OpenAI", "o1": "OpenAI", "o3": "OpenAI", "o4": "OpenAI",
    "claude": "Anthropic", "gemini": "Google", "gemma": "Google", "palm": "Google", "bard": "Google",
    "llama": "Llama", "vicuna": "Llama", "alpaca": "Llama", "tulu": "Llama",
    "mistral": "Mistral", "mixtral": "Mistral", "ministral": "Mistral", "zephyr": "Mistral", "janus": "Mistral",
    "prometheus": "Mistral", "qwen": "Qwen", "qwq": "Qwen", "deepseek": "DeepSeek", "phi": "Phi", "yi": "Yi",
    "command": "Cohere", "aya": "Cohere", "glm": "GLM", "chatglm": "GLM", "falcon": "Falcon", "olmo": "OLMo",
}  # fmt: skip


def bare(name: str) -> str:
    """The model's own name: without backend, address and folders, in lower case."""
    inner = re.sub(r"^(?:(?:rubric|llm|local|vllm|reward|gpm|pairrm):)+", "", name.strip())
    return inner.rpartition("#")[2].rstrip("/").rpartition("/")[2].lower()


def family(name: str) -> str | None:
    """Its maker or origin, where the name tells it."""
    words = re.findall(r"[a-z]+\d?", bare(name))
    return next((FAMILIES[w] for word in words for w in (word, word.rstrip("0123456789")) if w in FAMILIES), None)


def related(first: str, second: str) -> str | None:
    """Why the two count as related, or None."""
    if bare(first) == bare(second):
        return f"both are {bare(first)}"
    mine, theirs = family(first), family(second)
    return f"both are of the family {mine}" if mine is not None and mine == theirs else None


def warnings(roles: Mapping[str, str | None]) -> list[str]:
    """A line for each two of `roles` (role -> model, None where not known) that are related, and for each that is not known."""
    lines = [f"who was the {role} is not recorded" for role, name in roles.items() if not name]
    for (role, name), (other, its) in itertools.combinations([(r, n) for r, n in roles.items() if n], 2):
        why = related(name, its)
        if why is not None:
            lines.append(
                f"{role} ({name}) and {other} ({its}) are related: {why}; the scores may favour one's own kind"
            )
    return lines
