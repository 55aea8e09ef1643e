"""The typed record of a speaking-test transcript, and what is counted over many.

In: turns by examiner, candidate and partner, the exam's part, its task context, scores per criterion. Out: `Transcript` (a line of a
JSONL file), `Quarantined` (a row that could not be read, with its reason and place), `summary` and `details`. Only the candidate is
scored; examiner and partner are context.

Departures from EvalYaks (arXiv 2408.12226, section 4.1): its records are one string a row, prompt included, and the same conversation
stands under up to four prompts; here a record is the conversation, and `conversation` says which records hold the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from windvane.core.records import content_id
from windvane.evalyaks.prompts.bands import CRITERIA, PART_CRITERIA

ROLES = ("examiner", "candidate", "partner")
LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said; `role` is examiner, candidate or partner."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """One conversation. `id`: of what a scorer sees (part, context, turns). `conversation`: of the turns alone, capitals and
    spaces aside; records with the same one are one conversation. `scores`: bands by criterion (GV, DM, IC), empty where unscored.
    `context`: the task (photo descriptions, topic). `level`: a CEFR level where the source gives that instead of bands. `candidate`:
    who speaks, for intervals over candidates. `setting`: where the content is at home (global, indian). `split_group`: what a split
    must keep together (the conversation, or its near-duplicate cluster); `fold` counts from 0."""

    id: str
    conversation: str
    part: int | None
    turns: tuple[Turn, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    level: str | None = None
    language: str | None = None
    setting: str | None = None
    candidate: str | None = None
    name: str | None = None  # the user's own id of the row
    source: str = ""
    repairs: tuple[str, ...] = ()
    split_group: str = ""
    fold: int | None = None

    @staticmethod
    def of(part: int | None, turns: Sequence[Turn], **more: Any) -> Transcript:
        """Ids from content."""
        turns = tuple(turns)
        said = [[t.role, " ".join(t.text.casefold().split())] for t in turns]
        conversation = content_id(["conversation", said])
        context = dict(more.pop("context", None) or {})
        own = content_id([part, context, [[t.role, t.text] for t in turns]])
        more["split_group"] = more.get("split_group") or conversation
        return Transcript(own, conversation, part, turns, context=context, **more)

    @property
    def missing(self) -> tuple[str, ...]:
        """The part's criteria that a scored record lacks."""
        asked = PART_CRITERIA.get(self.part or 0, ())
        return tuple(c for c in asked if c not in self.scores) if self.scores else ()

    def said(self, role: str = "candidate") -> str:
        """Everything that `role` says, a turn a line."""
        return "\n".join(t.text for t in self.turns if t.role == role)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that could not be read: kept whole, with its reason and where it stands."""

    source: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadTranscripts:
    """`rows` = len(records) + len(quarantined): nothing is dropped in silence."""

    records: list[Transcript]
    quarantined: list[Quarantined]

    @property
    def rows(self) -> int:
        return len(self.records) + len(self.quarantined)


def by_conversation(records: Iterable[Transcript]) -> dict[str, list[Transcript]]:
    """Records that hold the same conversation, in the order read."""
    found: dict[str, list[Transcript]] = {}
    for record in records:
        found.setdefault(record.conversation, []).append(record)
    return found


def unique(records: Iterable[Transcript]) -> list[Transcript]:
    """The first record of each conversation, with the scores of `agreed_scores`."""
    kept = []
    for same in by_conversation(records).values():
        scores = agreed_scores(same)
        first = same[0]
        if scores != dict(first.scores):
            names = ("context", "level", "language", "setting", "candidate", "name", "source", "repairs", "split_group")
            more = {n: getattr(first, n) for n in names}
            first = Transcript.of(first.part, first.turns, scores=scores, fold=first.fold, **more)
        kept.append(first)
    return kept


def agreed_scores(same: Sequence[Transcript]) -> dict[str, float]:
    """Of one conversation's records, per criterion the first score given; `conflicts` counts where later ones differ."""
    return {c: next(r.scores[c] for r in same if c in r.scores) for c in CRITERIA if any(c in r.scores for r in same)}


def summary(read: ReadTranscripts) -> dict[str, Any]:
    """rows, read, quarantined; unique conversations, and how many of them have which band, per criterion."""
    groups = by_conversation(read.records)
    counts: dict[str, Counter[float]] = {}
    for same in groups.values():
        for criterion, band in agreed_scores(same).items():
            counts.setdefault(criterion, Counter())[band] += 1
    return {
        "rows": read.rows,
        "read": len(read.records),
        "quarantined": len(read.quarantined),
        "conversations": len(groups),
        "scores": {c: {f"{b:g}": counts[c][b] for b in sorted(counts[c])} for c in CRITERIA if c in counts},
    }


def details(read: ReadTranscripts) -> dict[str, Any]:
    """What a careful reader of the summary asks next: repairs, reasons, parts, levels, conflicting and missing scores."""
    groups = list(by_conversation(read.records).values())

    def differ(same: Sequence[Transcript]) -> bool:
        return any(r.scores[c] != band for c, band in agreed_scores(same).items() for r in same if c in r.scores)

    parts = Counter(str(g[0].part or "unknown") for g in groups)
    levels = Counter(g[0].level for g in groups if g[0].level)
    return {
        "parts": dict(sorted(parts.items())),
        "levels": {level: levels[level] for level in sorted(levels)},
        "unscored": sum(not r.scores and r.level is None for r in read.records),
        "conflicts": sum(map(differ, groups)),
        "missing": dict(Counter(c for r in read.records for c in r.missing)),
        "repairs": dict(Counter(note for r in read.records for note in r.repairs).most_common()),
        "reasons": dict(Counter(q.reason for q in read.quarantined).most_common()),
    }
