"""The pair rule, the split and their controls, on samples whose texts say where they come from."""

from collections import Counter

import pytest

from windvane.core.errors import UserError
from windvane.core.schema import dumps
from windvane.janus.collection_rows import Sample, instruction_id, read_preferences, read_samples
from windvane.janus.training_sets import (
    by_instruction,
    held_out,
    one_each,
    preference_row,
    preferences,
    reward_row,
    sft_row,
)
from windvane.janus.value_prompts import Value

VALUE = (Value("style", "tone", "warm", "Kind words."),)


def sample(i, j, prompt=None):
    return Sample("m", "o", VALUE, f"system {i}.{j}", prompt or f"prompt {i}", f"answer {i}.{j}")


GROUPS = by_instruction([sample(i, j) for i in range(300) for j in range(3)])


def test_the_pair_rule():
    found, counts = preferences(GROUPS, 0)
    assert counts == Counter(pair=300) and len({p.prompt for p in found}) == 300
    drawn = Counter()
    for p in found:
        i = p.prompt.split()[1]
        place, mine, other = (t.split()[1].split(".") for t in (p.system, p.chosen, p.rejected))
        assert place == mine and mine[0] == other[0] == i and mine[1] != other[1]
        drawn[mine[1], other[1]] += 1
    assert len(drawn) == 6 and min(drawn.values()) > 25, "all six ordered pairs, about 50 times each"
    assert preferences(GROUPS, 0)[0] == found != preferences(GROUPS, 1)[0]


def test_what_gives_no_pair_is_counted():
    groups = by_instruction(
        [
            sample(0, 0),
            sample(1, 0),
            Sample("m", "o", VALUE, "other", "prompt 1", "answer 1.0"),
            sample(2, 0),
            sample(2, 0),
        ]
    )
    assert preferences(groups, 0) == ([], Counter({"one answer alone": 2, "all answers the same": 1}))


def test_two_answers_under_one_system_message_are_no_pair():
    again = Sample("m", "o", VALUE, "system 0.0", "prompt 0", "another answer")
    assert preferences(by_instruction([sample(0, 0), again]), 0) == ([], Counter({"one answer alone": 1}))


def test_no_instruction_on_both_sides():
    samples = [sample(i, j, f"Prompt {i}{'!' * j}") for i in range(100) for j in range(3)]
    groups = by_instruction(samples)
    assert len(groups) == 100, "punctuation makes no other instruction"
    test = held_out(groups, 0.1, 0)
    assert len(test) == 10 and test == held_out(reversed(list(groups)), 0.1, 0) != held_out(groups, 0.1, 1)
    sides = [
        {instruction_id(s.prompt) for k, g in groups.items() for s in g if (k in test) == side}
        for side in (True, False)
    ]
    assert not sides[0] & sides[1]
    assert held_out(groups, 0.0, 0) == set() and len(held_out(groups, 0.0001, 0)) == 1
    with pytest.raises(UserError, match=r"test: 1\.0"):
        held_out(groups, 1.0, 0)


def test_one_an_instruction():
    found = one_each(GROUPS, 0)
    assert len(found) == 300 and set(Counter(s.output.split(".")[1] for s in found)) == {"0", "1", "2"}


def test_rows_come_back_as_they_went(tmp_path):
    (pair,), _ = preferences(by_instruction([sample(0, 0), sample(0, 1)]), 0)
    for name, row in (("sft", sft_row(sample(0, 0))), ("dpo", preference_row(pair)), ("rm", reward_row(pair))):
        (tmp_path / f"{name}.jsonl").write_text(dumps(row) + "\n")
    (back,) = read_samples(tmp_path / "sft.jsonl")
    assert sft_row(back) == sft_row(sample(0, 0))
    for name in ("dpo", "rm"):
        (read,) = read_preferences(tmp_path / f"{name}.jsonl")
        assert (read.system, read.prompt, read.chosen, read.rejected) == (
            pair.system,
            pair.prompt,
            pair.chosen,
            pair.rejected,
        )
