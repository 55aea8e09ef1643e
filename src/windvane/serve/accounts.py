"""Who may use the service: tokens, and sessions of browsers that signed in with one.

In: a file of lines `NAME TOKEN` (# begins a comment), or WINDVANE_TOKEN. Out: SHA-256 of each token -> name; sessions, kept in memory
alone and gone after `HOURS` or a restart. A token is never logged, shown or stored as it is.

Starlette's `SessionMiddleware` keeps a session in a signed cookie, which the server cannot end: a copied cookie would stay valid after
signing out and after a token has been withdrawn. Sessions are therefore kept here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from windvane.core.errors import UserError

SHORTEST = 16  # letters of a token
HOURS = 12
MOST_SESSIONS = 10_000


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """digest -> name, of the file and of WINDVANE_TOKEN (whose owner is called "owner")."""
    found: dict[str, str] = {}
    own = environment.get("WINDVANE_TOKEN", "").strip()
    if own:
        found[digest(_checked(own, "WINDVANE_TOKEN"))] = "owner"
    if path is None:
        return found
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); write a line 'NAME TOKEN' a person") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}: row {number}"
        if len(words) != 2:
            raise UserError(f"{where}: expected NAME TOKEN, got {len(words)} words; names and tokens hold no blanks")
        if words[0] in found.values():
            raise UserError(f"{where}: '{words[0]}' has a token already; give each person one")
        key = digest(_checked(words[1], where))
        if key in found:
            raise UserError(f"{where}: the same token as {found[key]}'s; give each person their own")
        found[key] = words[0]
    if not found:
        raise UserError(f"{path}: no tokens; write a line 'NAME TOKEN' a person")
    return found


def _checked(token: str, where: str) -> str:
    if len(token) < SHORTEST or not token.isascii():
        raise UserError(
            f"{where}: a token needs {SHORTEST} ASCII letters or more; "
            "python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one"
        )
    return token


class People:
    """`owner_of` a token; sessions by cookie. May be called from several threads."""

    def __init__(self, people: Mapping[str, str]) -> None:
        self.people = dict(people)
        self._sessions: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def owner_of(self, token: str) -> str | None:
        given = digest(token)
        found = None
        for key, name in self.people.items():  # every one is compared, so that time tells nothing
            if hmac.compare_digest(key, given):
                found = name
        return found

    def begin(self, name: str) -> str:
        """A new session's secret."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            self._sessions = {k: v for k, v in self._sessions.items() if v[1] > now}
            if len(self._sessions) >= MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[digest(key)] = (name, now + HOURS * 3600)
        return key

    def signed_in(self, key: str) -> str | None:
        with self._lock:
            name, until = self._sessions.get(digest(key), (None, 0.0))
        return name if until > time.monotonic() else None

    def end(self, key: str) -> None:
        with self._lock:
            self._sessions.pop(digest(key), None)
