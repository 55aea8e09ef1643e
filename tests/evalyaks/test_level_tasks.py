"""Levels told and written, on a model of known habits; instruction sets; word lists."""

import json
import re

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.evalyaks.evaluation.level_grader import fit_grader
from windvane.evalyaks.evaluation.level_tasks import main, rates
from windvane.evalyaks.instructions import part_instructions, sentence_instructions, vocabulary_instructions
from windvane.evalyaks.instructions_command import main as instructions
from windvane.evalyaks.levels import OWN, Levels, Listed, read_levels
from windvane.evalyaks.prompts.levels import read_level, read_sentence, read_words
from windvane.evalyaks.transcripts.record import Transcript, Turn

EASY = ["The cat is big.", "I like my house.", "She has a red bag.", "We go to school.", "He can run fast."]
HARD = [
    "Despite considerable reluctance, the committee acknowledged the underlying inequality.",
    "The inevitable consequence of such legislation is widespread resentment.",
    "Sustainable infrastructure requires substantial and consistent investment.",
]


class Teacher:
    """Tells every level one too high but for A1 words; writes the right words and, for B2, easy sentences."""

    def __init__(self, sampling):
        self.sampling = sampling

    def generate(self, prompts, indices, seed):
        return [
            [Response(f"{p.id}-{i}", p.id, i, self.answer(p.text, i), (), "stop") for i in indices] for p in prompts
        ]

    def answer(self, text, index):
        level = re.search(r"level (A1|A2|B2)", text)
        if "a JSON list" in text:
            words = {"A1": ["cat", "house", "bread"], "A2": ["cook"], "B2": ["abandon", "acquire", "zyzzyva"]}[level[1]]
            return json.dumps(words) if index else "no list"
        if level:
            return EASY[index % len(EASY)]
        return "A1" if re.search(r"\b(cat|dog|house)\b", text) else "I think B1."


@pytest.fixture
def lists(tmp_path):
    words, sentences = tmp_path / "w.csv", tmp_path / "s.csv"
    words.write_text("word,level\ncat,A1\ndog,A1\nhouse,A1\nabandon,A2\nacquire,A2\n")
    rows = [f'"{t}",A1' for t in EASY * 3] + [f'"{t} {n}",B2' for t in HARD for n in "abcde"]
    sentences.write_text("sentence,level\n" + "\n".join(dict.fromkeys(rows)) + "\n")
    return words, sentences


def test_the_four_tasks(lists, tmp_path, monkeypatch, capsys):
    (tmp_path / "teacher_of_levels.py").write_text("from tests.evalyaks.test_level_tasks import Teacher\n")
    monkeypatch.chdir(tmp_path)
    words, sentences = lists
    more = tmp_path / "grader.csv"
    more.write_text(
        "sentence,level\n"
        + "".join(f'"{t} {n}",{lv}\n' for lv, ts in (("A1", EASY), ("B2", HARD)) for t in ts for n in "vwxyz")
    )
    call = [
        "--model",
        "py:teacher_of_levels:Teacher",
        "--words",
        str(words),
        "--sentences",
        str(sentences),
        "--samples",
        "3",
    ]
    call += ["--grader-sentences", str(more), "--out", str(tmp_path / "out"), "--json", "--quiet"]
    assert main(call) == 0
    found = json.loads(capsys.readouterr().out)["tasks"]
    # words: A1 right, A2 told B1: one list each
    assert (
        found["level of words"]["n"],
        found["level of words"]["accurate"],
        found["level of words"]["acceptable"],
    ) == (2, 0.5, 0.5)
    assert found["level of a sentence"]["n"] == 20
    assert main(call) == 0 and json.loads(capsys.readouterr().out)["tasks"] == found, "kept answers give the same"


def test_writing_is_graded_by_others(tmp_path, monkeypatch, capsys):
    (tmp_path / "teacher_of_words.py").write_text("from tests.evalyaks.test_level_tasks import Teacher\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.csv").write_text("word,level\ncat,A1\nabandon,B2\n")
    (tmp_path / "s.csv").write_text(
        "sentence,level\n"
        + "".join(f'"{t} {n}",{lv}\n' for lv, ts in (("A1", EASY), ("B2", HARD)) for t in ts for n in "vwxyz")
    )
    call = [
        "--model",
        "py:teacher_of_words:Teacher",
        "--words",
        "w.csv",
        "--sentences",
        "s.csv",
        "--samples",
        "3",
        "--out",
        "o",
        "--json",
        "--quiet",
    ]
    assert main(call) == 0
    result = json.loads(capsys.readouterr().out)
    listed, written = result["tasks"]["words of a level"], result["tasks"]["sentence of a level"]
    # a level has one invalid reply and two lists: A1 3 + 3 words right, B2 2 + 2 right and one word a list on no list
    assert (listed["n"], listed["accurate"], listed["not_on_the_list"]) == (12, pytest.approx(10 / 12), 2)
    assert list(listed["invalid"].values()) == [2]
    assert written["n"] == 6 and written["accurate"] == pytest.approx(0.5), "easy sentences for A1 and, wrongly, for B2"
    assert result["graders"]["sentence of a level"]["held_out"]["accuracy"] > 0.9


