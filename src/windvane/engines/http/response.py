"""What an OpenAI-compatible server sent -> an `Answer`, or why it is none. Also the body that asks for it.

In: a `Call`; the reply's bytes. Out: the JSON to post; `Answer`, or `Unusable`. Nothing is guessed: a reply without the text, with another
type in a field or cut in half is no answer; half of a surrogate pair in a text becomes U+FFFD. Field names are those of OpenAI's chat
completions; `return_token_ids`, `token_ids` and `prompt_token_ids` are vLLM's, `continue_final_message` too (sent only where the chat ends
with a begun assistant turn).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from windvane.core.schema import whole_text
from windvane.engines.http.calls import Answer, Call

OPTIONAL = ("return_token_ids", "top_logprobs", "logprobs", "seed")  # left out for a server that refuses them by name
FINISHES = ("stop", "length")


def request_body(call: Call, model: str, without: Collection[str] = ()) -> dict[str, Any]:
    """`without`: optional fields that this server refuses; "max_tokens" in it means the newer name is wanted."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in call.messages],
        "max_completion_tokens" if "max_tokens" in without else "max_tokens": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "stream": False,
    }
    if call.seed is not None:
        body["seed"] = call.seed
    if call.labels or call.ids:
        body |= {"logprobs": True, "top_logprobs": call.labels}  # vLLM sends none where top_logprobs is absent
    if call.ids:
        body["return_token_ids"] = True
    if call.messages[-1].role == "assistant":
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return {k: v for k, v in body.items() if k not in without}


def refused_fields(body: dict[str, Any], complaint: str) -> set[str]:
    """Which fields of `body` a 400 or 422 complains of by name, among those that can be left out."""
    found = {name for name in OPTIONAL if name in body and name in complaint}
    if "logprobs" in found:
        found |= {"top_logprobs"} & set(body)
    if "max_tokens" in body and "max_completion_tokens" in complaint:
        found.add("max_tokens")
    return found


@dataclass(frozen=True, slots=True)
class Unusable:
    """`again`: the reply was broken on its way; else it is the answer itself that cannot be used."""

    reason: str
    again: bool


def read_answer(data: bytes) -> Answer | Unusable:
    """The first choice's message."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return Unusable(f"the reply is not valid JSON ({len(data)} bytes)", again=True)
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        told = complaint(data)
        return Unusable(f"the reply has no choices{': ' + told if told else ''}", again=True)
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    finish = choice.get("finish_reason")
    if finish not in FINISHES:
        return Unusable(f"the answer ended with {str(finish)[:40]!r}, neither stop nor length", again=False)
    if not isinstance(text, str):
        return Unusable(f"the answer has no text (finish_reason {finish})", again=False)
    logps, top = _logps(choice.get("logprobs"))
    used = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
    return Answer(
        text=whole_text(text),
        finish=finish,
        token_ids=_ids(choice.get("token_ids")),
        prompt_token_ids=_ids(reply.get("prompt_token_ids")),
        logps=logps,
        top=top,
        prompt_tokens=_count(used.get("prompt_tokens")),
        completion_tokens=_count(used.get("completion_tokens")),
    )


def complaint(data: bytes) -> str:
    """The server's own words about an error, on one line: `error.message`, `error`, `message` or `detail`, else the bare text."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = data.decode("utf-8", "replace")
    if isinstance(found, dict):
        inner = found.get("error", found.get("message", found.get("detail", "")))
        found = inner.get("message", inner) if isinstance(inner, dict) else inner
    text = found if isinstance(found, str) else json.dumps(found)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _logps(found: Any) -> tuple[tuple[float, ...], dict[str, float]]:
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, list) or not content or not all(_finite(c) for c in content):
        return (), {}
    first = content[0].get("top_logprobs")
    top: dict[str, float] = {}
    for entry in first if isinstance(first, list) else []:
        if _finite(entry) and isinstance(entry.get("token"), str):
            top.setdefault(whole_text(entry["token"]), float(entry["logprob"]))
    return tuple(float(c["logprob"]) for c in content), top


def _finite(entry: Any) -> bool:
    value = entry.get("logprob") if isinstance(entry, dict) else None
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _ids(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) and all(type(i) is int and i >= 0 for i in value) else ()


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
