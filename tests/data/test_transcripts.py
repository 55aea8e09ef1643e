"""Transcripts: every form gives the same turns, what is broken is mended or kept with its reason, splits leak nothing."""

import csv
import json
import random
from pathlib import Path

import pytest

from windvane.data.transcripts import Transcript, Turn, details, summary, unique
from windvane.data.transcripts_read import read_transcripts
from windvane.data.transcripts_repair import parse_conversation, scan_labels
from windvane.data.transcripts_scores import parse_scores
from windvane.data.transcripts_split import cluster, folds, overlapping
from windvane.data.transcripts_verb import main
from windvane.errors import UserError

DATA = Path(__file__).parents[3] / "shared" / "data" / "evalyaks"
public = pytest.mark.skipif(
    not DATA.is_dir(), reason="the published EvalYaks rows are not here (../shared/data/evalyaks)"
)

SAID = [
    ("Examiner", "What do you like, and why: sport or music?"),
    ("Candidate", 'I like "both", it\'s fun. My mother say: sport is good'),
    ("Partner", "Do you agree with me, Anna?"),
    ("Candidate", "Yes, I agree. Because it make us strong"),
    ("Examiner", "Thank you."),
]
TURNS = tuple(Turn(who.lower(), text) for who, text in SAID)
FULL = {"GV": "GRAMMAR_AND_VOCABULARY", "DM": "DISCOURSE_MANAGEMENT", "IC": "INTERACTIVE_COMMUNICATION"}


def prompt(conversation, scores, before=""):
    """A row of the public form, in our own words."""
    answer = repr({FULL[c]: v for c, v in scores.items()})
    ask = 'Role:\n- You assess.\n- Read what "Examiner" and "Candiate" say.\nNotes:\n- Ignore the Examiner: rate the Candidate.'
    return f"<s>[INST] {ask}\n\n____________\n\n{before}Conversation:\n\n{conversation} [/INST] {answer} </s>"


def table(path, rows, header=("PROMPT",)):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *([r] if isinstance(r, str) else r for r in rows)])
    return path


def only(read):
    assert not read.quarantined, read.quarantined
    assert len(read.records) == 1
    return read.records[0]


# --- the repair rules ---------------------------------------------------------------------------------------------------------

PLAIN = '[{"Examiner": "Hi?", "Candidate": "I go."}, {"Examiner": "Why?", "Candidate": "It fun."}]'
PLAIN_TURNS = (
    Turn("examiner", "Hi?"),
    Turn("candidate", "I go."),
    Turn("examiner", "Why?"),
    Turn("candidate", "It fun."),
)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("}, {", "},, "),  # Part 2, every row
        PLAIN.replace("}, {", "},, {"),
        PLAIN[1:],  # Part 3: the opening bracket is missing
        PLAIN[:-1],
        PLAIN[1:-1],
        PLAIN.replace('fun."}', "fun.}"),  # the closing quote is missing
        PLAIN.replace('go."}, {', "go. {"),
        PLAIN.replace('"Candidate": "I', '"Candidate": I'),
        PLAIN.replace('"Candidate": "I', '"Candidate"."I'),
        PLAIN.replace('"Candidate"', 'Candidate"'),  # Part 3: bare keys
        PLAIN.replace('"Candidate"', '"Candidate'),
        PLAIN.replace('"Candidate"', "Candidate"),
        PLAIN.replace('{"', '"').replace('"}', '"'),
        PLAIN.replace('", "', '" "'),
        PLAIN.replace("go.", "go.\n"),  # a raw line end inside a string
        PLAIN.replace('"', "'"),  # a Python literal
        PLAIN.replace('"', "'").replace("}]", ""),
        PLAIN.replace('"', "“", 1).replace('"Hi?"', "“Hi?”"),
        PLAIN.replace("Candidate", "Candiate"),
        PLAIN.replace("Candidate", "candidate").replace("Examiner", "INTERLOCUTOR"),
        PLAIN.replace("go.", "go.}"),
        "Some words first\n" + PLAIN[1:],
        json.dumps({"INPUT": json.loads(PLAIN), "OUTPUT": {"GV": 1}}),
        json.dumps([{"role": t.role.title(), "text": t.text} for t in PLAIN_TURNS]),
    ],
)
def test_each_malformation_is_mended(text):
    assert parse_conversation(text).turns == PLAIN_TURNS


def test_every_repair_is_named():
    notes = [
        parse_conversation(t).repairs
        for t in (PLAIN, PLAIN.replace("}, {", "},, "), PLAIN.replace("go.", "go.\n"), PLAIN[1:])
    ]
    assert notes == [
        (),
        ("'},,' between turns",),
        ("raw line end inside a string",),
        ("speakers found by their labels",),
    ]


