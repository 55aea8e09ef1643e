"""One reader: the same prompt in every verb, and files that were once read as something else than they say."""

import csv
import json
from pathlib import Path

import pandas
import pytest

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.records import Group, Member, Message, Prompt, Response
from windvane.datasets.preference_pairs import read_pairs
from windvane.datasets.prompt_splits import read_pool
from windvane.datasets.prompts import read_prompts
from windvane.datasets.rows import read_rows
from windvane.janus.collection.instructions import benchmarks, take_instructions
from windvane.runs.store import RunFolder, read_records, write_jsonl
from windvane.sppo.recipe import Sppo
from windvane.stages.judged_files import answers_from
from windvane.stages.row_sources import made_from
from windvane.stages.rows import Rendering

SHARED = Path(__file__).parents[2].parent / "shared" / "cases"
U, A, S = (lambda text, r=r: Message(r, text) for r in ("user", "assistant", "system"))
HISTORY = [["Hi", "Hello"], ["Tell a story", "Once..."]]
PACKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
HH = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:"
SHAREGPT = [{"from": "human", "value": "Why?", "id": 3}]
# the columns of the prompt, and its turns by hand
PROMPTS = {
    "history": ({"query": "And then?", "history": HISTORY}, [U("Hi"), A("Hello"), U("Tell a story"), A("Once..."), U("And then?")]),
    "history, other names": (
        {"instruction": "So?", "history": HISTORY[:1], "system": "Be dry."}, [S("Be dry."), U("Hi"), A("Hello"), U("So?")],
    ),
    "no history": ({"question": "So?", "history": []}, [U("So?")]),
    "dialogue": ({"prompt": HH}, [U("Hi"), A("Hello"), U("Why?")]),
    "dialogue, other name": ({"question": HH[2:]}, [U("Hi"), A("Hello"), U("Why?")]),
    "packed": ({"prompt": json.dumps(PACKED)}, [S("Be brief."), U("Why?")]),
    "packed by pandas": ({"instruction": str(PACKED)}, [S("Be brief."), U("Why?")]),
    "packed, ShareGPT with a field more": ({"prompt": json.dumps(SHAREGPT)}, [U("Why?")]),
    "packed in a table": ({"prompt": json.dumps({"messages": PACKED})}, [S("Be brief."), U("Why?")]),
    "one turn": ({"prompt": str(PACKED[1])}, [U("Why?")]),
    "instruction and input": ({"instruction": "Translate.", "input": "the cat"}, [U("Translate.\nthe cat")]),
    "instruction without input": ({"instruction": "Translate.", "input": ""}, [U("Translate.")]),
    "chat": ({"messages": PACKED}, [S("Be brief."), U("Why?")]),
}  # fmt: skip
ANSWERS = {"chosen": "Good.", "rejected": "Bad.", "score_chosen": 2.0, "score_rejected": 1.0}


