"""Self-instruct: what is asked, and that a reply is read strictly."""

import pytest

from windvane.longpo.self_instruct import LEAD_INS, PROMPT, parse_questions, question_prompt


def test_the_prompt_holds_chunk_and_count():
    text = question_prompt(PROMPT, "a {count} {chunk} b", 3)
    assert text.startswith("Context:\na {count} {chunk} b\n\nWrite 3 questions"), "the chunk's own braces stay"
    assert '"1:" to "3:"' in text and text.count("{") == 2
    assert len(set(LEAD_INS)) == 20


@pytest.mark.parametrize(
    ("reply", "count", "questions", "reason"),
    [
        ("1: What?\n2: Why?", 2, ["What?", "Why?"], None),
        ("\n1. What?\n\n2) Why: so? \n", 2, ["What?", "Why: so?"], None),
        ("What?", 1, ["What?"], None),
        ("1: What?", 1, ["What?"], None),
        ("What?\nWhy?", 1, [], "not a numbered list"),
        ("Here are 2 questions:\n1: What?\n2: Why?", 2, [], "not a numbered list"),
        ("1: What?\n2: Why?\nGood luck!", 2, [], "not a numbered list"),
        ("1: What?\n3: Why?", 2, [], "numbers out of order"),
        ("1: What?", 2, [], "not as many questions as asked"),
        ("1: What?\n2: Why?\n3: How?", 2, [], "not as many questions as asked"),
        ("1: What?\n2: ...", 2, [], "an empty question"),
        (" \n", 2, [], "no reply"),
    ],
)
def test_replies(reply, count, questions, reason):
    assert parse_questions(reply, count) == (questions, reason)
