"""Five verdicts: reading them, and making them of probabilities."""

import pytest

from windvane.evals.arena_hard.prompt import LEVELS, level_messages, level_of, read_level


@pytest.mark.parametrize("level", LEVELS)
def test_each_verdict_is_read(level):
    assert read_level(f"Because. [[{level}]]") == (level, None)


def test_other_spellings_repeats_and_thoughts():
    assert read_level("[[B<<A]]") == ("A>>B", None) and read_level("[[ A>B ]] so [[A>B]]") == ("A>B", None)
    assert read_level("<think>[[B>A]]</think>[[A=B]]") == ("A=B", None)


@pytest.mark.parametrize("text", ["A is better", "[[A>B]] or [[B>A]]", "[[A]]", "[A>B]", "[[A>>>B]]", ""])
def test_nothing_is_guessed(text):
    level, reason = read_level(text)
    assert level is None and reason


def test_levels_of_probabilities_are_symmetric():
    """0.9 and 0.55 are the thresholds; P(B) = 1 - P(A) gives the mirrored verdict."""
    assert [level_of(p) for p in (1.0, 0.9, 0.89, 0.55, 0.54, 0.5, 0.46, 0.45, 0.11, 0.1, 0.0)] == [
        "A>>B", "A>>B", "A>B", "A>B", "A=B", "A=B", "A=B", "B>A", "B>A", "B>>A", "B>>A",
    ]  # fmt: skip


def test_the_first_is_a():
    (chat,) = level_messages("ask", "one", "two")
    assert chat.content.index("one\n>>> end of answer A") < chat.content.index("two\n>>> end of answer B")
