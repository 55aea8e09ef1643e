"""Scoring for the page and the API: a pasted text or a table's rows, as sheets that can be shown.

In: text, the part where it does not say its own, the site's scorer. Out: a `Sheet` a transcript: bands with what stands behind them, the
turns, what each of the candidate's sentences weighed, words by level; rows that could not be read with their reason. Nothing is kept: a
transcript is in memory while it is scored, and a batch until it is fetched, deleted or an hour old.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.schema import encode
from windvane.evalyaks.levels import ABOUT_OWN, OWN, Levels, read_levels
from windvane.evalyaks.scoring.leave_out import MOST_SENTENCES, leave_one_out
from windvane.evalyaks.scoring.open import open_scorer
from windvane.evalyaks.scoring.score import LIMITS, Assessment, FeatureScorer, TranscriptScorer
from windvane.evalyaks.scoring.whole_test import whole_test
from windvane.evalyaks.transcripts.record import CRITERIA, Transcript
from windvane.evalyaks.transcripts.text import read_text

NAMES = {c: name.replace("_", " ").capitalize() for c, name in CRITERIA.items()}
MOST_LETTERS = 100_000  # of one pasted text; a whole real test has some 15,000
WAIT = 60.0  # seconds that a request waits for a model's turn
MOST_PARTS = 12  # transcripts in one pasted text

Row = dict[str, Any]


class Busy(Exception):
    """Not now; the line says when."""


class Speaking:
    """The site's scorer, opened once. A model scores one thing at a time; readable features need no such care."""

    def __init__(self, spec: str, levels: Sequence[Path] = (), **options: Any) -> None:
        """`levels`: files of words by CEFR level; none: this project's own small list."""
        self.levels = Levels(read_levels(levels or (OWN,)))
        self.levels_about = f"words of {', '.join(p.name for p in levels)}" if levels else ABOUT_OWN
        self.scorer: TranscriptScorer = open_scorer(spec, **options)
        self._alone = None if isinstance(self.scorer, FeatureScorer) else threading.Lock()

    @property
    def about(self) -> dict[str, Any]:
        """What the bands come from, and what they are not."""
        name = self.scorer.name  # of a file without its folder, which is nobody's business
        shown = Path(name).name if name.endswith(".json") else name
        return {
            "scorer": shown,
            "about": self.scorer.about,
            "criteria": NAMES,
            "levels": self.levels_about,
            "limits": LIMITS,
        }

    def score_text(self, text: str, part: int | None, speakers: Mapping[str, str], explain: bool) -> dict[str, Any]:
        """Every transcript of a pasted text."""
        if len(text) > MOST_LETTERS:
            raise UserError(
                f"text: {len(text)} letters; {MOST_LETTERS} at most. Score one test at a time, or send a file as a batch"
            )
        known = {" ".join(k.casefold().split()): v for k, v in speakers.items()}
        found = read_text(text, part, "text", known)
        if len(found) > MOST_PARTS:
            raise UserError(f"text: {len(found)} transcripts; {MOST_PARTS} at most in one text; send a file as a batch")
        records = [r for _, r in found if isinstance(r, Transcript)]
        with self._turn(WAIT):
            given = self.scorer.assess(records, rationale=explain)
            sheets = [self._sheet(r, a, explain) for r, a in zip(records, given, strict=True)]
        unread = [{"line": line, "reason": reason} for line, reason in found if isinstance(reason, str)]
        parts = [a.part for a in given if a.status == "scored"]
        whole = encode(whole_test("", given)) if len(set(parts)) > 1 else None
        return {"sheets": sheets, "unread": unread, "whole_test": whole, **self.about}

    def assess(self, records: Sequence[Transcript]) -> list[Assessment]:
        """For a batch."""
        with self._turn():
            return self.scorer.assess(records, rationale=False)

    @contextlib.contextmanager
    def _turn(self, seconds: float = -1) -> Iterator[None]:
        """A model's one turn; `Busy` where it does not come within `seconds` (-1: wait)."""
        if self._alone is None:
            yield
            return
        if not self._alone.acquire(timeout=seconds):
            raise Busy("the scorer is busy; try again in a minute")
        try:
            yield
        finally:
            self._alone.release()

    def _sheet(self, record: Transcript, a: Assessment, explain: bool) -> Row:
        bands = [{**encode(b), "name": NAMES[b.criterion], "because": list(b.because[:8])} for b in a.bands]
        sheet = {**encode(a), "bands": bands, "turns": [encode(t) for t in record.turns]}
        sheet["context"] = dict(record.context)
        sheet["levels"] = [
            {"turn": number, "start": m.start, "end": m.end, "level": m.level}
            for number, turn in enumerate(record.turns if explain else ())
            if turn.role == "candidate"
            for m in self.levels.mark(turn.text)
        ]
        sheet["sentences"] = sheet["left_out"] = None
        if explain and a.status == "scored":
            weighed = leave_one_out(record, self.scorer)
            sheet["sentences"] = [encode(w) for w in weighed]
            sheet["left_out"] = (
                f"the {MOST_SENTENCES} longest sentences alone" if len(weighed) == MOST_SENTENCES else None
            )
        return sheet


def rows_of(records: Sequence[Transcript], given: Sequence[Assessment]) -> Iterator[Row]:
    """As `windvane score` writes its JSON lines."""
    for record, a in zip(records, given, strict=True):
        yield {"record": encode(record), "assessment": encode(a)}
