"""Documents: the same ones from every kind of source, to the letter; what is wrong is named."""

import json

import pytest

from windvane.core.errors import UserError
from windvane.datasets.documents import Document, read_documents

TEXTS = ["First.\r\n\r\n  indented\tand “quoted”\n", 'Second, with , and "marks"\n\nend ', "Third\u2028line"]


def texts(*sources, **options):
    return [d.text for d in read_documents([str(s) for s in sources], **options)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_every_kind_of_source_gives_the_same(tmp_path):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = tmp_path / "plain"
    (plain / "b").mkdir(parents=True)
    for name, text in zip(("a.md", "b/one.tex", "c"), TEXTS):
        (plain / name).write_bytes(text.encode())
    (plain / ".hidden").write_bytes(b"\xff")
    assert texts(plain) == TEXTS, "a folder: its files, sorted"
    assert texts(plain / "a.md", plain / "c") == [TEXTS[0], TEXTS[2]]
    assert texts(jsonl(tmp_path / "d.jsonl", [{"text": t, "n": 1} for t in TEXTS])) == TEXTS
    assert texts(jsonl(tmp_path / "e.jsonl", TEXTS)) == TEXTS, "bare rows"
    pq.write_table(pa.table({"id": [1, 2, 3], "content": TEXTS}), tmp_path / "f.parquet")
    assert texts(tmp_path / "f.parquet") == TEXTS
    (tmp_path / "g.json").write_text(json.dumps([{"document": t} for t in TEXTS]))
    assert texts(tmp_path / "g.json") == TEXTS
    data = datasets.Dataset.from_dict({"text": TEXTS, "n": [1, 2, 3]})
    data.save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == TEXTS
    datasets.DatasetDict({"a": data, "b": data.select([0])}).save_to_disk(str(tmp_path / "splits"))
    assert texts(tmp_path / "splits", split="b") == TEXTS[:1]
    with pytest.raises(UserError, match="has the splits a, b; name one"):
        texts(tmp_path / "splits")


def test_ids_come_from_content_and_places_from_sources(tmp_path):
    path = jsonl(tmp_path / "d.jsonl", [{"text": "x"}, {"text": "y"}, {"text": "x"}])
    found = list(read_documents([str(path)]))
    assert found[0].id == found[2].id == Document.of("elsewhere", "x").id != found[1].id
    assert [d.source for d in found] == ["d.jsonl: row 1", "d.jsonl: row 2", "d.jsonl: row 3"]


def test_one_row_at_a_time(tmp_path):
    """A corpus need not fit in memory: the second row's fault is found after the first row was given."""
    path = jsonl(tmp_path / "d.jsonl", [{"text": "x"}, {"text": None}])
    reading = read_documents([str(path)])
    assert next(reading).text == "x"
    with pytest.raises(UserError, match=r"d.jsonl: row 2: field 'text': expected text, got NoneType"):
        next(reading)


@pytest.mark.parametrize(
    ("rows", "options", "text"),
    [
        ([{"text": "a", "content": "b"}], {}, "text and content could each be the text; .* --document-column"),
        ([{"t": "a"}], {}, "no column looks like the text; columns: t;"),
        ([{"t": "a"}], {"column": "u"}, "no column 'u'; there are: t"),
        ([3], {}, "row 1: expected a table or text, got int"),
        ([{"text": "\ud800"}], {}, "row 1: half of a surrogate pair at character 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows, options, text):
    with pytest.raises(UserError, match=text):
        texts(jsonl(tmp_path / "d.jsonl", rows), **options)


def test_places_that_are_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.bin").write_bytes(b"ab\xff")
    for source, text in (
        (tmp_path / "no.txt", "no such file"),
        (tmp_path / "empty", "the folder is empty"),
        (tmp_path / "b.bin", "byte 2: not UTF-8"),
        ("toy:nothing", "no toy family 'nothing' that offers documents"),
        ("toy:facts:x", "'x' is no seed"),
    ):
        with pytest.raises(UserError, match=text):
            texts(source)
    with pytest.raises(UserError, match="none named"):
        texts()


def test_the_worlds_own():
    found = list(read_documents(["world:facts:3"], lengths=(40, 60), count=2))
    assert [len(d.text.split()) > 20 for d in found] == [True] * 4 and len({d.id for d in found}) == 4
    assert [d.text for d in read_documents(["world:facts:3"], lengths=(40, 60), count=2)] == [d.text for d in found]
    assert found[0].text != next(read_documents(["world:facts:4"], lengths=(40, 60), count=2)).text
