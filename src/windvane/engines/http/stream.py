"""One chat answered by an OpenAI-compatible server as it is written: `stream: true`, read line by line.

In: a spec, a chat, how to sample. Out: (text, finish) pairs; finish is None but in the last. A refusal, a broken connection or a stream
that ends without a finish is a `UserError` of one line; nothing is tried again (but a field that this server refuses by name is left
out), since somebody is waiting and has seen the first half.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.engines.http.response import complaint, refused_fields
from windvane.engines.http.server import Server, address, key_for, redact

LONGEST = 64 * 2**20  # bytes of a whole stream


def stream_chat(
    spec: str,
    server: Server,
    messages: Sequence[Message],
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int | None = None,
) -> Iterator[tuple[str, str | None]]:
    """The answer's pieces; closing the iterator closes the connection."""
    place = address(spec)
    key = key_for(place)
    body: dict[str, Any] = {
        "model": place.model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "stream": True,
    }
    if seed is not None:
        body["seed"] = seed
    timeout = httpx2.Timeout(server.read_seconds, connect=server.connect_seconds)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx2.Client(headers=headers, timeout=timeout, trust_env=not place.loopback) as client:
            while True:
                with client.stream("POST", place.url, json=body) as reply:
                    if reply.status_code == 200:
                        yield from _pieces(reply, key, place.name)
                        return
                    told = complaint(redact(reply.read()[:65536], key))
                without = refused_fields(body, told) if reply.status_code in (400, 422) else set()
                if not without:
                    raise UserError(f"{place.name}: status {reply.status_code}{': ' + told if told else ''}")
                if "max_tokens" in without:
                    body["max_completion_tokens"] = body["max_tokens"]
                body = {name: value for name, value in body.items() if name not in without}
    except httpx2.TimeoutException:
        raise UserError(f"{place.name}: no answer in {server.read_seconds:g} s") from None
    except (httpx2.RequestError, httpx2.StreamError) as error:
        raise UserError(f"{place.name}: the connection failed ({type(error).__name__})") from None


def _pieces(reply: Any, key: str | None, name: str) -> Iterator[tuple[str, str | None]]:
    size = 0
    for line in reply.iter_lines():
        size += len(line)
        if size > LONGEST:
            raise UserError(f"{name}: the reply is longer than {LONGEST} bytes")
        field, _, value = line.partition(":")
        if field != "data" or not value.strip() or value.strip() == "[DONE]":
            continue
        try:
            event = json.loads(redact(value.encode(), key))
            choice = event["choices"][0] if event.get("choices") else None
        except (ValueError, AttributeError, LookupError, TypeError):
            raise UserError(f"{name}: a line of its stream is no chunk of a chat completion") from None
        if isinstance(event.get("error"), dict):
            raise UserError(f"{name}: {str(event['error'].get('message'))[:200]}")
        if not isinstance(choice, dict):
            continue  # usage, at the end
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        finish = choice.get("finish_reason")
        if finish is not None:
            yield text or "", "length" if finish == "length" else "stop"
            return
        if text:
            yield text, None
    raise UserError(f"{name}: the stream ended before the answer was whole")
