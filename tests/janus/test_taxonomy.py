"""The taxonomy that ships, what is drawn from it, and the broken ones that are refused by name."""

import json

import pytest

from windvane.core.errors import UserError
from windvane.core.text import normalize
from windvane.janus.taxonomy import read_taxonomy

STYLE = [
    {"id": "s", "name": "style", "description": "how"},
    {"id": "s/t", "parent": "s", "name": "tone", "description": "voice"},
    {"id": "s/t/w", "parent": "s/t", "name": "warm", "description": "kind words"},
]


def written(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_the_shipped_one():
    found = read_taxonomy()
    assert [d.name for d in found.dimensions] == ["style", "background_knowledge", "informativeness", "harmlessness"]
    values = [v for d in found.dimensions for v in d.values]
    assert len(values) == 132 and len({(v.dimension, v.subdimension) for v in values}) == 22
    assert len({normalize(v.preference) for v in values}) == 132, "each value once"
    assert all(6 <= len(v.description.split()) <= 60 for v in values)
    assert all(v.dimension == d.name for d in found.dimensions for v in d.values)


def test_draws_are_a_function_of_their_key_and_share_no_value():
    found = read_taxonomy()
    sets = found.draw(3, 0, "instruction")
    assert sets == found.draw(3, 0, "instruction") != found.draw(3, 1, "instruction")
    for column in zip(*sets):
        assert len({v.preference for v in column}) == 3
    assert [v.dimension for v in sets[0]] == [d.name for d in found.dimensions]
    shown = found.examples("style", 3, "x")
    assert len({v.subdimension for v in shown}) == 3, "from different subdimensions"
    assert len({v.preference for v in found.examples("style", 30, "x")}) == 30


def test_every_value_is_drawn_about_equally_often():
    found = read_taxonomy()
    drawn = [s[0].preference for i in range(3000) for s in found.draw(3, i)]
    # 9,000 draws of 30 values in 5 subdimensions of 6 each: 300 of each are expected
    counts = [drawn.count(v.preference) for v in found.dimensions[0].values]
    assert min(counts) > 230 and max(counts) < 370


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ([{"id": "a", "parent": "b", "name": "a", "description": "x"},
          {"id": "b", "parent": "a", "name": "b", "description": "x"}], "row 4: field 'parent': a cycle (a -> b -> a)"),
        ([{"id": "a", "parent": "a", "name": "a", "description": "x"}], "row 4: field 'parent': a cycle (a -> a)"),
        ([STYLE[2]], "row 4: field 'id': 's/t/w' stands in row 3 too"),
        ([{"id": "x", "parent": "s/t", "name": "Warm!", "description": "x"}], "row 4: field 'name': 'Warm!' stands in row 3 too"),
        ([{"id": "x", "parent": "s", "name": "y", "description": "x"},
          {"id": "z", "parent": "x", "name": "warm", "description": "x"}], "row 5: field 'name': 'warm' stands in row 3"),
        ([{"id": "x", "parent": "nowhere", "name": "y", "description": "x"}], "row 4: field 'parent': no node 'nowhere'"),
        ([{"id": "z", "parent": "x", "name": "z", "description": "x"},
          {"id": "x", "parent": "nowhere", "name": "y", "description": "x"}], "row 5: field 'parent': no node 'nowhere'"),
        ([{"id": "x", "parent": "s/t/w", "name": "y", "description": "x"}], "row 4: field 'parent': below a value"),
        ([{"id": "x", "parent": "s", "name": "y", "description": "x"}], "row 4: 'y': has no value below it"),
        ([{"id": "x", "name": "y", "description": "x"}], "row 4: 'y': has no subdimension below it"),
        ([{"id": "x", "parent": "s/t", "name": "y", "description": " "}], "row 4: field 'description': empty"),
        ([{"id": "x", "parent": "s/t", "name": "y"}], "row 4: field 'description': missing"),
    ],
)  # fmt: skip
def test_broken_ones(tmp_path, change, told):
    with pytest.raises(UserError) as error:
        read_taxonomy(written(tmp_path / "t.jsonl", [*STYLE, *change]))
    assert told in str(error.value) and "t.jsonl" in str(error.value)


def test_a_small_one_of_ones_own(tmp_path):
    (dimension,) = read_taxonomy(written(tmp_path / "t.jsonl", STYLE)).dimensions
    assert [(v.subdimension, v.preference) for v in dimension.values] == [("tone", "warm")]
    with pytest.raises(UserError, match="no such file"):
        read_taxonomy(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="has no dimension below it"):
        read_taxonomy(written(tmp_path / "empty.jsonl", []))
