"""Transcripts: every form of file gives the same turns; what cannot be read is kept with its reason."""

import csv
import json

import pytest

from tests.evalyaks.conversations import PLAIN, SAID, TURNS, only, prompt, table
from windvane.core.errors import UserError
from windvane.evalyaks.transcripts.command import main
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import Turn, details, summary, unique


def test_every_form_of_file_gives_the_same_turns(tmp_path):
    objects = json.dumps([{who: text} for who, text in SAID])
    scores = {"GV": 3, "DM": 2, "IC": 4}
    turns = [{"role": who.lower(), "text": text} for who, text in SAID]
    pasted = "\n".join(f"{who}: {text}" for who, text in SAID)
    rows = {
        "Part3_a.csv": lambda p: table(p, [prompt(objects, scores)]),
        "b.jsonl": lambda p: p.write_text(json.dumps({"part": 3, "turns": turns, "scores": scores})),
        "c.json": lambda p: p.write_text(json.dumps([{"part": "Part 3", "conversation": pasted, **scores}])),
        "d.csv": lambda p: table(p, [[3, pasted, 3, 2, 4]], ["part", "Transcript", "GV", "DM", "IC"]),
        "e.txt": lambda p: p.write_text(f"Part 3\n{pasted}\nScores: GV 3, DM 2, IC 4\n"),
        "f.txt": lambda p: p.write_bytes(f"PART THREE\r\n{pasted}\r\nGV: 3\r\nDM: 2\r\nIC: 4".encode("utf-16")),
        "g.jsonl": lambda p: p.write_text(
            json.dumps({"prompt": prompt(objects, {}).split(" {}")[0], "completion": str(scores), "part": 3})
        ),
        "h.jsonl": lambda p: p.write_text(
            json.dumps({"part": 3, "scores": scores, "messages": [{"role": w, "content": t} for w, t in SAID]})
        ),
    }
    for name, write in rows.items():
        write(tmp_path / name)
        record = only(read_transcripts([tmp_path / name]))
        assert (record.part, record.turns, dict(record.scores)) == (3, TURNS, {"GV": 3, "DM": 2, "IC": 4}), name
    read = read_transcripts([tmp_path / name for name in rows])
    assert summary(read)["conversations"] == 1 and len({r.id for r in read.records}) == 1


def test_a_column_a_speaker_is_one_exchange(tmp_path):
    path = table(tmp_path / "x.csv", [["Why?", "Because.", 3]], ["Examiner", "Candidate", "GV"])
    record = only(read_transcripts([path]))
    assert record.turns == (Turn("examiner", "Why?"), Turn("candidate", "Because.")) and record.candidate is None


def test_our_own_records_come_back_the_same(tmp_path):
    source = table(tmp_path / "Part3.csv", [prompt(json.dumps([{w: t} for w, t in SAID]), {"GV": 3, "DM": 2})])
    assert main([str(source), "--out", str(tmp_path / "one.jsonl")]) == 0
    assert main([str(tmp_path / "one.jsonl"), "--out", str(tmp_path / "two.jsonl")]) == 0
    one, two = (
        [json.loads(line) for line in (tmp_path / n).read_text().splitlines()] for n in ("one.jsonl", "two.jsonl")
    )
    for row in one + two:
        row.pop("source")
    assert one == two


