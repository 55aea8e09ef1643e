"""The raters' page and its API.

In: who rates (the token's owner; on a machine where nobody signs in, the name that is given), reviews. Out: the next record, progress,
agreement, disputes, the settled records as JSON lines.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from windvane.core.schema import dumps
from windvane.evalyaks.prompts.bands import MEANING, PART_NAMES, PARTS
from windvane.serve.messages import Body, Refusal, problems
from windvane.serve.pages import Pages
from windvane.serve.speaking import NAMES
from windvane.serve.validation import Late, Validation, review_of

Rater = Annotated[str, Query(max_length=80, description="who rates; left out where tokens tell")]


class TurnIn(Body):
    role: Literal["examiner", "candidate", "partner"]
    text: Annotated[str, Field(max_length=20_000)]


class ReviewIn(Body):
    """`off`: criterion -> the band that fits, of those that do not match; `turns`: the conversation as it should read; neither: the
    planned bands match. `rater` is left out where tokens tell who it is."""

    record: Annotated[str, Field(min_length=1, max_length=64)]
    rater: Annotated[str, Field(max_length=80)] = ""
    off: dict[Literal["GV", "DM", "IC"], Literal[1, 2, 3, 4, 5]] = Field(default_factory=dict)
    turns: Annotated[list[TurnIn], Field(max_length=400)] | None = None
    comment: Annotated[str, Field(max_length=4000)] = ""


class RecordOut(BaseModel):
    id: str
    part: int | None
    turns: list[dict[str, str]]
    scores: dict[str, float]
    context: dict[str, str]
    setting: str | None


class NextOut(BaseModel):
    record: RecordOut | None
    reviewed: int
    left: int
    records: int


def router(validation: Validation, pages: Pages) -> APIRouter:
    made = APIRouter(tags=["validation"])

    @made.get("/validation", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        scales = {c: MEANING[c] for c in NAMES}
        return pages.show(
            request,
            "validation",
            names=NAMES,
            scales=scales,
            parts=PARTS,
            part_names=PART_NAMES,
            about=validation.about,
        )

    @made.get("/api/v1/validation/next", responses=problems())
    def following(request: Request, rater: Rater = "", record: Annotated[str, Query(max_length=64)] = "") -> NextOut:
        """What to look at now; `record`: one that this rater has reviewed, to look at it again."""
        return NextOut(**validation.next(_rater(request, rater), record or None))

    @made.post("/api/v1/validation/reviews", status_code=201, responses=problems(409, 507))
    def review(given: ReviewIn, request: Request) -> dict[str, Any]:
        """Keep a review; a later one of the same record replaces it until the second rater's is there."""
        rater = _rater(request, given.rater)
        try:
            validation.add(_review(given, rater))
        except Late as error:
            raise Refusal(409, str(error)) from None
        return validation.progress(rater)

    @made.get("/api/v1/validation/reviews", responses=problems())
    def reviews(request: Request, rater: Rater = "") -> dict[str, Any]:
        """This rater's own reviews."""
        return {"reviews": validation.own(_rater(request, rater))}

    @made.get("/api/v1/validation/agreement", responses=problems())
    def agreement() -> dict[str, Any]:
        """Percent, kappa and alpha by criterion, over the records that two have reviewed."""
        return validation.agreement()

    @made.get("/api/v1/validation/disputes", responses=problems(409))
    def disputes(request: Request, rater: Rater = "") -> dict[str, Any]:
        """What two raters saw otherwise, with both reviews; not before this rater has nothing left to review."""
        try:
            return {"disputes": validation.disputes(_rater(request, rater))}
        except Late as error:
            raise Refusal(409, str(error)) from None

    @made.post("/api/v1/validation/consensus", status_code=201, responses=problems(409, 507))
    def consensus(given: ReviewIn, request: Request) -> dict[str, Any]:
        """What the two agreed on in the end, told by one of them."""
        rater = _rater(request, given.rater)
        word = _review(given, "consensus")
        try:
            validation.settle(rater, word)
        except Late as error:
            raise Refusal(409, str(error)) from None
        return validation.progress(rater)

    @made.get("/api/v1/validation/settled.jsonl", responses=problems() | _lines())
    def settled() -> Response:
        """The records that people stand behind, with their bands, one a line."""
        text = "".join(dumps(r) + "\n" for r in validation.settled())
        headers = {"content-disposition": 'attachment; filename="settled.jsonl"'}
        return Response(text, media_type="application/jsonl", headers=headers)

    return made


def _rater(request: Request, given: str) -> str:
    """The token's owner, else the given name."""
    person = request.state.person
    if person is not None:
        if given and given != person:
            raise Refusal(403, f"the token is {person}'s; leave the rater out")
        return str(person)
    if not given.strip():
        raise Refusal(422, "rater: who rates? Give a name")
    return given.strip()


def _review(given: ReviewIn, rater: str) -> Any:
    turns = None if given.turns is None else [(t.role, t.text) for t in given.turns]
    return review_of(given.record, rater, {c: float(b) for c, b in given.off.items()}, turns, given.comment)


def _lines() -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "JSON lines", "content": {"application/jsonl": {"schema": {"type": "string"}}}}}
