"""What is broken in a conversation or its scores is mended by a rule with a name, or refused with its reason."""

import json
import random

import pytest

from tests.evalyaks.conversations import PLAIN, SAID, TURNS
from windvane.evalyaks.transcripts.record import Turn
from windvane.evalyaks.transcripts.repair import parse_conversation, scan_labels
from windvane.evalyaks.transcripts.scores import parse_scores

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
