"""Which server, which model, whose key: `http://HOST:PORT/v1#MODEL` (or https) and how gently the server is asked.

In: the spec, `Server` settings, the environment. Out: an `Address`, the key for it, and a way to strike the key out of any text. A key
stands in the environment alone: WINDVANE_API_KEY goes to whatever server is named, OPENAI_API_KEY to api.openai.com or to the host of
OPENAI_BASE_URL only, so that naming another server does not hand it over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from windvane.core.errors import UserError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPENAI_HOST = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is asked. Seconds are seconds; prices are money for a million tokens; a budget holds over all resumes of a run
    whose calls are journaled. `token_ids`: "ask" takes sampled ids where they are offered, "require" stops without them."""

    concurrency: int = 16
    retries: int = 6
    connect_seconds: float = 10.0
    read_seconds: float = 300.0  # the longest silence
    call_seconds: float = 1800.0  # one attempt from end to end
    backoff_seconds: float = 0.5  # before the first retry; doubled each time, with jitter
    longest_wait: float = 300.0  # a Retry-After above this fails the row
    price_in: float = 0.0
    price_out: float = 0.0
    budget: float | None = None  # money
    token_budget: int | None = None  # tokens, prompts and answers together
    token_ids: Literal["ask", "require"] = "ask"
    # tokens that a language model that judges pairs may write, one in this process too: thousands where it thinks aloud before its label
    judge_tokens: int = 16

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.retries < 0:
            raise UserError(f"server: concurrency {self.concurrency}, retries {self.retries}: take at least 1 and 0")
        if self.judge_tokens < 1:
            raise UserError(f"server.judge_tokens: {self.judge_tokens}; must be at least 1")
        for name in ("connect_seconds", "read_seconds", "call_seconds", "longest_wait"):
            if getattr(self, name) <= 0:
                raise UserError(f"server.{name}: {getattr(self, name)}; must be above 0")
        if min(self.backoff_seconds, self.price_in, self.price_out) < 0:
            raise UserError("server: backoff_seconds, price_in and price_out must not be negative")
        if self.budget is not None and not (self.price_in or self.price_out):
            raise UserError("server.budget: in money, so give price_in and price_out (for a million tokens) too")


@dataclass(frozen=True, slots=True)
class Address:
    """`url` is where chats are posted; `name` is the spec, shown in messages."""

    name: str
    url: str
    host: str
    model: str

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK


def address(spec: str) -> Address:
    """Read `http://HOST:PORT/v1#MODEL`. `UserError` for anything else; a key in the address is refused and not repeated."""
    parts = urlsplit(spec)
    shown = f"{parts.scheme}://{parts.hostname or ''}"
    if parts.username or parts.password or parts.query:
        raise UserError(f"{shown}...: no keys or parameters in an address; put the key into WINDVANE_API_KEY")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment or port == -1:
        raise UserError(f"server {spec}: expected http://HOST:PORT/v1#MODEL, with the model's name after #")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return Address(spec, f"{base}/chat/completions", parts.hostname, parts.fragment)


def key_for(place: Address, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that `place` may see, or None."""
    own = environment.get("WINDVANE_API_KEY", "").strip()
    theirs = environment.get("OPENAI_API_KEY", "").strip()
    base = urlsplit(environment.get("OPENAI_BASE_URL", "")).hostname
    found = own or (theirs if place.host in (OPENAI_HOST, base) else "")
    if found and not re.fullmatch(r"[\x21-\x7e]+", found):
        raise UserError("WINDVANE_API_KEY/OPENAI_API_KEY: holds blanks or letters outside ASCII; set it again")
    return found or None


def redact(data: bytes, key: str | None) -> bytes:
    """Strike the key out of what a server sent, before anything else reads it (a server may echo its request)."""
    return data.replace(key.encode(), b"[key]") if key else data
