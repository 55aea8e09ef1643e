"""Prompts from files: the right records, each once, or one line naming file, row, field and mend."""

import json
import sys
import types
from pathlib import Path

import pytest

from windvane.core import families
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.datasets.prompts import read_prompts

ALPACA = Path(__file__).parents[2].parent / "shared" / "data" / "alpaca_eval" / "baseline_model_outputs.json"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Why?"},
]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def jsonl(path, rows):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def texts(read):
    return [p.messages[-1].content for p in read.prompts]


def refusal(*args, **kwargs):
    """The one line of the refusal."""
    with pytest.raises(UserError) as error:
        read_prompts(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_same_prompts_from_every_kind_of_file(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = ["Name a river.", 'She said "no",\nthen left.', "None", "NA", "Grüße 🌬"]
    table = datasets.Dataset.from_dict({"id": [1, 2, 3, 4, 5], "prompt": rows})
    table.to_parquet(tmp_path / "p.parquet")
    table.to_csv(tmp_path / "p.csv", index=False)
    table.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict(test=table.select([0]), train=table).save_to_disk(tmp_path / "splits")
    jsonl(tmp_path / "p.jsonl", [{"id": i, "prompt": r} for i, r in enumerate(rows)])
    write(tmp_path / "p.json", json.dumps([{"id": i, "prompt": r} for i, r in enumerate(rows)], indent=2))
    write(tmp_path / "bare.json", json.dumps(rows))
    jsonl(tmp_path / "bare.jsonl", rows)
    expected = [Prompt.of((Message("user", r),)) for r in rows]
    for name in ("p.parquet", "p.csv", "saved", "p.jsonl", "p.json", "bare.json", "bare.jsonl"):
        read = read_prompts(tmp_path / name)
        assert read.prompts == expected, name
        assert (read.duplicates, read.rows) == (0, 5)
        assert read.columns == {"prompt": "prompt"} and read.unread == (() if "bare" in name else ("id",))
    assert read_prompts(tmp_path / "splits", split="train").prompts == expected
    assert texts(read_prompts(tmp_path / "splits", split="test")) == rows[:1]
    assert "splits test, train; name one" in refusal(tmp_path / "splits")
    assert "no split 'dev'; there are: test, train" in refusal(tmp_path / "splits", split="dev")
    assert "a file has no splits" in refusal(tmp_path / "p.csv", split="train")


def test_chats_in_every_spelling(tmp_path):
    datasets = pytest.importorskip("datasets")
    sharegpt = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello."},
        {"from": "human", "value": "Why?"},
    ]
    expected = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello."),
        Message("user", "Why?"),
    )
    jsonl(tmp_path / "a.jsonl", [{"messages": CHAT}])
    jsonl(tmp_path / "b.jsonl", [{"conversations": sharegpt}])
    jsonl(tmp_path / "c.jsonl", [{"prompt": CHAT, "id": 3}])
    jsonl(tmp_path / "d.jsonl", [CHAT])
    write(tmp_path / "e.csv", 'messages\n"' + json.dumps(CHAT).replace('"', '""') + '"\n')
    datasets.Dataset.from_list([{"messages": CHAT}]).to_parquet(tmp_path / "f.parquet")
    mixed = [
        {"conversation": CHAT},
        {"conversation": sharegpt},
    ]  # Parquet gives every turn all four keys, two of them null
    datasets.Dataset.from_list(mixed).to_parquet(tmp_path / "g.parquet")
    for name in ("a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl", "e.csv", "f.parquet", "g.parquet"):
        read = read_prompts(tmp_path / name)
        assert [p.messages for p in read.prompts] == [expected], name
    assert read.duplicates == 1


