"""The page that scores transcripts, and its API.

In: a pasted text, or a file as a batch. Out: sheets as JSON; a batch's progress, then its table (CSV, or JSON lines with everything) as
`windvane score` writes them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from windvane.evalyaks.scoring.table import candidates_table, table
from windvane.evalyaks.scoring.whole_test import whole_tests
from windvane.serve.batches import Batch, Batches
from windvane.serve.messages import Body, Refusal, problems
from windvane.serve.pages import ROOM, Pages
from windvane.serve.speaking import MOST_LETTERS, Busy, Speaking, rows_of

# Four transcripts to try the page with, written for it: nobody said them, and they are no model answers.
EXAMPLES = {part: (ROOM / "examples" / f"part{part}.txt").read_text(encoding="utf-8") for part in (1, 2, 3, 4)}


class Pasted(Body):
    """`text`: "Examiner: ..." a line a turn, perhaps several parts under headings "Part 2". `part`: of what does not say its own.
    `speakers`: whose role nobody can tell from the name. `explain`: weigh every sentence too, which takes a scoring each."""

    text: Annotated[str, Field(min_length=1)]
    part: Annotated[int, Field(ge=1, le=4)] | None = None
    speakers: Annotated[
        dict[Annotated[str, Field(max_length=100)], Literal["examiner", "candidate", "partner"]], Field(max_length=20)
    ] = Field(default_factory=dict)
    explain: bool = True


class BandOut(BaseModel):
    """`expected`: between bands; `band`: the nearest, halves up; `because`: (feature, contribution), largest first."""

    criterion: Literal["GV", "DM", "IC"]
    name: str
    expected: float
    band: float
    probability: float | None
    probabilities: dict[str, float]
    because: list[tuple[str, float]]


class SentenceOut(BaseModel):
    """A sentence of the candidate's, by its turn and characters; `change`: of the expected bands when it is left out."""

    turn: int
    start: int
    end: int
    text: str
    change: dict[str, float]
    reason: str | None


class WordOut(BaseModel):
    """A word of the candidate's that the word lists know, and its level."""

    turn: int
    start: int
    end: int
    level: str


class TurnOut(BaseModel):
    role: Literal["examiner", "candidate", "partner"]
    text: str


class SheetOut(BaseModel):
    """One transcript. `bands` is empty unless `status` is "scored"; `reason` says why otherwise."""

    id: str
    part: int | None
    status: Literal["scored", "abstained", "invalid"]
    reason: str | None
    bands: list[BandOut]
    words: int
    notes: list[str]
    review: list[str]
    rationale: str | None
    turns: list[TurnOut]
    context: dict[str, str]
    sentences: list[SentenceOut] | None
    left_out: str | None
    levels: list[WordOut]


class UnreadOut(BaseModel):
    line: int
    reason: str


class WholeOut(BaseModel):
    """`text_only`: 2 (GV + DM + IC) of 30, where all four parts are there."""

    candidate: str
    parts: list[int]
    expected: dict[str, float]
    bands: dict[str, float]
    text_only: float | None
    missing: list[str]


class ScoresOut(BaseModel):
    sheets: list[SheetOut]
    unread: list[UnreadOut]
    whole_test: WholeOut | None
    scorer: str
    about: str
    criteria: dict[str, str]
    levels: str
    limits: str


class BatchOut(BaseModel):
    """`state`: waiting, scoring, done, failed (`problem` says why), stopped."""

    batch: str
    name: str
    state: Literal["waiting", "scoring", "done", "failed", "stopped"]
    problem: str | None
    rows: int
    to_score: int
    done: int
    scored: int
    abstained: int
    invalid: int
    not_read: int
    candidates: int
    review: int
    transcripts_per_hour: int | None


def router(speaking: Speaking, batches: Batches, pages: Pages, batch_bytes: int) -> APIRouter:
    made = APIRouter(tags=["speaking"])

    @made.get("/speaking", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        return pages.show(request, "speaking", about=speaking.about, examples=EXAMPLES, most=MOST_LETTERS)

    @made.get("/api/v1/scorer", responses=problems())
    def scorer() -> dict[str, Any]:
        """What gives the bands, what it was trained on, and its limits."""
        return speaking.about

    @made.post("/api/v1/score", responses=problems(503))
    def score(pasted: Pasted) -> ScoresOut:
        """Bands for every transcript of a text."""
        try:
            found = speaking.score_text(pasted.text, pasted.part, pasted.speakers, pasted.explain)
        except Busy as error:
            raise Refusal(503, str(error)) from None
        return ScoresOut(**found)

    @made.post("/api/v1/batches", status_code=202, responses=problems(503), max_body_size=batch_bytes + 10_000)
    def send(
        request: Request, file: UploadFile, part: Annotated[int, Form(ge=1, le=4)] | None = Form(None)
    ) -> BatchOut:
        """Score a file of transcripts (CSV, TSV, JSONL, JSON, text); `part` is for rows that do not say theirs."""
        data = file.file.read()
        if len(data) > batch_bytes:
            raise Refusal(413, f"{len(data)} bytes; the most that a batch may have is {batch_bytes}")
        try:
            batch = batches.add(request.state.person, file.filename or "", data, part)
        except Busy as error:
            raise Refusal(503, str(error)) from None
        return BatchOut(**batch.told)

    @made.get("/api/v1/batches/{batch}", responses=problems(404))
    def progress(batch: str, request: Request) -> BatchOut:
        """How far it is."""
        return BatchOut(**_batch(batches, request, batch).told)

    @made.get("/api/v1/batches/{batch}/scores.{kind}", responses=problems(404, 409) | _table())
    def results(batch: str, kind: Literal["csv", "jsonl"], request: Request) -> Response:
        """The table, or every row with every probability."""
        found = _done(batches, request, batch)
        rows = list(rows_of(found.read.records, found.given))
        text = (
            table(found.read, rows)
            if kind == "csv"
            else "".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in rows)
        )
        headers = {"content-disposition": f'attachment; filename="scores.{kind}"'}
        return Response(text, media_type="text/csv" if kind == "csv" else "application/jsonl", headers=headers)

    @made.get("/api/v1/batches/{batch}/candidates.csv", responses=problems(404, 409) | _table())
    def candidates(batch: str, request: Request) -> Response:
        """Whole tests, a row a candidate that the rows name."""
        found = _done(batches, request, batch)
        tests = whole_tests(zip(found.read.records, found.given, strict=True))
        headers = {"content-disposition": 'attachment; filename="candidates.csv"'}
        return Response(candidates_table(tests), media_type="text/csv", headers=headers)

    @made.delete("/api/v1/batches/{batch}", status_code=204, responses=problems(404))
    def delete(batch: str, request: Request) -> Response:
        """Stop it and forget its transcripts."""
        _batch(batches, request, batch)
        batches.delete(request.state.person, batch)
        return Response(status_code=204)

    return made


def _batch(batches: Batches, request: Request, key: str) -> Batch:
    try:
        return batches.get(request.state.person, key)
    except KeyError:
        raise Refusal(404, "no such batch of yours; results are kept for an hour") from None


def _done(batches: Batches, request: Request, key: str) -> Batch:
    found = _batch(batches, request, key)
    if found.state != "done":
        raise Refusal(409, f"the batch is {found.state}; ask again when it is done")
    return found


def _table() -> dict[int | str, dict[str, Any]]:
    text = {"schema": {"type": "string"}}
    return {200: {"description": "the results", "content": {"text/csv": text, "application/jsonl": text}}}