def test_pasted_text_as_people_write_it(tmp_path):
    path = tmp_path / "pasted.txt"
    path.write_text(
        "PART 2\nPhoto 1: a beach\nPhoto 2 - a park\n\n[00:12] **Interlocutor:** Please describe.\n"
        "00:20 **Candidate A** (laughs): Well - a beach,\nand people. Note: it hot.\n00:40 - Candidate B: I agree.\n"
        "-----\nExaminer: One? Candidate: Two. Examiner: Three? Candidate: Four.\n"
        "-----\nE: Hello\nC:\nthe answer\nis here\n"
        "-----\nMs Rao (examiner): Hi?\nMaria (Candidate): My marks - 10 of 10.\nWell - good.\nWell - fine.\n"
        "-----\nExaminer   00:12\nAny music?\nCandidate   00:15\nTwo bands,\nbands 3 and 4.\n"
    )
    two, inline, short, named, stamped = read_transcripts([path]).records
    assert named.said() == "My marks - 10 of 10. Well - good. Well - fine." and named.said("examiner") == "Hi?"
    assert stamped.said() == "Two bands, bands 3 and 4." and not stamped.scores
    assert two.part == 2 and two.context == {"PHOTO_ONE": "a beach", "PHOTO_TWO": "a park"}
    assert two.said() == "Well - a beach, and people. Note: it hot." and two.said("partner") == "I agree."
    assert inline.said() == "Two.\nFour." and inline.said("examiner") == "One?\nThree?"
    assert short.said() == "the answer is here"


def test_names_are_asked_for_never_guessed(tmp_path):
    path = tmp_path / "named.txt"
    path.write_text("Ms Rao: Hello?\nMaria: Hi.\nMs Rao: Why?\nMaria: Because.\n")
    read = read_transcripts([path])
    assert (
        not read.records and "unknown speaker Ms Rao, Maria; say who it is with --speaker" in read.quarantined[0].reason
    )
    known = only(read_transcripts([path], speakers={"MARIA": "candidate", "ms  rao": "examiner"}))
    assert known.said() == "Hi.\nBecause."
    with pytest.raises(UserError, match="give NAME=ROLE"):
        main([str(path), "--speaker", "Maria=judge"])


def test_universal_cefr_rows(tmp_path):
    row = {
        "title": "NA",
        "lang": "en",
        "source_name": "x",
        "format": "document-level",
        "category": "learner",
        "license": "CC BY",
    }
    rows = [
        {**row, "cefr_level": "B1", "text": "I am agree."},
        {**row, "cefr_level": "NA", "text": "No level."},
        {**row, "cefr_level": "D9", "text": "Wrong level."},
        {**row, "cefr_level": "A2+", "format": "discourse-level", "text": "Examiner: Hi?\nCandidate: Yes."},
    ]
    path = tmp_path / "u.json"
    path.write_text(json.dumps(rows))
    read = read_transcripts([path])
    assert [(r.level, r.said(), r.language) for r in read.records] == [
        ("B1", "I am agree.", "en"),
        (None, "No level.", "en"),
        ("A2", "Yes.", "en"),
    ]
    assert read.records[0].context["source_name"] == "x" and "title" not in read.records[0].context
    assert "none of A1" in read.quarantined[0].reason
    assert details(read)["levels"] == {"A2": 1, "B1": 1}


def test_context_of_each_part(tmp_path):
    photos = "Photo Descriptions:\n\nPHOTO_ONE: A, b and c, PHOTO_TWO: two, PHOTO_THREE: three, PHOTO_FOUR: four\n\n"
    rows = [
        prompt(PLAIN, {"GV": 1, "DM": 1}, photos),
        prompt(PLAIN, {"GV": 1, "DM": 1}, "Task:\nPlan a party: where, when?\n\n"),
    ]
    two, three = read_transcripts([table(tmp_path / "x.csv", rows)]).records
    assert two.part == 2 and two.context == {
        "PHOTO_ONE": "A, b and c",
        "PHOTO_TWO": "two",
        "PHOTO_THREE": "three",
        "PHOTO_FOUR": "four",
    }
    assert three.context == {"task": "Plan a party: where, when?"}