def test_duplicates_are_merged_in_order_and_counted(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": t} for t in ("b", "a", "b", "b ", "a")])
    read = read_prompts(path)
    assert texts(read) == ["b", "a", "b "]  # a trailing space is another text
    assert (read.duplicates, read.rows) == (2, 5)


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends(tmp_path, bom, end):
    write(tmp_path / "p.jsonl", bom + end.join(['{"prompt":"one"}', "", '{"prompt":"two"}']) + end)
    write(tmp_path / "p.csv", bom + end.join(["prompt,id", "one,1", "two,2"]) + end)
    write(tmp_path / "p.json", bom + end.join(["[", '{"prompt":"one"},', '{"prompt":"two"}', "]"]))
    for name in ("p.jsonl", "p.csv", "p.json"):
        assert texts(read_prompts(tmp_path / name)) == ["one", "two"]


def test_text_is_kept_to_the_letter(tmp_path):
    odd = ["a\u2028b\x85c", "  spaced\t", "e\u0301 is not é", "x" * 200_000, "[INST] None </s>"]
    path = write(tmp_path / "p.jsonl", "".join(json.dumps({"prompt": t}, ensure_ascii=False) + "\n" for t in odd))
    assert texts(read_prompts(path)) == odd
    write(tmp_path / "p.csv", "prompt\n" + "".join(f'"{t}"\n' for t in odd))
    assert texts(read_prompts(tmp_path / "p.csv")) == odd


BROKEN = {
    "not JSON": ('{"prompt": "x"', "not valid JSON"),
    "missing field": ('{"id": 3}', "field 'prompt': missing; the row has id; add it"),
    "null": ('{"prompt": null}', "field 'prompt': missing"),
    "number": ('{"prompt": 5}', "field 'prompt': expected text or a list of turns, got int '5'"),
    "empty": ('{"prompt": " \\n"}', "field 'prompt': empty; write the text or remove the row"),
    "another kind": ('"bare"', "expected a table with named fields, got str"),
    "half a surrogate pair": ('{"prompt": "x\\ud83d"}', "field 'prompt': half of a surrogate pair at character 2"),
    "no turns": ('{"prompt": []}', "field 'prompt': the chat has no turns"),
    "digits": ('{"prompt": ' + "9" * 5000 + "}", "not valid JSON"),
    "brackets": ("[" * 100_000, "not valid JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_row_17(tmp_path, name):
    row, message = BROKEN[name]
    good = [json.dumps({"prompt": f"p{i}"}) for i in range(1, 21)]
    path = write(tmp_path / "p.jsonl", "\n".join([*good[:16], row, *good[17:]]))
    assert refusal(path).startswith(f"{path}: row 17: {message}")
    if name not in ("not JSON", "brackets"):
        path = write(tmp_path / "p.json", "[" + ",\n".join([*good[:16], row, *good[17:]]) + "]")
        assert refusal(path).startswith(f"{path}: row 17: {message}")


def test_broken_lists_of_json(tmp_path):
    path = tmp_path / "p.json"
    good = ['{"prompt": "x"}'] * 16
    assert "row 17: not valid JSON (Expecting ',' delimiter" in refusal(
        write(path, "[" + ",".join([*good, '{"a": 1 2}]']))
    )
    assert "row 16: not valid JSON (expected ',' or ']'" in refusal(write(path, "[" + ",".join(good)))
    assert "row 17: not valid JSON" in refusal(write(path, "[" + ",".join(good) + ",]"))
    assert "more text after the list's end" in refusal(write(path, "[1]\n[2]"))
    assert "the list of rows under 'data' is empty" in refusal(write(path, '{"data": []}'))
    assert "must hold a list of rows, alone or under one key" in refusal(write(path, '{"data": 3}'))
    assert "the list is empty" in refusal(write(path, " [ ] "))
    assert texts(read_prompts(write(path, "\n".join(good)))) == ["x"]  # rows a line under the wrong suffix


def turns(*roles):
    return [{"role": r, "content": f"{i}"} for i, r in enumerate(roles)]


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (
            turns("user", "assistant", "user", "assistant"),
            "field 'messages': the last turn is the assistant's, and the chat has several such turns",
        ),
        (turns("assistant", "user"), "field 'messages': the first turn is the assistant's"),
        (turns("system"), "field 'messages': the system message stands alone"),
        (turns("user", "system", "user"), "field 'messages': a system message must come first"),
        (turns("system", "user", "user"), "field 'messages': turns 2 and 3 are both the user's"),
        (
            turns("user", "assistant", "tool"),
            "field 'messages[2].role': expected system, user or assistant, got str 'tool'",
        ),
        ([{"role": "user", "content": None}], "field 'messages[0].content': expected text, got nothing"),
        ([{"role": "user", "content": ""}], "field 'messages[0].content': empty"),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "field 'messages[0].content[0]': expected a part {'type': 'text', 'text': ...}, got one of",
        ),
        ([{"text": "x"}], "field 'messages[0].role': expected system, user or assistant, got nothing"),
        (["x"], "field 'messages[0]': expected a turn"),
        ([{"from": "human", "value": 3}], "field 'messages[0].value': expected text, got int '3'"),
        (
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "tool_calls": [1]}],
            "field 'messages[1].tool_calls'",
        ),
    ],
)
def test_broken_chats(tmp_path, chat, message):
    path = jsonl(tmp_path / "p.jsonl", [{"messages": CHAT}] * 16 + [{"messages": chat}])
    assert refusal(path).startswith(f"{path}: row 17: {message}")


