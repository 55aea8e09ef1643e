"""What is worked out from rows and keys: units of a stage, what is held out, the text that comparisons read."""

import pytest

from windvane.core.records import Message, Prompt, content_id, held_out_keys, seed_of, units
from windvane.core.text import normalize


def test_units_name_their_members():
    prompts = [Prompt(f"p{n}", (Message("user", "x"),)) for n in range(3)]
    assert units(prompts, 2) == [
        (f"000000-{content_id(['p0', 'p1'])}", prompts[:2]),
        (f"000001-{content_id(['p2'])}", prompts[2:]),
    ]
    assert units([], 2) == []


def test_a_share_of_the_keys_is_held_out_whatever_their_order():
    keys = [f"k{n}" for n in range(20)]
    first = sorted(keys, key=lambda k: seed_of(7, "held-out", k))[:5]
    assert held_out_keys(keys, 0.25, 7) == held_out_keys([*reversed(keys), *keys], 0.25, 7) == set(first)
    assert held_out_keys(keys, 0.25, 7) != held_out_keys(keys, 0.25, 8) != held_out_keys(keys, 0.25, 8, stream="test")


@pytest.mark.parametrize(
    ("count", "share", "fewest", "held"), [(9, 0.5, 10, 0), (10, 0.01, 10, 1), (2, 0.1, 2, 1), (20, 0.0, 2, 0)]
)
def test_one_key_at_least_and_none_of_too_few(count, share, fewest, held):
    assert len(held_out_keys([str(n) for n in range(count)], share, 0, fewest)) == held


def test_texts_are_compared_by_their_words():
    assert normalize("  “Straße” — DON'T,\n42!  ") == "strasse don t 42"
    assert normalize("?!") == ""
