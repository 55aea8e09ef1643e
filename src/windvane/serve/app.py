"""The service as one ASGI app: the rooms' routes behind one guard, and one form for everything that goes wrong.

In: a `Site`. Out: a guarded FastAPI app whose schema is at /api/openapi.json. Whatever goes wrong is `{"error": LINE}`: a `UserError`
is 422, a full disk 507; an exception that nobody foresaw is logged whole, and its reply says nothing of it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from windvane.core.errors import UserError
from windvane.engines.local import Sampling
from windvane.engines.streaming import Streamer, open_streamer
from windvane.evalyaks.scoring.open import DEFAULT
from windvane.janus.taxonomy import read_taxonomy
from windvane.serve import composer_routes, runs, speaking_routes, validation_routes
from windvane.serve.accounts import HOURS, People
from windvane.serve.batches import Batches
from windvane.serve.compose import Composer
from windvane.serve.composer_routes import Writing
from windvane.serve.guard import COOKIE, Guard, problem, session_of
from windvane.serve.messages import Refusal
from windvane.serve.pages import ROOM, Pages
from windvane.serve.site import Site
from windvane.serve.speaking import Speaking
from windvane.serve.validation import Validation
from windvane.toy.composer import ASK, MODEL, world_message, world_taxonomy

log = logging.getLogger("windvane")
ABOUT = """\
Scores speaking transcripts, takes raters' verdicts, puts two models side by side.
Where tokens are in use, send `Authorization: Bearer TOKEN`. Every refusal is `{"error": LINE}`."""


def create_app(site: Site) -> Guard:
    """The app; files in `site.data` are open until it is shut down."""
    pages, people = Pages(site), People(site.people)
    sampling = Sampling(k=1, temperature=site.temperature, max_new_tokens=site.max_new_tokens)

    @functools.cache
    def opened(spec: str) -> Streamer:
        return open_streamer(spec, sampling, site.device, site.dtype)

    models = site.models or (MODEL, MODEL)
    composer = Composer(site.data / "composer", [(spec, lambda spec=spec: opened(spec)) for spec in models])  # type: ignore[misc]
    speaking = Speaking(site.scorer, site.levels, **_model(site))
    batches = Batches(speaking)
    validation = Validation(site.data / "validation", site.queue)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        batches.close()
        validation.close()
        composer.close()

    app = FastAPI(
        title="Windvane",
        description=ABOUT,
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        max_body_size=site.body_bytes,
    )
    _handlers(app, pages)
    app.mount("/static", StaticFiles(directory=ROOM / "assets"), name="static")
    world = site.taxonomy is None and set(models) == {MODEL}
    taxonomy = world_taxonomy() if world else read_taxonomy(site.taxonomy)
    app.include_router(composer_routes.router(composer, taxonomy, _writing(site, world), pages))
    app.include_router(speaking_routes.router(speaking, batches, pages, site.batch_bytes))
    app.include_router(validation_routes.router(validation, pages))
    app.include_router(runs.router(site.runs, pages))
    _doors(app, site, pages, people)
    return Guard(app, site, people)


def _writing(site: Site, world: bool) -> Writing:
    """By a model where one is named, else by a template: in the embedded world's own words where its models listen."""
    if site.writer:
        sampling = Sampling(k=1, max_new_tokens=600)
        return Writing(site.writer, open_streamer(site.writer, sampling, site.device, site.dtype))
    if world:
        return Writing("a template, in the embedded world's words", template=world_message, ask=ASK)
    return Writing("a template, no model")


def _model(site: Site) -> dict[str, str]:
    """What a scorer that is a model is opened with; one of readable features takes nothing."""
    plain = site.scorer == DEFAULT or site.scorer.endswith(".json")
    return {} if plain else {"device": site.device, "dtype": site.dtype}


def _doors(app: FastAPI, site: Site, pages: Pages, people: People) -> None:
    """Home, health, signing in and out, the page about the API."""

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def home(request: Request) -> HTMLResponse:
        return pages.show(request, "home")

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/sign-in", response_class=HTMLResponse, include_in_schema=False)
    def door(request: Request, next: str = "/") -> HTMLResponse:
        return pages.show(request, "sign-in", next=_own(next), wrong=False)

    @app.post("/sign-in", include_in_schema=False)
    def sign_in(request: Request, token: str = Form(""), next: str = Form("/")) -> Response:
        name = people.owner_of(token.strip())
        if name is None:
            return pages.show(request, "sign-in", 401, next=_own(next), wrong=True)
        reply = RedirectResponse(_own(next), 303)
        key = people.begin(name)
        reply.set_cookie(COOKIE, key, max_age=HOURS * 3600, httponly=True, samesite="strict", secure=site.secure)
        return reply

    @app.post("/sign-out", include_in_schema=False)
    def sign_out(request: Request) -> Response:
        people.end(session_of(request.headers) or "")
        reply = RedirectResponse("/sign-in", 303)
        reply.delete_cookie(COOKIE)
        return reply

    @app.get("/api", response_class=HTMLResponse, include_in_schema=False)
    def api(request: Request) -> HTMLResponse:
        schema = app.openapi()
        rows = [
            (method.upper(), path, told.get("summary", ""), told.get("description", ""))
            for path, methods in schema["paths"].items()
            for method, told in methods.items()
        ]
        return pages.show(request, "api", rows=rows, origin=str(request.base_url).rstrip("/"))


def _handlers(app: FastAPI, pages: Pages) -> None:
    @app.exception_handler(UserError)
    def wrong(_: Request, error: UserError) -> Response:
        return problem(422, str(error))

    @app.exception_handler(Refusal)
    def refused(_: Request, error: Refusal) -> Response:
        return problem(error.status, error.line)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> Response:
        return problem(422, "; ".join(_line(e) for e in error.errors()[:3]))

    @app.exception_handler(HTTPException)
    def said(request: Request, error: HTTPException) -> Response:
        told = {404: "there is no such page", 405: "not with this method", 413: "too large; send less"}
        line = told.get(error.status_code, str(error.detail))
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
            return pages.show(request, "problem", error.status_code, line=line)
        return problem(error.status_code, line, dict(error.headers or {}))

    @app.exception_handler(OSError)
    def disk(_: Request, error: OSError) -> Response:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            log.error("the disk is full: %s", error)
            return problem(507, "the disk is full; nothing was kept")
        log.error("a file could not be read or written", exc_info=error)
        return problem(500, "a file could not be read or written; the log of the service says which")

    @app.exception_handler(Exception)
    def unforeseen(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return problem(500, "the service failed; its log says how")


def _line(error: Any) -> str:
    """Where and what, without what was sent: it may be somebody's words."""
    place = ""
    for part in error["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f"{'.' if place else ''}{part}"
    return f"{place.removeprefix('body.') or 'body'}: {error['msg'][:200]}"


def _own(path: str) -> str:
    """A place of this service, whatever was asked for."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    plain = path.startswith("/") and path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and not path.startswith("//") and not (parts.scheme or parts.netloc) else "/"
