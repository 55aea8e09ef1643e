"""What goes over the wire and is the same in every room: the one-line problem, strict bodies, a stream of events.

In: whatever a room raises or yields. Out: `{"error": LINE}` with the right status; `data: JSON` events. A stream has begun before its model
may fail, so a failure inside it is an event `{"error": LINE}`, the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from windvane.core.errors import UserError
from windvane.core.schema import dumps

log = logging.getLogger("windvane")


class Body(BaseModel):
    """A request's body: no unknown field, no coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Problem(BaseModel):
    """Why a request was refused, in one line."""

    error: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: what every route may answer, and `statuses`."""
    told = {
        400: "not for this host, or not readable",
        401: "no token, or one that is not known",
        403: "sent by another site's page",
        404: "there is no such thing",
        409: "not now",
        413: "too large",
        422: "cannot be used as it is; the line says what to mend",
        429: "too many requests; Retry-After says when",
        503: "busy",
        507: "the disk is full",
    }
    return {s: {"model": Problem, "description": told[s]} for s in sorted({400, 401, 403, 413, 422, 429, *statuses})}


class Refusal(Exception):
    """A status and its line; the app answers with them."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


def events(rows: Iterable[dict[str, Any]]) -> StreamingResponse:
    """Server-sent events, one a row."""

    def lines() -> Iterator[str]:
        try:
            for row in rows:
                yield f"data: {dumps(row)}\n\n"
        except UserError as error:
            yield f"data: {dumps({'error': str(error)})}\n\n"
        except Exception:
            log.exception("a stream broke off")
            yield f"data: {dumps({'error': 'the model failed; the log of the service says how'})}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")