def test_a_row_that_cannot_be_read_is_kept_with_reason_and_line(tmp_path, capsys):
    rows = [
        prompt(PLAIN, {"GV": 1, "DM": 2}),
        "<s>[INST] nothing here [/INST] {} </s>",
        prompt(PLAIN, {"GV": 9, "DM": 2}),
        prompt(PLAIN.replace("Hi?", "Ho?"), {"GV": 2}),
        "no tags at all",
    ]
    path = table(tmp_path / "Part1.csv", rows)
    assert main([str(path), "--json", "--quarantine", str(tmp_path / "q.jsonl")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "rows": 5,
        "read": 2,
        "quarantined": 3,
        "conversations": 2,
        "scores": {"GV": {"1": 1, "2": 1}, "DM": {"2": 1}},
    }
    kept = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    text = path.read_text().split("\n")
    assert [q["reason"][:12] for q in kept] == ["no conversat", "scores: GV: ", "no speaker f"]
    assert all(text[q["line"] - 1].lstrip('"').startswith(q["text"][:10]) for q in kept)
    assert main([str(path), "--json", "--details"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == {"DM": 1}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "cells.csv"])
def test_half_of_a_surrogate_pair_is_quarantined(tmp_path, name):
    rows = [
        {"part": 1, "turns": [{"examiner": "Hi?"}, {"candidate": f"I live in Pune{half}."}]} for half in ("", "\ud83d")
    ]
    path = tmp_path / name
    if name == "rows.json":
        path.write_text(
            json.dumps([*rows, {"text": "Candidate: I live.", "level": float("nan")}])
        )  # NaN is read by Python
    elif name == "rows.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["part", "turns"], *([r["part"], json.dumps(r["turns"])] for r in rows)])
    found = read_transcripts([path])
    assert [r.said() for r in found.records][:1] == ["I live in Pune."]
    (left,) = found.quarantined
    assert left.reason == "half of a surrogate pair, which is no text" and left.text.encode()


def test_the_first_score_of_a_conversation_counts_and_conflicts_are_told(tmp_path):
    rows = [
        prompt(PLAIN, {"GV": 1, "DM": 2}),
        prompt(PLAIN.upper().replace("EXAMINER", "Examiner"), {"GV": 5, "DM": 2}),
    ]
    read = read_transcripts([table(tmp_path / "Part1.csv", rows)])
    assert summary(read)["scores"] == {"GV": {"1": 1}, "DM": {"2": 1}} and summary(read)["conversations"] == 1
    assert details(read)["conflicts"] == 1


def test_a_missing_score_is_taken_from_the_conversations_other_row(tmp_path):
    rows = [prompt(PLAIN, {"GV": 1, "DM": 2}), prompt(PLAIN, {"GV": 1, "DM": 2, "IC": 3})]
    read = read_transcripts([table(tmp_path / "Part4.csv", rows)])
    assert summary(read)["scores"]["IC"] == {"3": 1} and unique(read.records)[0].scores == {"GV": 1, "DM": 2, "IC": 3}
    assert read.records[0].missing == ("IC",) and not read.records[1].missing


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"PROMPT\n", "no rows"),
        ("a.txt", b"", "no rows"),
        ("a.docx", b"PK\x03\x04", "unknown kind of file"),
        ("a.txt", b"PK\x03\x04\0\0", "no text file"),
        ("a.json", b"{", "not valid JSON"),
        ("a.parquet", b"PAR", "not a readable Parquet"),
    ],
)
def test_files_that_are_none(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_transcripts([tmp_path / name])
    with pytest.raises(UserError, match="cannot be read"):
        read_transcripts([tmp_path / "absent.csv"])


def test_spreadsheet_bytes_and_broken_lines(tmp_path):
    path = tmp_path / "Part1.csv"
    path.write_bytes(b'part,transcript,GV\n1,"Examiner: Caf\xe9?\nCandidate: It\x92s good.",3\n1,only two\n')
    read = read_transcripts([path])
    assert read.records[0].said() == "It’s good." and read.records[0].repairs == ("read as Windows-1252, not UTF-8",)
    assert read.quarantined[0].reason == "2 fields where the header has 3" and read.quarantined[0].line == 4
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"text": "Examiner: a\\nCandidate: b"}\n{broken\n3\n')
    assert [q.line for q in read_transcripts([lines]).quarantined] == [2, 3]