def test_columns(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"instruction": "a", "input": "b", "output": "c"}])
    assert texts(read_prompts(path)) == ["a\nb"], "alpaca's instruction and input"
    assert texts(read_prompts(path, columns={"prompt": "output"})) == ["c\nb"]
    assert "no column 'x', which is to be the prompt; there are: instruction, input, output" in refusal(
        path, column="x"
    )
    path = jsonl(tmp_path / "q.jsonl", [{"a": "1", "b": "2"}])
    assert (
        "no column for prompt (prompts without answers); columns: a, b; name one: --columns prompt=COLUMN"
        in refusal(path)
    )
    assert texts(read_prompts(jsonl(tmp_path / "r.jsonl", [{"Prompt": "1", "b": "2"}]))) == ["1"]
    assert "rows are bare values, so there is no column 'x'" in refusal(jsonl(tmp_path / "s.jsonl", ["t"]), column="x")


def test_csv(tmp_path):
    path = tmp_path / "p.csv"
    head = "prompt,id\n" + "x,1\n" * 16
    assert refusal(write(path, head + "a, b,2\n")).startswith(
        f"{path}: row 17 (line 18): 3 fields where the header has 2"
    )
    assert "row 17: not valid CSV (unexpected end of data)" in refusal(write(path, head + '"open,1\n'))
    assert "row 17 (line 18): field 'prompt': empty" in refusal(write(path, head + ",2\n"))
    assert "a header and no rows" in refusal(write(path, "prompt,id\n"))
    assert "a column name appears twice" in refusal(write(path, "prompt,prompt\nx,y\n"))
    assert texts(read_prompts(write(tmp_path / "p.tsv", "id\tprompt\n1\ta, b\n"))) == ["a, b"]
    line = refusal(write(path, 'messages\n"[{""role"":"\n'))
    assert "row 1 (line 2): field 'messages': looks like a list of turns, but is neither JSON" in line


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"prompt": "x"}\n' * 16 + '{"prompt": "Größe"}\n'.encode("latin-1"))
    assert refusal(path).startswith(f"{path}: row 17: not UTF-8 (byte 0xf6 at offset 270); save the file as UTF-8")
    assert "row 1: not UTF-8" in refusal(write(tmp_path / "p.csv", "prompt\nx\n", "utf-16"))


