"""Near-duplicates are found, and no fold shares one with another."""

import dataclasses
import random

import pytest

from windvane.core.errors import UserError
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.transcripts.split import cluster, folds, overlapping

WORDS = [
    "river",
    "stone",
    "cloud",
    "table",
    "green",
    "seven",
    "music",
    "window",
    "garden",
    "paper",
    "silver",
    "morning",
]


def made(seed, part=1):
    rng = random.Random(seed)
    answer = " ".join(rng.choice(WORDS) + str(rng.randint(0, 99)) for _ in range(30))
    turns = (Turn("examiner", "What do you do at the weekend with your friends?"), Turn("candidate", answer))
    return Transcript.of(part, turns, scores={"GV": 1 + seed % 3})


def edited(record, n):
    words = record.turns[1].text.split()
    words[n] = "changed"
    return Transcript.of(record.part, (record.turns[0], Turn("candidate", " ".join(words))), scores=record.scores)


def test_overlap_by_hand():
    """{abc, bcd, cde} and {abc, bcd, cdx}: 2 shared of 4, Jaccard 1/2."""
    texts = ["a b c d e", "A b, c d x!", "q r s", "", "q r"]
    assert overlapping(texts, 0.5) == [(0, 1)]
    assert overlapping(texts, 0.51) == []


def test_no_cluster_straddles_a_fold():
    """A chain a ~ b ~ c of edits is one group though a and c differ more; rows of one conversation are in one fold."""
    records = []
    for seed in range(40):
        first = made(seed)
        second = edited(first, 15)
        records += [first, second, edited(second, 5), first]
    held = folds(cluster(records), 5)
    of_group = {}
    for record in held:
        of_group.setdefault(record.split_group, set()).add(record.fold)
    assert len(of_group) == 40, "different answers to one question are not near-duplicates"
    assert all(len(f) == 1 for f in of_group.values()) and {r.fold for r in held} == set(range(5))
    for i in range(0, len(held), 4):
        assert len({r.fold for r in held[i : i + 4]}) == 1
    again = {r.conversation: r.split_group for r in cluster(records[::-1])}
    assert all(again[r.conversation] == r.split_group for r in held), "the order of the records changes nothing"
    with pytest.raises(UserError, match="at most the 40 clusters"):
        folds(cluster(records), 41)


def test_few_records_of_many_bands_are_dealt_out_all_the_same():
    """Five records of five bands: no band has a record for each of the folds, and scikit-learn would refuse."""
    records = [dataclasses.replace(made(i), scores={"GV": float(i + 1)}) for i in range(5)]
    assert sorted(r.fold for r in folds(cluster(records), 5)) == [0, 1, 2, 3, 4]
