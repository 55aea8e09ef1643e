"""What every request passes: is the address ours, does it come from our own page, who asks, how often; and the headers of every reply.

In: an ASGI app. Out: the same app behind the guard. Refusals: 400 (a name that is not this machine's: DNS rebinding), 403 (another site's
page sent it), 401 or the sign-in page (no token), 429 with Retry-After. What announces too large a size is refused
here (413), what grows beyond it by the framework's own limit. A page is
never framed, never cached and may load nothing from anywhere else.

Starlette's `TrustedHostMiddleware` makes the same host check. It is not used because its refusal is plain text that names neither the host
nor the address to open, where every other refusal here is a JSON problem with the headers of this guard.
"""

from __future__ import annotations

import math
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response

from windvane.serve.accounts import People
from windvane.serve.rate import Rate
from windvane.serve.site import LOOPBACK, Site

COOKIE = "windvane"
BATCHES = "/api/v1/batches"
OPEN = ("/static/", "/sign-in", "/health")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SIGN_INS = 10  # attempts a minute and address


class Guard:
    """`app`: what it guards."""

    def __init__(self, app: Any, site: Site, people: People) -> None:
        self.app, self.site, self.people = app, site, people
        self.rate, self.sign_ins = Rate(site.rate), Rate(SIGN_INS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return

        grown = False

        async def headed(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def sent(message: Any) -> None:
            nonlocal grown
            if message["type"] == "http.response.start" and message["status"] == 413 and not _is_json(message):
                grown = True  # the framework's limit, which speaks plain text
                await problem(413, "the body grew beyond what is taken here; send less")(scope, receive, headed)
            if not grown:
                await headed(message)

        refusal = self._refuse(scope)
        await (refusal or self.app)(scope, receive, sent)

    def _refuse(self, scope: Any) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if self.site.loopback and _name(host) not in LOOPBACK:
            return problem(400, f"host {host[:60]!r} is not this machine's; open http://127.0.0.1 or http://localhost")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _foreign(headers, host):
            return problem(403, "sent by a page of another site; open the service's own page")
        address = (scope.get("client") or ("unknown", 0))[0]
        most = self.site.batch_bytes if path == BATCHES else self.site.body_bytes
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            return problem(413, f"{length[:20]} bytes; the most that is taken here is {most}; send less")
        if path == "/sign-in" and scope["method"] == "POST":
            return _slower(self.sign_ins.wait(address))
        name = self._who(headers)
        scope.setdefault("state", {})["person"] = name
        if path.startswith(OPEN):
            return None
        if self.site.people and name is None:
            if path.startswith("/api/"):
                bad = "authorization" in headers
                text = "the token is not known" if bad else "no token; send the header Authorization: Bearer TOKEN"
                return problem(401, text, {"www-authenticate": "Bearer"})
            if scope["method"] not in ("GET", "HEAD"):
                return problem(401, "signed out; open /sign-in")
            return RedirectResponse("/sign-in?next=" + quote(path), 303)
        return _slower(self.rate.wait(name or address))

    def _who(self, headers: Headers) -> str | None:
        if not self.site.people:
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.people.owner_of(token.strip())
        key = session_of(headers)
        return self.people.signed_in(key) if key else None


def problem(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One line, as every refusal has it."""
    return JSONResponse({"error": " ".join(text.split())}, status, headers)


def _is_json(message: Any) -> bool:
    return MutableHeaders(scope=message).get("content-type", "").startswith("application/json")


def session_of(headers: Headers) -> str | None:
    """The session's secret in the cookie."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _slower(seconds: float) -> Response | None:
    if not seconds:
        return None
    whole = max(1, math.ceil(seconds))
    return problem(429, f"too many requests; try again in {whole} s", {"retry-after": str(whole)})


def _name(host: str) -> str:
    """The host without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _foreign(headers: Headers, host: str) -> bool:
    """A browser says where a request comes from; what says nothing is no browser, and has no cookie that it did not set itself."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.lower().partition("://")[2] != host.lower()
