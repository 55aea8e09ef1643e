"""Graded transcripts -> those that an EvalYaks run trains on, holds out and tests on.

In: files of transcripts with bands. Out: a `Split`; an `Item` is an instruction (evalyaks/instructions.py) with its split. Splits are by
near-duplicate cluster of conversations: what is held out stands in nothing that is trained on. What cannot be used is counted with its
reason. Departure from the paper (arXiv 2408.12226), which does not say how its test was kept apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.errors import UserError
from windvane.core.records import held_out_keys
from windvane.evalyaks.instructions import Instruction
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, unique
from windvane.evalyaks.transcripts.split import cluster

TRAIN, HELD, TEST = "train", "held-out", "test"


@dataclass(frozen=True, slots=True)
class Item:
    """An instruction and the split it is in."""

    split: str
    instruction: Instruction


@dataclass(frozen=True, slots=True)
class Split:
    """Records by split; `left_out`: reason -> how many conversations, told and kept."""

    records: dict[str, list[Transcript]]
    left_out: dict[str, int]


def split_transcripts(data: Sequence[str], test: Sequence[str], share: float, seed: int) -> Split:
    """Conversations of `data` in train and held-out, those of `test` in test, each once, with all criteria of its part in whole bands.

    `share` of each part's clusters is held out, at least one; a cluster with a conversation of `test` is never trained on: where data and
    test overlap, its conversations of `data` are left out."""
    left_out: dict[str, int] = {}
    usable = {name: _usable(files, left_out) for name, files in ((TRAIN, data), (TEST, test)) if files}
    tested = {r.conversation for r in usable.get(TEST, ())}
    twice = sum(r.conversation in tested for r in usable[TRAIN])
    if twice:
        left_out["conversations that are tested on"] = twice
    marked = cluster([*(r for r in usable[TRAIN] if r.conversation not in tested), *usable.get(TEST, ())])
    blocked = {r.split_group for r in marked if r.conversation in tested}
    records: dict[str, list[Transcript]] = {TRAIN: [], HELD: [], TEST: [r for r in marked if r.conversation in tested]}
    own = [r for r in marked if r.conversation not in tested]
    near = [r for r in own if r.split_group in blocked]
    if near:
        left_out["near-duplicates of test conversations"] = len(near)
    own = [r for r in own if r.split_group not in blocked]
    held: set[str] = set()
    for part in PART_CRITERIA:
        held |= held_out_keys((r.split_group for r in own if r.part == part), share, seed, fewest=2)
    for record in sorted(own, key=lambda r: r.id):
        records[HELD if record.split_group in held else TRAIN].append(record)
    if not records[TRAIN]:
        raise UserError(f"{data[0]}: no conversation is left to train on ({left_out or 'all are held out'})")
    return Split(records, left_out)


def _usable(files: Sequence[str], left_out: dict[str, int]) -> list[Transcript]:
    read = read_transcripts(files)
    found = []
    if read.quarantined:
        left_out["rows that could not be read"] = left_out.get("rows that could not be read", 0) + len(read.quarantined)
    for record in unique(read.records):
        reason = _unusable(record)
        if reason is None:
            found.append(record)
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    if not found:
        raise UserError(f"{files[0]}: no transcript has the bands of its part's criteria ({left_out})")
    return found


def _unusable(record: Transcript) -> str | None:
    if record.part is None:
        return "conversations of an unknown part"
    if not record.scores:
        return "conversations without bands"
    if record.missing:
        return "conversations that lack a criterion of their part"
    if any(b != int(b) or not 1 <= b <= 5 for b in record.scores.values()):
        return "conversations with half bands or bands outside 1 to 5"
    return None