def test_files_that_are_not_there_or_empty(tmp_path):
    for suffix in ("jsonl", "json", "csv", "parquet"):
        assert "the file is empty" in refusal(write(tmp_path / f"p.{suffix}", ""))
        assert "no such file; check the path" in refusal(tmp_path / f"nowhere.{suffix}")
    assert "the file is empty" in refusal(write(tmp_path / "p.jsonl", "\ufeff\n \n"))
    assert "not a readable Parquet file" in refusal(write(tmp_path / "p.parquet", "PAR1 no"))
    assert "unknown kind of file; known: .jsonl" in refusal(write(tmp_path / "p.txt", "x"))
    (tmp_path / "folder").mkdir()
    assert "cannot be read as a data set" in refusal(tmp_path / "folder")
    assert "no such file" in refusal("a/b/c")


def test_toy_world(monkeypatch):
    family = types.ModuleType("windvane.toy.toys.family")
    family.prompts = lambda n, split, seed: [Prompt.of((Message("user", f"{n} {split} {i % 2}"),)) for i in range(3)]
    monkeypatch.setitem(sys.modules, "windvane.toy.toys.family", family)
    monkeypatch.setitem(families._FAMILIES, "toys", families.Family("toys", prompts="windvane.toy.toys.family:prompts"))
    read = read_prompts("world:toys")
    assert (texts(read), read.duplicates, read.columns) == (["None train 0", "None train 1"], 1, {})
    assert texts(read_prompts("world:toys:held-out")) == ["None held-out 0", "None held-out 1"]
    assert texts(read_prompts("world:toys", split="held-out")) == ["None held-out 0", "None held-out 1"]
    assert texts(read_prompts("toy:toys:held-out")) == ["None held-out 0", "None held-out 1"]
    assert "no toy family 'nothere' that offers prompts" in refusal("toy:nothere")
    assert "has no columns" in refusal("world:toys", column="x")


def test_real_instructions(tmp_path):
    if not ALPACA.exists():
        pytest.skip("../shared/data/alpaca_eval is not there")
    rows = json.loads(ALPACA.read_text())
    read = read_prompts(ALPACA)
    assert read.columns["prompt"] == "instruction"
    assert read.rows == 805
    assert read.duplicates == 805 - len({r["instruction"] for r in rows})
    assert texts(read)[:3] == [r["instruction"] for r in rows[:3]]


def test_a_system_column_is_the_system_message(tmp_path):
    """As Multifaceted-Bench has it; dropping it in silence would ask everybody the same thing."""
    path = tmp_path / "p.jsonl"
    rows = [
        {"system": "Be dry.", "prompt": "Hi"},
        {"system": "Be warm.", "prompt": "Hi"},
        {"system": "", "prompt": "Hi"},
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    told = [[(m.role, m.content) for m in p.messages] for p in read_prompts(path).prompts]
    assert told == [
        [("system", "Be dry."), ("user", "Hi")],
        [("system", "Be warm."), ("user", "Hi")],
        [("user", "Hi")],
    ]
    csv = tmp_path / "p.csv"
    csv.write_text("System,prompt\nBe dry.,Hi\n,Ho\n")
    assert [len(p.messages) for p in read_prompts(csv).prompts] == [2, 1]
    path.write_text(json.dumps({"system": 3, "prompt": "Hi"}) + "\n")
    with pytest.raises(UserError, match=r"p\.jsonl: row 1: field 'system': expected text, got int"):
        read_prompts(path)
    path.write_text('{"prompt": "Hi"}\n{"prompt": "Ho", "system": "Be dry."}\n')
    assert [len(p.messages) for p in read_prompts(path).prompts] == [1, 2], (
        "a JSON row may leave out what it does not have"
    )
    path.write_text(
        json.dumps({"system": "A", "messages": [{"role": "system", "content": "B"}, {"role": "user", "content": "C"}]})
    )
    with pytest.raises(UserError, match="row 1: field 'system': the prompt has a system message of its own"):
        read_prompts(path)
