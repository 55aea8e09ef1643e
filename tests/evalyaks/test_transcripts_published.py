"""The published EvalYaks rows, where they are at hand."""

import csv
import json

import pytest

from tests.evalyaks.conversations import DATA, public
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import details, summary
from windvane.evalyaks.transcripts.repair import parse_conversation, scan_labels


@public
@pytest.mark.parametrize(
    ("file", "rows", "conversations", "gv", "conflicts"),
    [
        ("Part1_Introduction.csv", 346, 257, {"1": 81, "2": 84, "3": 78, "4": 5, "5": 9}, 0),
        ("Part2_LongTurn.csv", 380, 264, {"1": 84, "2": 102, "3": 64, "4": 6, "5": 8}, 8),
    ],
)
def test_published_rows(file, rows, conversations, gv, conflicts):
    read = read_transcripts([DATA / file])
    found = summary(read)
    assert found["rows"] == found["read"] == rows and found["quarantined"] == 0
    assert found["conversations"] == conversations and found["scores"]["GV"] == gv
    assert details(read)["conflicts"] == conflicts
    part = int(file[4])
    for record in read.records:
        assert [t.role for t in record.turns] == ["examiner", "candidate"] * (4 if part == 1 else 3), record.source
        assert len(record.context) == (4 if part == 2 else 0) and record.part == part
        assert not any(mark in t.text for t in record.turns for mark in ("{", "}", '":', "Candidate", "[INST")), (
            record.source
        )


@public
def test_labels_alone_give_what_json_gives():
    with (DATA / "Part1_Introduction.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row[0] for row in csv.reader(handle)][1:]
    same = 0
    for row in rows[::4]:
        text = row.split("Conversation:")[1].split("[/INST]")[0].strip()
        try:
            json.loads(text)
        except ValueError:
            continue
        assert scan_labels(text).turns == parse_conversation(text).turns
        same += 1
    assert same > 70
