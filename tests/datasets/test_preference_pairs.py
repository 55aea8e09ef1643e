"""Every layout to the same records, and every kind of broken row to one line with file, row, field and mend."""

import csv
import json

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.datasets.preference_pairs import read_pairs


def written(path, rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", encoding="utf-8")
    return path


def turns(*texts, first="user"):
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]


WANTED = ((Message("user", "Hi?"),), "Hello.", "No.")
LAYOUTS = {
    "strings": {"prompt": "Hi?", "chosen": "Hello.", "rejected": "No."},
    "TRL conversational": {
        "prompt": turns("Hi?"),
        "chosen": turns("Hello.", first="a"),
        "rejected": turns("No.", first="a"),
    },
    "TRL implicit prompt": {"chosen": turns("Hi?", "Hello."), "rejected": turns("Hi?", "No.")},
    "UltraFeedback": {"prompt": "Hi?", "chosen": turns("Hi?", "Hello."), "rejected": turns("Hi?", "No.")},
    "ShareGPT names": {
        "instruction": [{"from": "human", "value": "Hi?"}],
        "chosen": [{"from": "gpt", "value": "Hello."}],
        "rejected": "No.",
    },
    "HH": {"chosen": "\n\nHuman: Hi?\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
    "reward layout of Multifaceted-Collection": {"input": "Hi?", "chosen": "Hello.", "rejected": "No."},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    (pair,) = read_pairs(written(tmp_path / "p.jsonl", [LAYOUTS[layout]]))
    assert (pair.prompt.messages, pair.chosen, pair.rejected) == WANTED
    assert (pair.probability, pair.margin) == (1.0, 0.0) and pair.place.endswith("p.jsonl: row 1")


@pytest.mark.parametrize("other", ["The sky is black.", "The sky is red."])
def test_a_text_without_prompt_is_cut_as_trl_cuts_it(tmp_path, other):
    from trl.data_utils import extract_prompt

    row = {"chosen": "The sky is blue, I think.", "rejected": other}
    (pair,) = read_pairs(written(tmp_path / "p.jsonl", [row]))
    theirs = extract_prompt(row)
    assert (pair.prompt.text, pair.chosen, pair.rejected) == tuple(theirs[k] for k in ("prompt", "chosen", "rejected"))


def test_several_turns_system_probability_and_margin(tmp_path):
    talk = turns("Hi?", "Yes?", "And?")
    row = {"system": "Be brief.", "prompt": talk, "chosen": "A.", "rejected": "B.", "probability": 0.25}
    (pair,) = read_pairs(written(tmp_path / "p.jsonl", [row]))
    assert [m.role for m in pair.prompt.messages] == ["system", "user", "assistant", "user"]
    assert pair.probability == 0.25
    row = {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "margin": 2}
    row["rejected"] = row["chosen"][:-1] + "e"
    (pair,) = read_pairs(written(tmp_path / "m.jsonl", [row]))
    assert [m.content for m in pair.prompt.messages] == ["a", "b", "c"] and pair.margin == 2.0


def test_csv_parquet_and_a_saved_data_set(tmp_path):
    import datasets

    with (tmp_path / "p.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["prompt", "chosen", "rejected", "margin"], ["Hi?", "Hello.", "No.", "1.5"]])
    (pair,) = read_pairs(tmp_path / "p.csv")
    assert (pair.prompt.messages, pair.chosen, pair.rejected) == WANTED and pair.margin == 1.5
    rows = datasets.Dataset.from_list([LAYOUTS["TRL implicit prompt"]] * 2)
    rows.to_parquet(tmp_path / "p.parquet")
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    for source in ("p.parquet", "saved"):
        found = read_pairs(tmp_path / source)
        assert len(found) == 2 and (found[1].prompt.messages, found[1].chosen, found[1].rejected) == WANTED


GOOD = LAYOUTS["strings"]
BROKEN = {
    "no column": ({"prompt": "a", "chosen": "b"}, r"p.jsonl: no column for rejected .*; columns: prompt, chosen"),
    "bare": ('"text"', r"p.jsonl: no column for chosen, rejected"),
    "missing": ({"prompt": "a", "chosen": "b"}, r"p.jsonl: row 2: field 'rejected': missing; add the response"),
    "json": ('{"prompt": ', r"p.jsonl: row 2: not valid JSON .*; mend or remove the line"),
    "same": (
        GOOD | {"rejected": "Hello."},
        r"p.jsonl: row 2: field 'rejected': the same as chosen; remove the row",
    ),
    "empty": (GOOD | {"chosen": " "}, r"p.jsonl: row 2: field 'chosen': empty; write the text or remove the row"),
    "number": (GOOD | {"chosen": 3}, r"p.jsonl: row 2: field 'chosen': expected text or turns, got int"),
    "prompt": (GOOD | {"prompt": []}, r"p.jsonl: row 2: field 'prompt': the chat has no turns"),
    "role": (
        GOOD | {"chosen": [{"role": "tool", "content": "x"}]},
        r"row 2: field 'chosen\[0\].role': expected system, user or assistant",
    ),
    "user last": (
        GOOD | {"chosen": turns("x")},
        r"row 2: field 'chosen': an answer begins and ends with the assistant's turn",
    ),
    "other prompt": (
        GOOD | {"chosen": turns("Ho?", "x")},
        r"row 2: field 'chosen': an answer begins and ends with .* without them; this one has user, assistant",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_rows(tmp_path, kind):
    row, message = BROKEN[kind]
    rows = [row] if kind in ("no column", "bare") else [GOOD, row]
    with pytest.raises(UserError, match=message) as caught:
        read_pairs(written(tmp_path / "p.jsonl", rows))
    assert "\n" not in str(caught.value)


MORE = {
    "probability": (GOOD | {"probability": 1.5}, r"row 1: field 'probability': 1.5; a probability is in \[0, 1\]"),
    "margin": (
        GOOD | {"margin": "big"},
        r"row 1: field 'margin': expected a number, got 'big'; mend or remove the row",
    ),
    "both": (GOOD | {"margin": 1, "probability": 1}, r"columns probability and margin: .* remove one"),
    "system twice": (
        GOOD | {"system": "s", "prompt": [{"role": "system", "content": "t"}, *turns("x")]},
        r"row 1: field 'system': the prompt has a system message of its own; remove one",
    ),
    "parted": (
        {"chosen": turns("a", "b"), "rejected": turns("c", "d")},
        r"row 1: field 'chosen': the two chats share no user turn, so there is no prompt",
    ),
    "no prompt": ({"chosen": "yes", "rejected": "no"}, r"row 1: field 'chosen': no prompt, .*; add the column prompt"),
    "reply alone": (
        {"chosen": turns("a", first="a"), "rejected": turns("b", first="a")},
        r"row 1: field 'chosen': the first turn is the assistant's",
    ),
}


@pytest.mark.parametrize("kind", MORE)
def test_broken_columns(tmp_path, kind):
    row, message = MORE[kind]
    with pytest.raises(UserError, match=message):
        read_pairs(written(tmp_path / "p.jsonl", [row]))


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.jsonl: no such file; check the path"):
        read_pairs(tmp_path / "nowhere.jsonl")