def test_of_numbered_candidates_the_first_is_scored():
    text = '[{"Candidate A": "one", "Candidate B": "two"}, {"Candidate C": "three"}, {"Examiner 1": "four"}]'
    for form in (text, text[1:]):
        assert [t.role for t in parse_conversation(form).turns] == ["candidate", "partner", "partner", "examiner"]
    other = parse_conversation(text, {"candidate b": "candidate", "candidate a": "partner"}).turns
    assert [t.role for t in other[:2]] == ["partner", "candidate"]
    assert "unknown speaker 'Candidate 17'" in parse_conversation(text.replace("Candidate B", "Candidate 17")).reason


def test_no_turn_is_lost_where_a_key_stands_twice():
    text = '[{"Candidate": "one", "Partner": "two", "Candidate": "three"}]'
    for form in (
        text,
        text.replace('"', "'"),
        text[1:-1],
        text[1:-1] + ", " + text[1:-1],
        text[1:],
        text.replace("[{", "{").replace("}]", ""),
    ):
        turns = [t.text for t in parse_conversation(form).turns]
        assert turns[:3] == ["one", "two", "three"] and len(turns) in (3, 6), form


@pytest.mark.parametrize("seed", range(40))
def test_words_survive_random_damage_to_the_punctuation(seed):
    """One to three structural marks outside the words are lost or doubled anywhere: every turn is still itself."""
    rng = random.Random(seed)
    pieces = ["["]
    for who, text in SAID:
        pieces += ["{", f'"{who}"', ": ", '"', text.replace('"', "'"), '"', "}", ", "]
    pieces[-1] = "]"
    marks = [i for i, p in enumerate(pieces) if p in ("[", "{", "}", "]", ", ")]
    for i in rng.sample(marks, rng.randint(1, 3)):
        pieces[i] = rng.choice(["", pieces[i] * 2])
    wanted = tuple(Turn(t.role, t.text.replace('"', "'")) for t in TURNS)
    assert parse_conversation("".join(pieces)).turns == wanted, "".join(pieces)


def test_a_speech_that_names_a_role_is_no_label():
    said = [Turn("examiner", "Ready?"), Turn("candidate", "My partner: he say yes. The student: no")]
    text = json.dumps([{t.role.title(): t.text} for t in said])
    assert parse_conversation(text).turns == scan_labels(text).turns == tuple(said)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "no table"),
        ('[{"Examiner": "Hi"}]', "the candidate says nothing"),
        ('[{"Examiner": "Hi", "Candidate": " ... "}]', "the candidate says nothing"),
        ('[{"Judge Judy": "Hi", "Candidate": "x"}]', "unknown speaker 'Judge Judy'"),
        ('[{"Candidate": 3}]', "no text"),
        ("no conversation at all", "no speaker"),
    ],
)
def test_what_cannot_be_mended_says_why(text, reason):
    parsed = parse_conversation(text)
    assert not parsed.turns
    assert reason in parsed.reason


# --- scores -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"GRAMMAR_AND_VOCABULARY": 3, "DISCOURSE_MANAGEMENT": 4}',
        "{'GRAMMAR_AND_VOCABULARY': 3, 'DISCOURSE_MANAGEMENT': 4}",
        '{"OUTPUT": {"Grammar and Vocabulary": "3", "discourse management": "4"}}',
        "Sure! ```json\n{'GV': 3.0, 'DM': 4}\n``` Good luck with {that}.",
        "GV: 3\nDM = 4",
        "**Grammar and vocabulary**: 3, **discourse management** is 4",
        "OUTPUT {'GRAMMAR_AND_VOCABULARY': 3, 'DISCOURSE_MANAGEMENT': 4",
    ],
)
def test_scores_in_any_writing(text):
    assert parse_scores(text, ("GV", "DM")) == {"GV": 3.0, "DM": 4.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"GV": 3}', "no score for DM"),
        ('{"GV": 0, "DM": 1}', "outside 1 to 5"),
        ('{"GV": 3.5, "DM": 1}', "between the scale's steps"),
        ('{"GV": true, "DM": 1}', "no number"),
        ('{"GV": "<score>", "DM": 1}', "no number"),
        ('{"GV": NaN, "DM": 1}', "no number"),
        ('{"GV": 3, "GV": 4, "DM": 1}', "two values, 3 and 4"),
        ("{'GV': 3, 'GV': 4, 'DM': 1}", "two values, 3 and 4"),
        ("GV: 3 and then GV: 5, DM: 2", "two values"),
        ("I cannot say", "no scores"),
        ("", "no scores"),
    ],
)
def test_scores_that_are_none(text, reason):
    assert reason in parse_scores(text, ("GV", "DM"))


def test_half_bands_where_the_scale_has_them():
    assert parse_scores('{"GV": 3.5, "DM": "4.0"}', step=0.5) == {"GV": 3.5, "DM": 4.0}
    assert "between" in parse_scores('{"GV": 3.3}', step=0.5)


# --- files --------------------------------------------------------------------------------------------------------------------


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


# --- splits -------------------------------------------------------------------------------------------------------------------

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


# --- the published rows -------------------------------------------------------------------------------------------------------


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
