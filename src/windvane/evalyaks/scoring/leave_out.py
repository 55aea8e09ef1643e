"""Which sentences weighed most: the change of the expected band when one of the candidate's sentences is left out.

In: a transcript, any scorer. Out: a `Weighed` a sentence, in the order said, with its place in the record (turn, character span), so that a
page can mark it. `change` is the expected band without the sentence minus that with it: below 0, the sentence held the band up. It
is what this scorer does, not a cause of it: leaving a sentence out also makes the answer shorter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.evalyaks.scoring.clean import sentences, words
from windvane.evalyaks.scoring.score import TranscriptScorer, need_scored
from windvane.evalyaks.transcripts.record import Transcript, Turn

MOST_SENTENCES = 150  # of a record; each costs a scoring


@dataclass(frozen=True, slots=True)
class Weighed:
    """`turn`: index into the record's turns; `start`, `end`: characters of its text. `change`: criterion -> bands, empty where the rest
    could not be scored (`reason`)."""

    turn: int
    start: int
    end: int
    text: str
    change: Mapping[str, float]
    reason: str | None = None

    @property
    def size(self) -> float:
        """The largest change of any criterion."""
        return max(map(abs, self.change.values()), default=0.0)


def leave_one_out(record: Transcript, scorer: TranscriptScorer) -> list[Weighed]:
    """Every sentence of the candidate's that has a word in it; of more than `MOST_SENTENCES` the longest. Raises `UserError` where the
    record itself is not scored."""
    whole = need_scored(scorer.assess([record])[0]).expected
    places = [place for place in _places(record) if words(_cut(record, place)[1])]
    places = sorted(sorted(places, key=lambda p: p[1] - p[2])[:MOST_SENTENCES])
    rest = [_cut(record, place)[0] for place in places]
    found = []
    for place, assessment in zip(places, scorer.assess(rest), strict=True):
        change = {c: assessment.expected[c] - whole[c] for c in whole} if assessment.status == "scored" else {}
        found.append(Weighed(*place, _cut(record, place)[1], change, assessment.reason))
    return found


def _places(record: Transcript) -> list[tuple[int, int, int]]:
    places = []
    for number, turn in enumerate(record.turns):
        if turn.role == "candidate":
            at = 0
            for piece in sentences(turn.text):
                places.append((number, at, at + len(piece)))
                at += len(piece)
    return places


def _cut(record: Transcript, place: tuple[int, int, int]) -> tuple[Transcript, str]:
    """(the record without the sentence, the sentence)."""
    number, start, end = place
    turn = record.turns[number]
    left = turn.text[:start] + turn.text[end:]
    middle = (Turn(turn.role, left),) if any(c.isalnum() for c in left) else ()
    turns = (*record.turns[:number], *middle, *record.turns[number + 1 :])
    return dataclasses.replace(record, turns=turns), turn.text[start:end]
