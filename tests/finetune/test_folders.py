"""`windvane train` on folders of records: what `pair` and an earlier `train` leave, read back without losing what a row is."""

import json

import pytest

from tests.finetune.rows import turn, write
from tests.tiny import byte_tokenizer
from windvane.core.errors import UserError
from windvane.datasets.export import export_trl
from windvane.runs.store import RunFolder
from windvane.stages.judged_files import answers_from
from windvane.stages.pair_command import main as pair
from windvane.stages.row_sources import made_from
from windvane.stages.rows import Rendering

EOS = byte_tokenizer().eos_token_id
TURNS = [turn("assistant", "a"), turn("user", "and?"), turn("assistant", "b")]


def made(source, how=None, collect=False, window=10_000):
    return made_from(str(source), {}, None, None, collect, byte_tokenizer(), [EOS], window, how or Rendering())[0]


@pytest.fixture
def folder(tmp_path):
    rows = [{"prompt": f"p{i}", "responses": ["yes", "no" * i], "scores": [2, 1]} for i in (1, 2, 30)]
    assert pair([str(write(tmp_path / "s.jsonl", rows)), "--out", str(tmp_path / "pairs")]) == 0
    return tmp_path / "pairs"


def edit(folder, name, change):
    path = folder / "iter-1" / f"{name}.jsonl"
    path.write_text("".join(json.dumps(change(json.loads(line))) + "\n" for line in path.read_text().splitlines()))


def test_an_answer_that_was_cut_does_not_learn_to_end_there(folder):
    """Sampled behind a server that gave its text alone; its finish says that it never ended."""
    edit(folder, "responses", lambda r: {**r, "finish": "length" if r["text"] == "yes" else "stop"})
    ends = {r.text: r.token_ids[-1] == EOS for r in made(folder).responses}
    assert ends.pop("yes") is False and len(ends) == 3 and all(ends.values())


def test_plain_text_stays_plain(folder):
    found = made(folder, Rendering(text="plain"))
    texts = {byte_tokenizer().decode(p.token_ids) for p in found.prompts}
    assert texts == {"p1", "p2", "p30"}, "through no template"


def test_rows_that_do_not_fit_can_be_left_out(folder):
    with pytest.raises(UserError, match=r"tokens with its prompt, and the limit is 40"):
        made(folder, window=40)
    found = made(folder, collect=True, window=40)
    assert len(found.groups) == len(found.prompts) == 2 and len(found.responses) == 4
    assert "the limit is 40" in found.refused[0].reason


def test_answers_of_several_turns_are_not_flattened_into_one(tmp_path):
    data = write(tmp_path / "d.jsonl", [{"prompt": "x", "chosen": TURNS, "rejected": "no"}])
    line = "row 1: an answer of several turns, which a record of one text cannot hold"
    with pytest.raises(UserError, match=line):
        pair([str(data), "--out", str(tmp_path / "pairs")])
    with RunFolder(tmp_path / "judged") as judged, pytest.raises(UserError, match=line):
        answers_from(data, judged, {})


def test_a_run_on_several_turns_is_trained_on_again_with_its_spans_and_not_exported(tmp_path):
    from windvane.core.schema import dumps

    data = write(tmp_path / "d.jsonl", [{"prompt": "x", "chosen": TURNS, "rejected": "no"}])
    first = made(data)
    run = tmp_path / "run"
    (run / "iter-1").mkdir(parents=True)
    (run / "recipe.toml").write_text("")
    (run / "summary.json").write_text("{}")
    for name in ("prompts", "responses", "groups"):
        (run / f"iter-1/{name}.jsonl").write_text("".join(dumps(r) + "\n" for r in getattr(first, name)))
    spans = "".join(json.dumps({"id": k, "spans": v}) + "\n" for k, v in first.spans.items())
    (run / "iter-1/spans.jsonl").write_text(spans)
    again = made(run)
    assert again.spans == first.spans != {}, "the user's turn between them is not learnt"
    assert [r.token_ids for r in again.responses] == [r.token_ids for r in first.responses]
    with pytest.raises(UserError, match="some answers have several turns"):
        export_trl(run, tmp_path / "out.jsonl")
    with pytest.raises(
        UserError, match="has several turns or parts that are not learned, and its prompt has other tokens than"
    ):
        made(run, Rendering(system="template", text="plain"))


def test_a_stop_token_written_out_in_an_answer_is_counted(tmp_path):
    """ "one</s>two": read as transformers reads it, the model would learn to stop in the middle."""
    rows = [{"prompt": "x", "completion": c} for c in ("one</s>two", "one</s>", "one")]
    found = made(write(tmp_path / "d.jsonl", rows))
    assert found.counts["inner"] == 1
    assert [r.token_ids.count(EOS) for r in found.responses] == [2, 1, 1], "one at the end is the end"


def test_a_run_of_several_iterations_is_not_taken_for_its_first(folder):
    import shutil

    shutil.copytree(folder / "iter-1", folder / "iter-2")
    with pytest.raises(UserError, match=r"several iterations \(iter-1, iter-2\); name one of them: .*/iter-2"):
        made(folder)
    assert len(made(folder / "iter-2").groups) == 3