def test_rates_by_hand():
    found = rates([("A1", "A1"), ("A1", "A2"), ("B2", "A2")], ["no level"])
    assert (found["n"], found["accurate"], found["acceptable"], found["bias"]) == (4, 0.25, 0.25, pytest.approx(-1 / 3))


def test_levels_in_plain_forms():
    levels = Levels(read_levels())
    marked = [(m.word, m.level) for m in levels.mark("We visited temples: absolutely fascinating, happier cooks!")]
    assert marked == [
        ("We", "A1"),
        ("visited", "A2"),
        ("temples", "A2"),
        ("absolutely", "B2"),
        ("fascinating", "B2"),
        ("happier", "A1"),
        ("cooks", "A2"),
    ]
    text = "He stopped."
    assert [text[m.start : m.end] for m in levels.mark(text)] == ["He", "stopped"]
    assert Levels([Listed("bank", "B2"), Listed("Bank", "A2")]).level("banks") == "A2", "the lower of two levels"
    assert {i.level for i in read_levels([OWN])} == {"A1", "A2", "B1", "B2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word,level\ncat,D1\n", "line 2: level 'D1'"),
        ("word,level\n,A1\n", "line 2: no word"),
        ("word,level\n", "no words"),
    ],
)
def test_a_broken_list_is_named(tmp_path, text, message):
    path = tmp_path / "w.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_levels([path])


def test_replies_are_read_strictly():
    assert (
        read_level("The level is B1.") == ("B1", None)
        and read_level("B1 or B2")[0] is None
        and read_level("?")[1] == "no level"
    )
    assert read_words('["a", "b"]', 2) == (("a", "b"), None) and read_words('["a", "A"]')[1] == "a word stands twice"
    assert read_words('["a"]', 2)[1].startswith("1 words") and read_words("a, b")[1] == "not JSON"
    assert (
        read_sentence('"It rains."') == ("It rains.", None)
        and read_sentence("One. Two.")[1] == "more than one sentence"
    )


def test_instruction_sets(tmp_path, capsys):
    turns = [Turn("examiner", "Do you cook?"), Turn("candidate", "I cook because I like it.")]
    record = Transcript.of(1, turns, scores={"GV": 3.0, "DM": 2.0}, setting="indian")
    made = part_instructions(record)
    assert [i.task for i in made] == ["steps", "descriptors", "example"] and len({i.messages for i in made}) == 3
    assert {i.answer for i in made} == {'{"GRAMMAR_AND_VOCABULARY": 3, "DISCOURSE_MANAGEMENT": 2}'}
    words = [Listed(w, "A1", "home") for w in "abcdefg"] + [Listed("x", "B2")]
    both = vocabulary_instructions(words)
    told = [i for i in both if i.task == "level of words"]
    assert [i.answer for i in told] == ["A1", "A1", "B2"] and len(both) == 6
    groups = {i.group for i in both}
    assert len(groups) == 3, "telling and listing the same words stay together"
    listed = [w for i in both if i.task == "words of a level" for w in json.loads(i.answer)]
    assert sorted(listed) == sorted(w.text for w in words), "every word once"
    assert (
        'theme "home"' in next(i for i in both if i.task == "words of a level" and i.level == "A1").messages[0].content
    )
    assert [i.answer for i in sentence_instructions([Listed("It rains.", "A1")])] == ["A1", "It rains."]
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"part": 1, "turns": [{"candidate": "I cook a lot."}], "scores": {"GV": 3, "DM": 2}})
        + "\n"
        + json.dumps({"part": 3, "turns": [{"candidate": "Fine."}], "scores": {"GV": 3}})
    )
    assert (
        instructions(
            ["--transcripts", str(tmp_path / "t.jsonl"), "--words", "own", "--out", str(tmp_path / "o"), "--json"]
        )
        == 0
    )
    counted = json.loads(capsys.readouterr().out)
    assert counted["by_task"]["part1 steps"] == 1 and counted["left_out"] == {
        "without whole bands for every criterion of a known part": 1
    }
    row = json.loads((tmp_path / "o" / "part1.jsonl").read_text().splitlines()[0])
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]


def test_the_grader_of_sentences_needs_enough():
    with pytest.raises(UserError, match="at least 20 sentences"):
        fit_grader([Listed("a", "A1")], Levels([]))