def file(path, rows):
    """The same rows in a file of any kind; lists go into a CSV as pandas writes them."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        frame = pandas.DataFrame(rows)
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("name", PROMPTS)
def test_the_same_prompt_in_every_verb(name, suffix, tmp_path):
    cells, expected = PROMPTS[name]
    path = file(tmp_path / f"d{suffix}", [{**cells, **ANSWERS}])
    seen = {
        "generate": read_prompts(path).prompts[0],
        "run sppo": read_pool(Sppo("M", str(path), "J")).prompts[0],
        "inspect, pair": read_rows(path, collect=True).rows[0].prompt,
        "train reward": read_pairs(path)[0].prompt,
        "train": made_from(
            str(path), {}, None, None, False, tiny.byte_tokenizer(), {2}, 4096, Rendering(system="merge")
        )[0].prompts[0],
    }
    with RunFolder(tmp_path / "judged") as folder:
        answers_from(path, folder, {})
        seen["judge"] = read_records(folder / "iter-1/prompts.jsonl", Prompt)[0]
    ids = {Prompt.of(tuple(expected)).id}
    for verb, prompt in seen.items():
        assert list(prompt.messages) == expected and {prompt.id} == ids, verb
    bare = file(tmp_path / f"bare{suffix}", [cells])
    assert [list(p.messages) for p in read_prompts(bare).prompts] == [expected]
    assert list(read_rows(bare).rows[0].prompt.messages) == expected, "of a file of prompts alone, too"


def test_janus_instructions_are_the_same_prompts(tmp_path):
    path = file(
        tmp_path / "d.jsonl",
        [PROMPTS["instruction and input"][0], PROMPTS["dialogue"][0] | {"instruction": HH, "input": None}],
    )
    with RunFolder(tmp_path / "run") as run:
        (kept,) = take_instructions(run, str(path), "instruction", None, benchmarks([]))
    assert kept.text == "Translate.\nthe cat"
    (out,) = [json.loads(line) for line in (tmp_path / "run/instructions-rejected.jsonl").read_text().splitlines()]
    assert (out["place"], out["reason"]) == ("row 2", "has more than one turn")


@pytest.mark.parametrize("columns", [{"prompt": "frage", "history": "davor"}])
def test_columns_say_the_same_everywhere(columns, tmp_path):
    path = file(tmp_path / "d.jsonl", [{"frage": "So?", "davor": HISTORY[:1], "x": 1, **ANSWERS}])
    expected = (U("Hi"), A("Hello"), U("So?"))
    assert read_prompts(path, columns=columns).prompts[0].messages == expected
    assert read_rows(path, columns).rows[0].prompt.messages == expected
    assert read_pairs(path, columns=columns)[0].prompt.messages == expected
    settings = Sppo("M", str(path), "J", prompt_columns=tuple(f"{r}={c}" for r, c in columns.items()))
    assert read_pool(settings).prompts[0].messages == expected
    assert read_rows(path, columns).rows[0].fields == {"x": 1}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/cases is not there")
@pytest.mark.parametrize(("name", "turns"), [
    ("history.jsonl", 5), ("hh.jsonl", 3), ("packed.jsonl", 2), ("packed.csv", 2), ("alpaca.jsonl", 1),
])  # fmt: skip
def test_the_reported_files(name, turns):
    (prompt,) = read_prompts(SHARED / "readers" / name).prompts
    (row,) = read_rows(SHARED / "readers" / name).rows
    assert prompt == row.prompt and len(prompt.messages) == turns


def test_a_folder_of_records_is_read_as_rows(tmp_path):
    prompt = Prompt.of((U("Why?"),))
    responses = [Response(f"{prompt.id}-{i}", prompt.id, i, t, (), "stop") for i, t in enumerate("ab")]
    members = tuple(Member(i, r.id, p, p) for i, (r, p) in enumerate(zip(responses, (0.25, 0.75))))
    write_jsonl(tmp_path / "iter-1/prompts.jsonl", [prompt])
    assert [p.messages for p in read_prompts(tmp_path).prompts] == [(U("Why?"),)]
    write_jsonl(tmp_path / "iter-1/responses.jsonl", responses)
    assert read_rows(tmp_path).layout.kind == "answers"
    write_jsonl(tmp_path / "iter-1/groups.jsonl", [Group(prompt.id, members, 1, 0, "pair", 0, 0, 0, None, 0, 0)])
    (row,) = read_rows(tmp_path)
    assert (row.responses, row.chosen, row.rejected, row.wins) == (((A("a"),), (A("b"),)), 1, 0, (0.25, 0.75))


def test_an_input_that_is_no_text_is_not_left_out(tmp_path):
    path = file(tmp_path / "d.jsonl", [{"instruction": "Translate.", "input": ["the cat"]}])
    with pytest.raises(UserError, match="row 1: field 'input': expected text, got list"):
        read_prompts(path)


# ---- turns in cells of text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [json.dumps, str])
def test_turns_in_cells_whatever_their_first_key(text, tmp_path):
    turns = [{"id": 1, "role": "user", "content": "Why?"}, {"id": 2, "role": "assistant", "content": "So."}]
    rows = [{"chosen": text(turns), "rejected": text([turns[0], {"name": "m", "role": "assistant", "content": "No."}])}]
    (row,) = read_rows(file(tmp_path / "d.csv", rows))
    assert (row.prompt.messages, row.responses) == ((U("Why?"),), ((A("So."),), (A("No."),)))
    rows = [
        {
            "conversations": text([{"from": "human", "value": "Why?"}]),
            "chosen": text({"value": "So.", "from": "gpt"}),
            "rejected": "No.",
        }
    ]
    (row,) = read_rows(file(tmp_path / "e.csv", rows))
    assert row.responses == ((A("So."),), (A("No."),))


@pytest.mark.parametrize("call", [
    [{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "weather"}}]}],
    {"role": "assistant", "content": None, "function_call": {"name": "weather"}},
    [{"role": "assistant", "content": "x"}, {"role": "tool", "content": "rain"}],
])  # fmt: skip
@pytest.mark.parametrize("text", [lambda value: value, json.dumps, str])
def test_calls_in_cells_are_refused_as_their_twins_in_json_are(call, text, tmp_path):
    path = file(tmp_path / "d.jsonl", [{"prompt": "Weather?", "chosen": text(call), "rejected": "No."}])
    with pytest.raises(
        UserError,
        match=r"row 1: field 'chosen\[\d\]\.(tool_calls|function_call|role)': (tool calls are not|expected sys)",
    ):
        read_rows(path)


@pytest.mark.parametrize(
    "text", ['{"from": "Ulm", "value": 3}', '["a", "b"]', "{'role': 'admin'}", "[[1, 2]]", "{not a table}"]
)
def test_a_response_that_is_json_stays_text(text, tmp_path):
    (row,) = read_rows(file(tmp_path / "d.jsonl", [{"prompt": "x", "chosen": text, "rejected": "b"}]))
    assert row.responses[0] == (A(text),)


def test_lists_of_responses_and_scores_in_a_table_of_text(tmp_path):
    rows = [{"prompt": "x", "responses": ["a", "b"], "scores": [1, 2.5]}]
    for name in ("d.csv", "d.jsonl", "d.parquet"):
        (row,) = read_rows(file(tmp_path / name, rows))
        assert (row.responses, row.scores) == (((A("a"),), (A("b"),)), (1.0, 2.5)), name


# ---- layouts --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rating", [
    lambda n: [{"Rating": str(n)}], lambda n: {"Rating": n}, lambda n: n, lambda n: [{"Rating": str(n), "Rationale": "x"}, {"Rating": n}],
])  # fmt: skip
def test_ratings_in_every_form_win_over_the_overall_score(rating, tmp_path):
    def answer(text, overall, *ratings):
        names = ("helpfulness", "honesty", "truthfulness")
        return {
            "response": text,
            "overall_score": overall,
            "annotations": {n: rating(r) for n, r in zip(names, ratings)},
        }

    row = {"instruction": "q", "completions": [answer("good", 1.0, 5, 4, 3), answer("bad", 7.0, 2, 2, 2)]}
    assert read_rows(file(tmp_path / "d.jsonl", [row])).rows[0].scores == (4.0, 2.0)
    row["completions"][1]["annotations"]["honesty"] = [{"Rating": "N/A"}]
    with pytest.raises(UserError, match="an answer has no score"):
        read_rows(file(tmp_path / "d.jsonl", [row]))


def test_no_completions_are_named(tmp_path):
    rows = [
        {"instruction": "q", "completions": []},
        {"instruction": "r", "completions": [{"response": "a", "score": 1}, {"response": "b", "score": 2}]},
    ]
    read = read_rows(file(tmp_path / "d.jsonl", rows), collect=True)
    assert (
        len(read) == 1 and "row 1: field 'completions': an empty list, so there is no answer" in read.refused[0].reason
    )
    assert len(read_prompts(tmp_path / "d.jsonl").prompts) == 2, "the prompt is there all the same"


PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize("content", [
    {"train": [PAIR]}, {"data": [PAIR], "version": 1}, {"7": PAIR}, PAIR, [{"row_idx": 0, "row": PAIR}],
    {"features": [{"name": "prompt"}], "rows": [{"row_idx": 0, "row": PAIR, "truncated_cells": []}]},
])  # fmt: skip
def test_json_files_that_are_no_plain_list(content, tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps(content))
    (row,) = read_rows(path)
    assert (row.prompt.text, row.responses) == ("q", ((A("a"),), (A("b"),)))


def test_json_files_with_several_lists_or_cut_cells(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"train": [PAIR], "test": [PAIR | {"prompt": "t"}]}))
    with pytest.raises(UserError, match="lists of rows under train, test; name one as the split"):
        read_rows(path)
    assert read_rows(path, split="test").rows[0].prompt.text == "t"
    path.write_text(json.dumps([{"row_idx": 0, "row": PAIR, "truncated_cells": ["chosen"]}]))
    with pytest.raises(UserError, match=r"row 1: the hub's viewer cut its cells \(chosen\)"):
        read_rows(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_in_every_spelling(suffix, tmp_path):
    labels = {"1.0": True, "0.0": False, "1": True, "-1": False, "True": True, "no": False, "": None}
    read = read_rows(
        file(tmp_path / f"d{suffix}", [{"prompt": k or "x", "output": "a", "kto_tag": k} for k in labels]), collect=True
    )
    assert [row.desirable for row in read] == [v for v in labels.values() if v is not None]
    (refused,) = read.refused
    assert (
        "row 7" in refused.place
        and "field 'kto_tag': expected true or false (desirable or not), got nothing" in refused.reason
    )


def test_histories_in_a_csv(tmp_path):
    with (tmp_path / "d.csv").open("w", newline="") as handle:
        rows = [
            ["instruction", "output", "history"],
            ["q", "a", "[]"],
            ["r", "b", '[["h", "i"]]'],
            ["s", "c", ""],
            ["t", "d", "yes"],
        ]
        csv.writer(handle).writerows(rows)
    read = read_rows(tmp_path / "d.csv", collect=True)
    assert [row.prompt.messages for row in read] == [(U("q"),), (U("h"), A("i"), U("r")), (U("s"),)]
    assert "row 4 (line 5): field 'history': expected a list of [user, assistant] pairs" in read.refused[0].reason


def test_struct_columns_with_nothing_in_them(tmp_path):
    chat = [
        {"role": "user", "content": "q", "function_call": {"name": None, "arguments": None}},
        {"role": "assistant", "content": "a", "function_call": None},
    ]
    kwargs = [{"enable_thinking": None, "note": None}, None, {"enable_thinking": False, "note": None}]
    path = file(tmp_path / "d.parquet", [{"messages": chat, "chat_template_kwargs": k, "tools": []} for k in kwargs])
    read = read_rows(path, collect=True)
    assert len(read) == 2 and "row 3: field 'chat_template_kwargs'" in read.refused[0].reason
    with pytest.raises(UserError, match="row 3"):
        read_prompts(path)


# ---- what is learned ------------------------------------------------------------------------------------------------------------------


def chat(*turns, names=("role", "content")):
    return [dict(zip(names, t[:2])) | (t[2] if len(t) > 2 else {}) for t in turns]


@pytest.mark.parametrize(
    "mask",
    [{"training": False}, {"train": False}, {"weight": 0}, {"loss": False}, {"loss_scale": 0.0}, {"training": "false"}],
)
def test_a_turn_that_is_not_learned_is_context(mask, tmp_path):
    turns = chat(("user", "a?"), ("assistant", "bad", mask), ("user", "b?"), ("assistant", "good", {"weight": 1}))
    (row,) = read_rows(file(tmp_path / "d.jsonl", [{"messages": turns}]))
    assert (row.prompt.messages, row.responses, row.weights) == ((U("a?"), A("bad"), U("b?")), ((A("good"),),), ())
    (row,) = read_rows(file(tmp_path / "e.jsonl", [{"messages": turns[2:] + turns[:2]}]))
    assert (row.prompt.messages, row.responses) == ((U("b?"),), ((A("good"),),)), (
        "what follows the last has no part in the loss"
    )
    (row,) = read_rows(
        file(tmp_path / "f.jsonl", [{"messages": turns[2:] + turns[:2] + chat(("user", "c?"), ("assistant", "c"))}])
    )
    assert row.weights == ((1.0, 1.0, 0.0, 1.0, 1.0),)


def test_weights_on_other_speakers_turns(tmp_path):
    turns = chat(
        ("system", "S", {"weight": None}),
        ("human", "q", {"weight": 0.0}),
        ("gpt", "a", {"weight": 1.0}),
        names=("from", "value"),
    )
    (row,) = read_rows(file(tmp_path / "d.jsonl", [{"conversations": turns}]))
    assert (row.prompt.messages, row.responses, row.weights) == ((S("S"), U("q")), ((A("a"),),), ())
    turns[1]["weight"] = 1.0
    with pytest.raises(UserError, match=r"field 'conversations\[1\]\.weight': asks to learn the user's words"):
        read_rows(file(tmp_path / "d.jsonl", [{"conversations": turns}]))


@pytest.mark.parametrize(("mask", "line"), [
    ({"loss_mask": 0}, "loss_mask': looks as if it says what is learned, and is not known"),
    ({"weight": -1}, "expected true, false or a weight"),
    ({"train_detail": [{"begin_offset": 3, "end_offset": 1, "train": True}]}, "expected whole numbers 0 <= begin_offset <= end_offset"),
    ({"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": True},
                       {"begin_offset": 1, "end_offset": 2, "train": False}]}, "overlap at character 1"),
])  # fmt: skip
def test_masks_that_cannot_be_honoured_are_named(mask, line, tmp_path):
    path = file(tmp_path / "d.jsonl", [{"messages": chat(("user", "q"), ("assistant", "abc", mask))}])
    with pytest.raises(UserError, match=line):
        read_rows(path)


def learned(path, tokenizer):
    """(text, weight) of each stretch that is learned of the first row."""
    made, _ = made_from(str(path), {}, None, None, False, tokenizer, {tokenizer.eos_token_id}, 4096, Rendering())
    answer = made.responses[0]
    spans = made.spans.get(answer.id, ((0, len(answer.token_ids)),))
    weights = made.weights.get(answer.id, (1.0,) * len(spans))
    return [(tokenizer.decode(answer.token_ids[a:b]), w) for (a, b), w in zip(spans, weights)]


def test_segments_are_learned_token_by_token(tmp_path):
    detail = [
        {"begin_offset": 0, "end_offset": 11, "train": False},
        {"begin_offset": 12, "end_offset": 30, "train": True},
    ]
    turns = chat(("user", "What is 0+1?"), ("assistant", "Hm, 7? No: it is 1.", {"train_detail": detail}))
    tokenizer = tiny.byte_tokenizer()
    assert learned(file(tmp_path / "d.jsonl", [{"messages": turns}]), tokenizer) == [("t is 1.</s>", 1.0)]
    turns[1]["train_detail"] = [{"begin_offset": 4, "end_offset": 5, "train": 0.5}]
    parts = learned(file(tmp_path / "e.jsonl", [{"messages": turns}]), tokenizer)
    assert [(text.strip(), w) for text, w in parts] == [("Hm,", 1.0), ("7?", 0.5), ("No: it is 1.</s>", 1.0)]
    turns[1] |= {"content": "é → ü", "train_detail": [{"begin_offset": 2, "end_offset": 2, "train": False}]}
    parts = learned(file(tmp_path / "f.jsonl", [{"messages": turns}]), tokenizer)
    assert [text.strip() for text, _ in parts] == ["é", "ü</s>"], "characters of several tokens"


def test_turns_weigh_what_they_say(tmp_path):
    turns = chat(("user", "a?"), ("assistant", "one", {"loss_scale": 0.25}), ("user", "b?"), ("assistant", "two"))
    parts = learned(file(tmp_path / "d.jsonl", [{"messages": turns}]), tiny.byte_tokenizer())
    assert [(text.strip(), w) for text, w in parts] == [
        ("one</s>", 0.25),
        ("two</s>", 1.0),
    ]
