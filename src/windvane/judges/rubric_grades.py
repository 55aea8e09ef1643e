"""Grades that are kept as they come: what was graded once is not asked again, in this process or after a kill.

In: `RubricQuestion`s whose keys name their content, a `RubricJudge`. Out: `Grade`s, each with its feedback or the reason why it has no
score, in the journal FILE.journal (one line a batch; no part of a run's manifest, since a resumed run may batch otherwise). A grade that
could not be read is kept too and stays unread: asking a greedy judge again would tell nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from windvane.core.protocols import Grade, RubricJudge, RubricQuestion
from windvane.core.schema import encode
from windvane.runs.store import Journal

WORST, BEST = 1, 5


def checked(grade: Grade) -> Grade:
    """The grade, or one without a score and with a reason where its score is no whole number from 1 to 5."""
    score = grade.score
    if score is None:
        return Grade(grade.key, None, grade.feedback, grade.reason or "no score and no reason")
    if isinstance(score, bool) or not isinstance(score, int) or not WORST <= score <= BEST:
        return Grade(grade.key, None, grade.feedback, f"not a whole number from {WORST} to {BEST}: {score!r}")
    return grade


class GradeBook:
    """`place` None keeps grades in memory alone, for as long as the book lives."""

    def __init__(self, judge: RubricJudge, place: Path | None = None) -> None:
        self.judge = judge
        self._known: dict[str, Grade] = {}
        self._journal = None if place is None else Journal(place)
        self._number = 0
        if self._journal is not None:
            with self._journal.path.open("rb") as file:  # what Journal left standing is whole
                for line in file:
                    self._number += 1
                    for row in json.loads(line.partition(b"\t")[2])["rows"]:
                        self._known[row["id"]] = Grade(row["id"], row["score"], row["feedback"], row["reason"])

    def left(self, questions: Sequence[RubricQuestion]) -> list[RubricQuestion]:
        """Those that have not been graded, each key once, in order."""
        return list({q.key: q for q in questions if q.key not in self._known}.values())

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]:
        """A grade each; questions of one key are one question."""
        new = self.left(questions)
        told = [checked(g) for g in self.judge.grade(new)] if new else []
        assert [g.key for g in told] == [q.key for q in new], "a judge grades every question once, in order"
        self._known |= {g.key: g for g in told}
        if self._journal is not None and told:
            self._number += 1
            self._journal.add(f"{self._number:08d}", [{"id": g.key, **_rest(g)} for g in told])
        return [self._known[q.key] for q in questions]


def _rest(grade: Grade) -> dict[str, object]:
    row = encode(grade)
    row.pop("key")
    return row
