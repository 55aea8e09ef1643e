"""One conversation, and rows and files that hold it, for the tests of transcripts."""

import csv
from pathlib import Path

import pytest

from windvane.evalyaks.transcripts.record import Turn

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
PLAIN = '[{"Examiner": "Hi?", "Candidate": "I go."}, {"Examiner": "Why?", "Candidate": "It fun."}]'


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
