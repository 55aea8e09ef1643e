"""The composer's page and its API.

In: requests. Out: the taxonomy, the system message as it is written, two answers as they are written, votes, and the files that the votes
make. What a model writes goes out as text; the page shows it as text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import HTMLResponse, Response, StreamingResponse

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.core.schema import dumps, encode
from windvane.engines.streaming import Streamer
from windvane.janus.taxonomy import Taxonomy
from windvane.janus.value_prompts import Value
from windvane.serve.compose import MOST_STREAMS, SIDES, Composer, template_message, written
from windvane.serve.messages import Body, Refusal, events, problems
from windvane.serve.pages import Pages

LONGEST = 20_000  # letters of one message
Text = Annotated[str, Field(max_length=LONGEST)]


class Chosen(Body):
    """A value of the taxonomy or of one's own."""

    dimension: Annotated[str, Field(min_length=1, max_length=100)]
    subdimension: Annotated[str, Field(max_length=200)] = ""
    preference: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
    description: Annotated[str, Field(max_length=2000)] = ""


Values = Annotated[list[Chosen], Field(max_length=20)]


class Wanted(Body):
    """What the system message is for; `topic` is the request that is going to be sent, where it is known."""

    values: Annotated[list[Chosen], Field(min_length=1, max_length=20)]
    topic: Text = ""


class Said(Body):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"\S")]


class Asked(Body):
    """A chat that ends with the user's turn, under `system`."""

    system: Text = ""
    messages: Annotated[list[Said], Field(min_length=1, max_length=40)]
    values: Values = Field(default_factory=list)


class Voted(Body):
    vote: Literal["left", "both good", "both bad", "right"]


@dataclass(frozen=True, slots=True)
class Writing:
    """How system messages come about. `name`: told on the page; `ask`: a message to begin with, where the models know few words."""

    name: str
    writer: Streamer | None = None
    template: Callable[[Sequence[Value]], str] = template_message
    ask: str = ""


def router(composer: Composer, taxonomy: Taxonomy, writing: Writing, pages: Pages) -> APIRouter:
    made = APIRouter(tags=["composer"])
    listed = [
        {"name": d.name, "description": d.description, "values": [encode(v) for v in d.values]}
        for d in taxonomy.dimensions
    ]
    names = sorted(composer.names)  # in no order that tells sides

    @made.get("/composer", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        return pages.show(
            request,
            "composer",
            dimensions=listed,
            writer=writing.name,
            ask=writing.ask,
            names=names,
            counts=composer.counts(),
        )

    @made.get("/api/v1/composer/values", responses=problems())
    def values() -> dict[str, Any]:
        """The taxonomy: dimensions with their values."""
        return {"dimensions": listed}

    @made.post("/api/v1/composer/system", responses=problems() | _stream("the system message"))
    def system(wanted: Wanted) -> StreamingResponse:
        """The system message for these values, as it is written."""
        values = [_value(v) for v in wanted.values]
        return events(written(values, wanted.topic, writing.writer, writing.template))

    @made.post("/api/v1/composer/turns", status_code=201, responses=problems())
    def begin(asked: Asked) -> dict[str, Any]:
        """Put a chat to both models; their answers are streamed by side, and which is which is told after the vote."""
        roles = [m.role for m in asked.messages]
        if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
            raise Refusal(422, "messages: user and assistant take turns, the user first and last")
        key = composer.begin(
            asked.system, [Message(m.role, m.content) for m in asked.messages], [_value(v) for v in asked.values]
        )
        return {"turn": key, "sides": list(SIDES)}

    @made.post(
        "/api/v1/composer/turns/{turn}/{side}/answer", responses=problems(404, 409, 503) | _stream("one side's answer")
    )
    def answer(turn: str, side: Literal["left", "right"]) -> StreamingResponse:
        """One side's answer, as it is written."""
        found = _turn(composer, turn)
        place = SIDES.index(side)
        if place in found.begun:
            raise Refusal(409, f"the {side} side is answered, or being answered, already")
        if composer.streaming >= MOST_STREAMS:
            raise Refusal(503, "many people are talking to the models; try again in a moment")
        return events(composer.answer(found, place))

    @made.post("/api/v1/composer/turns/{turn}/vote", responses=problems(404, 409, 507))
    def vote(turn: str, voted: Voted, request: Request) -> dict[str, Any]:
        """Which answer is better; which model was which comes back."""
        found = _turn(composer, turn)
        try:
            return composer.vote(turn, found, voted.vote, request.state.person)
        except UserError as error:
            raise Refusal(409, str(error)) from None

    @made.get("/api/v1/composer/votes", responses=problems())
    def votes() -> dict[str, Any]:
        """How many votes of each kind there are, as the first model sees them."""
        return {"model": composer.names[0], "opponent": composer.names[1], "votes": composer.counts()}

    @made.get("/api/v1/composer/{name}.jsonl", responses=problems(404) | _lines())
    def download(name: Literal["votes", "pairs"]) -> Response:
        """Every vote (for `windvane eval multifaceted --votes`), or every preference pair (prompt, chosen, rejected)."""
        ledger = composer.votes if name == "votes" else composer.pairs
        text = "".join(dumps(row) + "\n" for row in list(ledger.rows))
        headers = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
        return Response(text, media_type="application/jsonl", headers=headers)

    return made


def _turn(composer: Composer, key: str) -> Any:
    try:
        return composer.turn(key)
    except KeyError:
        raise Refusal(
            404, "no such turn (an hour old, or the service was started again); send the message again"
        ) from None


def _value(v: Chosen) -> Value:
    return Value(v.dimension, v.subdimension or "own", v.preference.strip(), v.description.strip())


def _stream(what: str) -> dict[int | str, dict[str, Any]]:
    """An event's `data` is JSON: `text` to add, or the `whole` text anew; the last has `done`, or `error` with its line."""
    event = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
    return {200: {"description": f"{what}: server-sent events", "content": {"text/event-stream": {"schema": event}}}}


def _lines() -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "JSON lines", "content": {"application/jsonl": {"schema": {"type": "string"}}}}}
