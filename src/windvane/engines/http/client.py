"""One attempt at one call over HTTP, with its time limits; what came back, sorted by what to do about it.

In: a body. Out: an `Answer`, or `Trouble`: whether to try again, how long the server asks to wait, whether the attempt may have been
billed, whether everything must stop. httpx2 does the HTTP; redirects are not followed (the key would go along) and proxies
are not used for loopback.
"""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass
from typing import Any

import httpx2

from windvane.engines.http.calls import Answer
from windvane.engines.http.response import complaint, read_answer
from windvane.engines.http.server import Address, Server, key_for, redact

LONGEST_REPLY = 64 * 2**20  # bytes
RETRIED = frozenset({408, 409, 425, 429, *range(500, 600)}) - {501, 505}
STOPPING = frozenset({401, 402})  # about the account, whatever the row
SUSPECT = frozenset({403, 404, 405, 501, 505})  # about the address where no call has succeeded, else about the row


@dataclass(frozen=True, slots=True)
class Trouble:
    """`again`: worth another attempt, not before `after` seconds where the server says so. `lost`: it may have been billed.
    `stop`: the same for every row. `suspect`: `stop` unless a call has succeeded before. `unreachable`: there is no server."""

    reason: str
    again: bool = False
    after: float | None = None
    lost: bool = False
    stop: bool = False
    suspect: bool = False
    unreachable: bool = False
    status: int | None = None


class Client:
    """`post` may be called from several threads. The key is read once and is in no message."""

    def __init__(self, place: Address, server: Server) -> None:
        self.place, self.server = place, server
        key = key_for(place)
        self._redact = lambda data: redact(data, key)  # a closure: the key is no attribute that a message could print
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(server.read_seconds, connect=server.connect_seconds, pool=None)
        limits = httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=server.concurrency)
        self._http = httpx2.Client(headers=headers, timeout=timeout, limits=limits, trust_env=not place.loopback)

    def close(self) -> None:
        self._http.close()

    def post(self, body: dict[str, Any]) -> Answer | Trouble:
        start = time.monotonic()
        try:
            with self._http.stream("POST", self.place.url, json=body) as reply:
                data = bytearray()
                for chunk in reply.iter_bytes():
                    data += chunk
                    if time.monotonic() - start > self.server.call_seconds:
                        return Trouble(f"no whole answer in {self.server.call_seconds:g} s", again=True, lost=True)
                    if len(data) > LONGEST_REPLY:
                        return Trouble(f"the reply is longer than {LONGEST_REPLY} bytes", lost=True)
                status, headers = reply.status_code, reply.headers
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError) as error:
            return Trouble(f"no connection ({self._told(error)})", again=True, unreachable=True)
        except httpx2.TimeoutException:
            return Trouble(f"no answer in {self.server.read_seconds:g} s", again=True, lost=True)
        except (httpx2.RequestError, httpx2.StreamError) as error:
            return Trouble(f"the connection broke ({self._told(error)})", again=True, lost=True)
        return self._sorted(status, headers, self._redact(bytes(data)))

    def _sorted(self, status: int, headers: httpx2.Headers, data: bytes) -> Answer | Trouble:
        if status == 200:
            found = read_answer(data)
            return found if isinstance(found, Answer) else Trouble(found.reason, found.again, lost=True, status=status)
        told = complaint(data)
        reason = f"HTTP {status}{': ' + told if told else ''}"
        if 300 <= status < 400:
            where = self._redact(headers.get("location", "nowhere").encode()).decode()
            return Trouble(f"{reason} (sent on to {where[:200]}; name that address)", stop=True, status=status)
        if status in STOPPING or (status == 429 and "insufficient_quota" in told + data.decode("utf-8", "replace")):
            return Trouble(reason, stop=True, status=status)
        after = retry_after(headers.get("retry-after"))
        return Trouble(reason, again=status in RETRIED, after=after, suspect=status in SUSPECT, status=status)

    def _told(self, error: Exception) -> str:
        text = self._redact(str(error).encode("utf-8", "replace")).decode("utf-8", "replace")
        return " ".join(f"{type(error).__name__} {text}".split())[:200]


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds from a Retry-After header, a number or an HTTP date; None where there is none that can be read."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = when.timestamp() - (time.time() if now is None else now)
    return max(0.0, seconds) if seconds == seconds else None
