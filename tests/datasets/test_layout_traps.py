"""Rows of other people's files that were once read as something else than they say, without a word."""

import json

import pandas
import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.datasets.prompts import read_prompts
from windvane.datasets.rows import read_rows


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


U, A, S = (lambda text, r=r: Message(r, text) for r in ("user", "assistant", "system"))
ASK, ANSWER = turn("user", "Why?"), turn("assistant", "So.")


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def read(tmp_path, *rows, **options):
    return read_rows(write(tmp_path / "d.jsonl", *rows), **options).rows


@pytest.mark.parametrize(
    ("column", "value", "prompt"),
    [
        ("system", "Be brief.", (S("Be brief."), U("Why?"))),
        ("input", "the sky", (U("Why?\nthe sky"),)),
        ("history", [["Hi", "Hello"]], (U("Hi"), A("Hello"), U("Why?"))),
    ],
)
def test_a_column_that_the_first_row_leaves_out_is_read_in_the_others(column, value, prompt, tmp_path):
    bare = {"instruction": "Why?", "output": "So."}
    first, second = read(tmp_path, bare, {**bare, column: value})
    assert first.prompt.messages == (U("Why?"),) and second.prompt.messages == prompt


def test_answers_are_scored_where_any_row_has_scores(tmp_path):
    """The first row's answers carry none: that row is refused, the others are not taken for answers without a preference."""
    rows = [{"prompt": p, "responses": [{"text": "a", **s}, {"text": "b", **t}]} for p, s, t in (
        ("x", {}, {}), ("y", {"score": 1}, {"score": 2}),
    )]  # fmt: skip
    found = read_rows(write(tmp_path / "d.jsonl", *rows), collect=True)
    assert found.layout.kind == "groups" and found.rows[0].scores == (1.0, 2.0)
    assert "row 1: field 'responses': an answer has no score" in found.refused[0].reason


def test_an_answer_that_was_not_rated_has_no_score_of_another_scale(tmp_path):
    """Its overall_score, 8.5 of 10, would stand above another's mean rating of 5 of 5."""
    answers = [
        {"response": "a", "overall_score": 8.5, "annotations": {"helpfulness": {"Rating": "N/A"}, "honesty": {"Rating": "2"}}},
        {"response": "b", "overall_score": 7.0, "annotations": {"helpfulness": {"Rating": "5"}, "honesty": {"Rating": "5"}}},
    ]  # fmt: skip
    row = {"instruction": "Why?", "completions": answers}
    with pytest.raises(UserError, match=r"field 'completions': an answer has no score and no probability"):
        read(tmp_path, row)
    assert read(tmp_path, row, columns={"scores": "overall_score"})[0].scores == (8.5, 7.0)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"messages": [ASK, turn("assistant", "So.", reasoning_content="hm")]}, "messages[1].reasoning_content': a thought beside"),
        ({"messages": [ASK, turn("assistant", "So.", thinking="hm")]}, "messages[1].thinking': a thought beside the text is not read"),
        (
            {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y", "train": False}]},
            "field 'conversations': every assistant turn says that it is not learned",
        ),
        ({"messages": [ASK, ANSWER], "tools": [{"name": "f"}]}, "field 'tools': tool definitions are not rendered here"),
        ({"messages": [ASK, ANSWER], "chat_template_kwargs": {"enable_thinking": False}}, "field 'chat_template_kwargs': a row's own"),
        ({"prompt": "x", "chosen": "a", "rejected": "b", "images": ["x.png"]}, "field 'images': images are not read"),
        ({"messages": [turn("user", [{"type": "image"}]), ANSWER]}, "content[0]': expected a part {'type': 'text', 'text': ...}, got"),
        ({"messages": [ASK, ANSWER], "chosen": "a", "rejected": "b"}, "ends with an assistant's turn that is neither answer"),
        (
            {"prompt": "x", "chosen": "[{'role': 'assistant' 'content': 'a'}]", "rejected": "b"},
            "field 'chosen': looks like turns, but is neither JSON nor written as Python",
        ),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(row, line, tmp_path):
    with pytest.raises(UserError) as error:
        read(tmp_path, row)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_what_says_nothing_is_no_hindrance(tmp_path):
    turns = [
        turn("user", "Why?", thinking=None),
        turn("assistant", "So.", tool_calls=[], weight=1, reasoning_content=""),
    ]
    (row,) = read(tmp_path, {"messages": turns, "tools": "[]", "images": [], "chat_template_kwargs": {}})
    assert row.responses == ((A("So."),),)


def test_content_in_parts(tmp_path):
    parts = [{"type": "text", "text": "Why"}, {"type": "text", "text": "?"}]
    (row,) = read(tmp_path, {"messages": [turn("user", parts), turn("assistant", [{"type": "text", "text": "So."}])]})
    assert (row.prompt.messages, row.responses) == ((U("Why?"),), ((A("So."),),))


@pytest.mark.parametrize("text", [str, lambda turns: json.dumps(turns, indent=1)])
def test_turns_in_a_cell_of_text_as_pandas_writes_them_and_as_json_with_line_ends(text, tmp_path):
    frame = pandas.DataFrame(
        [{"chosen": text([ASK, ANSWER]), "rejected": text([ASK, turn("assistant", 'It\'s "no".')])}]
    )
    frame.to_csv(tmp_path / "d.csv", index=False)
    (row,) = read_rows(tmp_path / "d.csv").rows
    assert (row.prompt.messages, row.responses) == ((U("Why?"),), ((A("So."),), (A('It\'s "no".'),)))


@pytest.mark.parametrize(
    "text", ['[{"role": "admin"}]', '[{"role": "admin"}] is what {"content": 1} gives', "[{'from': 1}"]
)
def test_an_answer_that_only_looks_like_turns_stays_text(text, tmp_path):
    assert read(tmp_path, {"prompt": "x", "chosen": text, "rejected": "b"})[0].responses[0] == (A(text),)


def test_dialogues_in_text(tmp_path):
    prompt = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:"
    row = {"prompt": prompt, "chosen": " So.", "rejected": " No.\n"}
    (found,) = read(tmp_path, row)
    assert found.prompt.messages == (U("Hi"), A("Hello"), U("Why?"))
    assert found.responses == ((A("So."),), (A("No."),))
    (plain,) = read(tmp_path, row, dialogues=False)
    assert plain.prompt.messages == (U(prompt),) and plain.responses == ((A(" So."),), (A(" No.\n"),))
    whole = {"chosen": prompt + " So.", "rejected": prompt + " No."}
    assert read(tmp_path, whole)[0].prompt.messages == found.prompt.messages
    assert read(tmp_path, whole, dialogues=False)[0].prompt.messages == (U(prompt),), "where TRL cuts it"


def test_prompts_with_tools_are_refused_as_rows_with_them_are(tmp_path):
    path = write(tmp_path / "p.jsonl", {"prompt": "x"}, {"prompt": "y", "tools": []})
    assert [p.text for p in read_prompts(path).prompts] == ["x", "y"]
    write(path, {"prompt": "x"}, {"prompt": "y", "tools": [{"name": "f"}]})
    with pytest.raises(UserError, match=r"p.jsonl: row 2: field 'tools': tool definitions are not rendered here"):
        read_prompts(path)
