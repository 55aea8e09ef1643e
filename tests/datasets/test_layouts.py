"""Layouts of preference data: each row's turns written out by hand."""

import json
import re
from pathlib import Path

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.datasets.rows import read_rows

U, A, S = (lambda t: Message("user", t)), (lambda t: Message("assistant", t)), (lambda t: Message("system", t))


def turn(role, content):
    return {"role": role, "content": content}


def said(role, value):
    return {"from": role, "value": value}


CHAT = [turn("user", "Why?"), turn("assistant", "Because.")]
RATED = {"helpfulness": {"Rating": "5"}, "honesty": {"Rating": "4"}}
# layout: (a row, kind, prompt, answers)
LAYOUTS = {
    "TRL, text": ({"prompt": "Why?", "chosen": "a", "rejected": "b"}, "pairs", [U("Why?")], [[A("a")], [A("b")]]),
    "TRL, turns": (
        {
            "prompt": [turn("system", "Be brief."), turn("user", "Why?")],
            "chosen": [turn("assistant", "a")],
            "rejected": [turn("assistant", "b")],
        },
        "pairs",
        [S("Be brief."), U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "TRL, implicit turns that part at the first answer": (
        {
            "chosen": [*CHAT, turn("user", "And?"), turn("assistant", "a")],
            "rejected": [turn("user", "Why?"), turn("assistant", "No."), turn("user", "So?"), turn("assistant", "b")],
        },
        "pairs",
        [U("Why?")],
        [[A("Because."), U("And?"), A("a")], [A("No."), U("So?"), A("b")]],
    ),
    "TRL, implicit text": (
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        "pairs",
        [U("The sky is")],
        [[A(" blue.")], [A(" green.")]],
    ),
    "HH": (
        {"chosen": "\n\nHuman: Why?\n\nAssistant: a", "rejected": "\n\nHuman: Why?\n\nAssistant: b"},
        "pairs",
        [U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "UltraFeedback binarized by Hugging Face": (
        {
            "prompt": "Why?",
            "prompt_id": "9",
            "chosen": CHAT,
            "rejected": [CHAT[0], turn("assistant", "b")],
            "messages": CHAT,
            "score_chosen": 8.5,
            "score_rejected": 3,
        },
        "pairs",
        [U("Why?")],
        [[A("Because.")], [A("b")]],
    ),
    "UltraFeedback binarized by Argilla": (
        {
            "source": "x",
            "instruction": "Why?",
            "chosen_response": "a",
            "rejected_response": "b",
            "chosen_avg_rating": 5,
            "rejected_avg_rating": 2,
        },
        "pairs",
        [U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "UltraFeedback": (
        {
            "source": "x",
            "instruction": "Why?",
            "models": ["m", "n"],
            "completions": [
                {"response": "a", "overall_score": 10, "annotations": RATED},
                {
                    "response": "b",
                    "overall_score": 3.0,
                    "annotations": {"helpfulness": {"Rating": "2"}, "honesty": {"Rating": "1"}},
                },
            ],
        },
        "groups",
        [U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "ShareGPT": (
        {
            "conversations": [
                said("system", "S"),
                said("human", "Why?"),
                said("gpt", "a"),
                said("human", "And?"),
                said("gpt", "b"),
            ]
        },
        "single",
        [S("S"), U("Why?")],
        [[A("a"), U("And?"), A("b")]],
    ),
    "ShareGPT with a ranking (LLaMA-Factory)": (
        {
            "conversations": [said("human", "Why?")],
            "chosen": said("gpt", "a"),
            "rejected": said("gpt", "b"),
            "system": "S",
        },
        "pairs",
        [S("S"), U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "alpaca": (
        {"instruction": "Translate.", "input": "chat", "output": "cat", "system": "", "history": [["Hi", "Hello"]]},
        "single",
        [U("Hi"), A("Hello"), U("Translate.\nchat")],
        [[A("cat")]],
    ),
    "axolotl chat_template": (
        {"messages": [turn("user", "Why?")], "chosen": turn("assistant", "a"), "rejected": turn("assistant", "b")},
        "pairs",
        [U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "KTO": ({"prompt": "Why?", "completion": "a", "label": False}, "labelled", [U("Why?")], [[A("a")]]),
    "KTO, chat": (
        {"messages": [*CHAT, turn("user", "And?"), turn("assistant", "a")], "label": 1},
        "labelled",
        [U("Why?"), A("Because."), U("And?")],
        [[A("a")]],
    ),
    "scored answers": (
        {"prompt": "Why?", "responses": ["a", "b", "c"], "scores": [1, 3, 2]},
        "groups",
        [U("Why?")],
        [[A("a")], [A("b")], [A("c")]],
    ),
    "SPPO, released": (
        {
            "prompt": "Why?",
            "chosen": CHAT,
            "rejected": [CHAT[0], turn("assistant", "b")],
            "chosen_probs": 0.9,
            "chosen_probs_win": 0.8,
            "chosen_probs_lose": 0.3,
        },
        "pairs",
        [U("Why?")],
        [[A("Because.")], [A("b")]],
    ),
    "answers without a preference": (
        {"prompt": "Why?", "responses": ["a", "b"]},
        "answers",
        [U("Why?")],
        [[A("a")], [A("b")]],
    ),
    "prompts": ({"question": "Why?"}, "prompts", [U("Why?")], []),
}


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, tmp_path):
    row, kind, prompt, answers = LAYOUTS[name]
    found = read_rows(write(tmp_path / "d.jsonl", row))
    (read,) = found.rows
    assert (found.layout.kind, found.refused) == (kind, [])
    assert list(read.prompt.messages) == prompt
    assert [list(a) for a in read.responses] == answers


def test_what_the_answers_are_worth(tmp_path):
    def read(name):
        return read_rows(write(tmp_path / "d.jsonl", LAYOUTS[name][0])).rows[0]

    assert read("UltraFeedback").scores == (4.5, 1.5), "means of the ratings, not overall_score"
    assert read("UltraFeedback binarized by Hugging Face").scores == (8.5, 3.0)
    assert read("UltraFeedback binarized by Argilla").scores == (5.0, 2.0)
    assert read("SPPO, released").wins == (0.8, 0.3), "against the policy, before that of the pair"
    assert (read("KTO").desirable, read("KTO, chat").desirable) == (False, True)
    scored = read_rows(tmp_path / "d.jsonl", columns={"scores": "overall_score"}) if read("UltraFeedback") else None
    assert scored.rows[0].scores == (10.0, 3.0)


def test_columns_and_kind_by_name(tmp_path):
    path = write(tmp_path / "d.jsonl", {"frage": "Why?", "gut": "a", "schlecht": "b", "label": 3, "note": "x"})
    found = read_rows(path, columns={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"})
    assert (found.layout.kind, found.layout.unread) == ("pairs", ("label", "note"))
    path = write(tmp_path / "e.jsonl", {"prompt": "Why?", "response": "a", "label": "news"})
    assert read_rows(path, kind="single").rows[0].responses == ((A("a"),),)
    with pytest.raises(UserError, match=r"e.jsonl: row 1: field 'label': expected true or false .* got 'news'"):
        read_rows(path)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, "field 'rejected': the same as chosen; remove the row"),
        ({"prompt": "x", "chosen": "", "rejected": "a"}, "field 'chosen': empty"),
        ({"prompt": None, "chosen": "b", "rejected": "a"}, "field 'prompt': missing; the row has chosen, rejected; add it"),
        ({"prompt": "x", "chosen": [turn("user", "x")], "rejected": "a"}, "nothing beyond the prompt"),
        ({"chosen": CHAT, "rejected": CHAT}, "the same as chosen"),
        ({"prompt": "x", "responses": ["a", "b"], "scores": [1]}, "expected one number for each of 2 answers, got 1 values"),
        ({"prompt": "x", "responses": ["a", "b"], "probabilities": [1, 2]}, "2; must be in [0, 1]"),
        ({"prompt": "x", "chosen": "a", "rejected": "b", "probability": 1.5}, "a probability is in [0, 1]"),
        ({"conversations": [said("human", "x"), said("tool", "y")]}, "conversations[1].from': expected system, user or assistant"),
        ({"messages": [turn("user", "x")], "label": True}, "the last turn is the user's; end with the answer"),
        ({"foo": 1}, "no column for prompt"),
    ],
)  # fmt: skip
def test_a_wrong_row_has_one_line(row, line, tmp_path):
    path = write(tmp_path / "d.jsonl", row)
    with pytest.raises(UserError) as error:
        read_rows(path)
    assert line in str(error.value) and str(error.value).startswith(str(path))


def test_refused_rows_are_collected_with_their_places(tmp_path):
    path = write(tmp_path / "d.jsonl", *[{"prompt": "x", "chosen": a, "rejected": "r"} for a in ("a", "", "r", "b")])
    with path.open("a") as handle:
        handle.write('{"prompt": \n[1]\n')
    found = read_rows(path, collect=True)
    assert [r.responses[0][0].content for r in found.rows] == ["a", "b"]
    assert [r.place for r in found.refused] == [f"{path}: row {n}" for n in (2, 3, 5, 6)]
    assert all(r.reason.startswith(r.place) for r in found.refused)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".tsv", ".parquet"])
def test_the_same_rows_in_every_kind_of_file(suffix, tmp_path):
    import pandas

    rows = [
        {"prompt": "Why, so?", "chosen": json.dumps([turn("assistant", "a\nb")]), "rejected": "b", "probability": 0.75}
    ]
    path = tmp_path / f"d{suffix}"
    frame = pandas.DataFrame(rows)
    {
        ".json": lambda: path.write_text(json.dumps(rows)),
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: frame.to_parquet(path),
    }[suffix]()
    (row,) = read_rows(path).rows
    assert (row.prompt.text, row.responses, row.wins) == ("Why, so?", ((A("a\nb"),), (A("b"),)), (0.75, 0.25))


def test_the_pages_rows_are_read_as_it_says(tmp_path):
    """docs/data_formats.md: every row of every layout, under the heading of its kind."""
    page = (Path(__file__).parents[2] / "docs" / "data_formats.md").read_text()
    found = re.findall(r"\*\*(Pairs|Groups|Labelled|Single)\*\*.*?```json\n(.*?)```", page, re.S)
    assert [name for name, _ in found] == ["Pairs", "Groups", "Labelled", "Single"]
    for name, block in found:
        for line in block.splitlines():
            (tmp_path / "d.jsonl").write_text(line + "\n")
            assert read_rows(tmp_path / "d.jsonl").layout.kind == name.lower(), line


def test_chats_that_part_at_a_users_turn_share_what_stands_before_the_answer_to_it(tmp_path):
    """[u, a] in common, then other questions: the prompt is u, since an answer begins with the assistant."""
    sides = [[*CHAT, turn("user", q), turn("assistant", a)] for q, a in (("And?", "a"), ("So?", "b"))]
    (row,) = read_rows(write(tmp_path / "d.jsonl", {"chosen": sides[0], "rejected": sides[1]})).rows
    assert row.prompt.messages == (U("Why?"),)
    assert row.responses == ((A("Because."), U("And?"), A("a")), (A("Because."), U("So?"), A("b")))
