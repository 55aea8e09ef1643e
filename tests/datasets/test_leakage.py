"""Benchmark prompts in training texts."""

from windvane.datasets.leakage import Leakage

LONG = " ".join(f"w{i}" for i in range(20))
FOUND = Leakage([LONG, "Write a haiku about the sea.", "Who are you?"], ["b: row 1", "b: row 2", "b: row 3"])


def test_leaks():
    assert FOUND.reason("write a HAIKU about the sea") == "is the benchmark's prompt b: row 2"
    assert (
        FOUND.reason("Please, write a haiku about the sea!")
        == "shares 6 words in a row with the benchmark's prompt b: row 2"
    )
    assert FOUND.reason("who are you") == "is the benchmark's prompt b: row 3"
    assert FOUND.reason(f"x {LONG[3:]} y") == "shares 13 words in a row with the benchmark's prompt b: row 1"
    assert FOUND.reason("x " + " ".join(f"w{i}" for i in range(5, 18))) is not None


def test_no_leaks():
    assert FOUND.reason("x " + " ".join(f"w{i}" for i in range(5, 17))) is None, "12 words are not 13"
    assert FOUND.reason("Tell me, who are you?") is None, "a prompt of three words is leaked whole or not at all"
    assert FOUND.reason("Write a haiku about the hills.") is None
    assert FOUND.reason("") is None
