"""The parser of grades on what judges really write. Marked "released": the cases that the paper's released parser fails or misreads."""

import pytest

from windvane.prompts.rubric import read_grade

READ = [
    ("Feedback: fine. [RESULT] 4", 4),
    ("Feedback: fine.\n[RESULT] 4\n", 4),
    ("fine [RESULT] score of 1", 1),  # released: fails its own test
    ("[RESULT] score of 1", 1),  # released: fails its own test
    ("score of 1", 1),  # released: fails its own test
    ("[3]", 3),  # released: fails its own test
    ("Rating: [[4]]", 4),  # as MT-Bench's judges write
    ("Score 2 rubric asks for warmth, but here ... [RESULT] 5", 5),  # released: 2
    ("[RESULT] **4**", 4),  # released: none
    ("**[RESULT]** 4", 4),  # released: none
    ("Final: 4/5", 4),  # released: none
    ("**[RESULT] 4**", 4),
    ("__[RESULT]__ __2__", 2),
    ("[RESULT]: 4", 4),
    ("[Result] = 4", 4),
    ("[ RESULT ] 4.", 4),
    ("[RESULT] [4]", 4),
    ("[RESULT] (4)", 4),
    ("[RESULT] 4/5", 4),
    ("[RESULT] 4 / 5.", 4),
    ("[RESULT] 4 out of 5", 4),
    ("[RESULT] 4.0", 4),
    ("[RESULT] Score: 2", 2),
    ("[RESULT] the final score is 2", 2),
    ("[RESULT]\n3", 3),
    ("[RESULT]\n\n**3**\n", 3),
    ("[RESULT] 3 (good)", 3),
    ("[RESULT] 2 [RESULT] 4", 4),
    ("[RESULT] 2\nOn reflection it is better.\n[RESULT] 4", 4),
    ("Score: 1\n[RESULT] 5", 5),
    ("[RESULT] 5\nScore: 1", 1),
    ("### Final Score: 3", 3),
    ("**Overall score (1-5):** 4", 4),
    ("Score (1 to 5): **2**", 2),
    ("> Rating: 5/5", 5),
    ("- Grade = 1", 1),
    ("Verdict: 3!", 3),
    ("So the final score is 4.", 4),
    ("My rating is 2 out of 5.", 2),
    ("Score 4", 4),
    ("Score:\n4", 4),
    ("Scores above 4 are rare.\nScore: 3\nScore 4 would need a joke.", 3),
    ("<think>[RESULT] 1</think>[RESULT] 5", 5),
    ("`[RESULT] 2`", 2),
    ("[RESULT] 3\nThe score is based on the tone alone.", 3),
]
UNREAD = [
    "[RESULT] 0",  # released: 0
    "[RESULT] 10",  # released: 10
    "[RESULT] 3.5",  # released: 3
    "[RESULT] 6",
    "Rating: [[10]]",
    "[RESULT] -4",
    "[RESULT] 45",
    "[RESULT] 3-4",
    "[RESULT] 3 to 4",
    "[RESULT] 4 or 5",
    "[RESULT] 4/10",
    "[RESULT] 80%",
    "[RESULT] four",
    "[RESULT] (an integer number between 1 and 5)",
    "[RESULT]",
    "[RESULT]\nIt is hard to say whether 4 or 5.",
    "[RESULT] 4\nWait.\n[RESULT] unclear",
    "[6]",
    "Score: 5 stars for effort, 2 for content",
    "Score 2 rubric: the answer ignores the value.",
    "The answer deserves a 4.",
    "I would not give this more than 3 points out of 5, all told",
    "4",
    "",
]


@pytest.mark.parametrize(("text", "score"), READ)
def test_read(text, score):
    assert read_grade(text)[::2] == (score, None)


@pytest.mark.parametrize("text", UNREAD)
def test_unread(text):
    score, _, reason = read_grade(text)
    assert score is None and (reason.startswith(("not a whole number from 1 to 5: ", "no line 'Score: N'")))


def test_enough_cases():
    assert len(READ) + len(UNREAD) >= 40


def test_feedback_is_what_stands_before():
    assert read_grade("Feedback: kind, but long.\n**[RESULT]** 4")[1] == "Feedback: kind, but long."
    assert read_grade("Kind. [RESULT] 4")[1] == "Kind."
    assert read_grade("[RESULT] 2 because\n[RESULT] 3")[1] == "[RESULT] 2 because"
