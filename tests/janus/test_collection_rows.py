"""The published layouts, old and new, and the rows that are refused by file, row and field."""

import json

import pytest

from windvane.core.errors import UserError
from windvane.datasets.preference_pairs import read_pairs
from windvane.janus.collection_rows import Preference, instruction_id, read_preferences, read_samples
from windvane.janus.value_prompts import Value
from windvane.judges.rubric_rows import read_bench

ITEM = {"dimension": "style", "subdimension": "tone", "preference": "warm", "description": "Kind words."}
SFT = {
    "main_source": "nectar",
    "original_source": "sharegpt",
    "preference_set": [ITEM],
    "system": "You are kind.",
    "prompt": "Hi?",
    "output": "Hello.",
}
DPO = {k: SFT[k] for k in ("main_source", "original_source", "system", "prompt")} | {
    "chosen": [{"content": "Yes.", "role": "assistant"}],
    "rejected": [{"content": "No.", "role": "assistant"}],
}
RUBRIC = {"criteria": "Is it warm?", "score_descriptions": {str(i): f"level {i}" for i in range(1, 6)}}
BENCH = {
    "source": "koala",
    "system": "You are kind.",
    "prompt": "Hi?",
    "reference_answer": "Hello!",
    "rubrics": [RUBRIC, RUBRIC],
}


def file(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_sft(tmp_path):
    old = {k: v for k, v in SFT.items() if k != "prompt"} | {"instruction": "Hi?", "extra": 1}
    new, older = read_samples(file(tmp_path / "a.jsonl", SFT, old))
    assert new.preference_set == (Value("style", "tone", "warm", "Kind words."),)
    assert (new.system, new.prompt, new.output, new.main_source) == ("You are kind.", "Hi?", "Hello.", "nectar")
    assert (older.prompt, older.place) == ("Hi?", f"{tmp_path / 'a.jsonl'}: row 2")


def test_pairs_in_all_layouts(tmp_path):
    old = {k: v for k, v in DPO.items() if k not in ("chosen", "rejected")} | {
        "chosen_response": "Yes.",
        "rejected_response": "No.",
    }
    reward = {"input": "You are kind.\nHi?", "chosen": "Yes.", "rejected": "No."}
    apart = {"system": "You are kind.", "prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}
    a, b, c, d = read_preferences(file(tmp_path / "a.jsonl", DPO, old, reward, apart))
    for pair in (a, b, d):
        assert (pair.system, pair.prompt, pair.chosen, pair.rejected) == ("You are kind.", "Hi?", "Yes.", "No.")
    assert (c.system, c.prompt) == ("", "You are kind.\nHi?")


def test_parquet_json_and_a_saved_data_set(tmp_path):
    import datasets

    made = datasets.Dataset.from_list([SFT, SFT | {"prompt": "Ho?"}])
    made.to_parquet(str(tmp_path / "a.parquet"))
    made.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "a.json").write_text(json.dumps([SFT, SFT | {"prompt": "Ho?"}]))
    for source in ("a.parquet", "saved", "a.json"):
        assert [s.prompt for s in read_samples(tmp_path / source)] == ["Hi?", "Ho?"], source
        assert next(iter(read_samples(tmp_path / source))).preference_set[0].preference == "warm"


def without(row, *names):
    return {k: v for k, v in row.items() if k not in names}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (SFT | {"preference_set": []}, "field 'preference_set': an instruction without a set of values"),
        (SFT | {"preference_set": ["warm"]}, "field 'preference_set[0]': expected a table with dimension"),
        (SFT | {"preference_set": [without(ITEM, "description")]}, "field 'preference_set[0].description': missing"),
        (SFT | {"output": "  "}, "field 'output': empty"),
        (SFT | {"system": 3}, "field 'system': expected text, got int"),
        (SFT | {"system": ""}, "field 'system': empty"),
        (without(SFT, "prompt"), "field 'prompt': missing; the row has main_source"),
        (["x"], "expected a table with named fields, got list"),
    ],
)
def test_broken_samples(tmp_path, row, told):
    with pytest.raises(UserError) as error:
        list(read_samples(file(tmp_path / "a.jsonl", SFT, row)))
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'}: row 2: {told}")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (DPO | {"rejected": DPO["chosen"]}, "field 'rejected': the same text as chosen"),
        (DPO | {"chosen": [{"content": "x", "role": "user"}]}, "field 'chosen': expected text, or a list of turns"),
        (DPO | {"chosen": []}, "field 'chosen': expected text, or a list of turns"),
        (without(DPO, "chosen"), "field 'chosen': missing"),
        (without(DPO, "system"), "field 'system': missing"),
    ],
)
def test_broken_pairs(tmp_path, row, told):
    with pytest.raises(UserError) as error:
        list(read_preferences(file(tmp_path / "a.jsonl", DPO, row)))
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'}: row 2: {told}")


def test_bench_in_both_layouts(tmp_path):
    older = {
        "id": 17,
        "user_prompt": "Hi?",
        "system_prompt": "You are kind.",
        "reference_answer": "Hello!",
        "main_source": "koala",
        "original_source": "x",
        "preference": [ITEM],
        "rubric": [json.dumps(RUBRIC)],
    }
    new, old = read_bench(file(tmp_path / "b.jsonl", BENCH, older))
    assert (new.source, new.prompt, new.system, new.reference) == ("koala", "Hi?", "You are kind.", "Hello!")
    assert len(new.rubrics) == 2 and new.rubrics[0].score_descriptions == tuple(f"level {i}" for i in range(1, 6))
    assert json.loads(new.rubrics[0].text) == RUBRIC
    assert old.id == "17" and old.rubrics == new.rubrics[:1] and old.source == "koala", (
        "a number in the file is the same id as its text"
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (BENCH, "field 'id': '"),
        (BENCH | {"system": ""}, "field 'system': empty"),
        (BENCH | {"rubrics": []}, "field 'rubrics': expected a list of rubrics"),
        (BENCH | {"rubrics": ["{"]}, "field 'rubrics[0]': expected a rubric as a table or as JSON text"),
        (
            BENCH | {"rubrics": [{"criteria": "x", "score_descriptions": {"1": "x"}}]},
            "field 'rubrics[0]': score_descriptions: expected",
        ),
        (without(BENCH, "rubrics"), "field 'rubrics': missing"),
    ],
)
def test_broken_benches(tmp_path, row, told):
    with pytest.raises(UserError) as error:
        read_bench(file(tmp_path / "b.jsonl", BENCH, row))
    assert str(error.value).startswith(f"{tmp_path / 'b.jsonl'}: row 2: {told}")


def test_the_same_instruction():
    assert instruction_id("Say  hello!") == instruction_id("say hello") != instruction_id("say hallo")
    assert instruction_id("?!") != instruction_id("!?")


def test_our_reward_rows_are_read_by_the_reward_trainer(tmp_path):
    from windvane.janus.training_sets import reward_row

    pair = Preference("a", "b", "You are kind.", "Hi?", "Yes.", "No.")
    (read,) = read_pairs(file(tmp_path / "rm.jsonl", reward_row(pair)))
    assert [(m.role, m.content) for m in read.prompt.messages] == [("system", "You are kind."), ("user", "Hi?")]
    assert (read.chosen, read.rejected) == ("Yes.", "No.")
