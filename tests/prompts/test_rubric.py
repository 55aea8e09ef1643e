"""The last verdict wins or nothing does."""

import pytest

from windvane.core.records import Message, Prompt
from windvane.prompts.rubric import read_grade, rubric_messages


@pytest.mark.parametrize(
    ("text", "score", "feedback"),
    [
        ("Clear and true.\nScore: 4", 4, "Clear and true."),
        ("Score: 2\nOn second thought it is better.\nScore: 5", 5, "Score: 2\nOn second thought it is better."),
        ("Good.\n**Score:** 3/5", 3, "Good."),
        ("Good.\n[RESULT] 1.", 1, "Good."),
        ("<think>Score: 1</think>Fine.\nscore = 5", 5, "Fine."),
        ("Score: 3", 3, ""),
        ("_Score_: 4\nScores above 4 are rare.", 4, ""),
    ],
)
def test_grades(text, score, feedback):
    assert read_grade(text) == (score, feedback, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Score: 4\nNo, wait.\nScore: 6", "not a whole number from 1 to 5: 'Score: 6'"),
        ("Score: 4.5", "not a whole number from 1 to 5: 'Score: 4.5'"),
        ("Score: 4 or 5", "not a whole number"),
        ("Score: 0", "not a whole number"),
        ("Score: 14", "not a whole number"),
        ("Score:", "not a whole number"),
        ("It deserves a 4.", "no line 'Score: N'"),
        ("", "no line 'Score: N'"),
        ("4", "no line 'Score: N'"),
    ],
)
def test_no_grade(text, reason):
    score, _, why = read_grade(text)
    assert score is None and reason in why


def test_the_question_holds_what_is_asked():
    prompt = Prompt.of((Message("user", "Greet me."),))
    (bare,) = rubric_messages(prompt, "Hello!", "Is it polite?")
    (full,) = rubric_messages(prompt, "Hello!", "Is it polite?", "Good day to you.")
    for part in ("Greet me.", "Hello!", "Is it polite?", "Score: N"):
        assert part in bare.content and part in full.content
    assert "Good day" in full.content and "deserve 5" not in bare.content


def test_a_grade_in_an_unfinished_thought_is_none():
    assert (
        read_grade("<think>Perhaps.\nScore: 4")[0] is None
        and read_grade("<think>Score: 4</think>Good.\nScore: 5")[0] == 5
    )
