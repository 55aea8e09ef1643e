"""Files as they come: each fault ends in one clear line, or in a count of the rows left out; none in a wrong figure."""

import json
from pathlib import Path

import pytest

from windvane.core.errors import UserError
from windvane.evals.alpaca.annotations import read_annotations
from windvane.evals.alpaca.command import download, main
from windvane.evals.alpaca.length_control import read_difficulty, read_gamed
from windvane.evals.alpaca.score import aligned, score

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "alpaca_eval"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no published annotations at {DATA}")


def row(i, preference=1.25, **other):
    texts = {"instruction": f"ask {i}", "output_1": "base " * (i % 3 + 1), "output_2": f"answer {i}"}
    names = {"generator_1": "base", "generator_2": "model", "annotator": "judge"}
    return {**texts, **names, "preference": preference, **other}


@pytest.fixture
def write(tmp_path):
    def put(value, name="a.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return put


def test_counted_reasons(write):
    """Ten rows, four good: mean p of (0.25, 0.25, 0.5, 0.5) = 37.5%; every other row under its reason."""
    rows = [
        row(0), row(1), row(2, 0), row(3, 1.5), row(4, None), row(5, float("nan")), row(6, 3), row(7, "much"), row(8, True), "text",
    ]  # fmt: skip
    found = read_annotations(write(rows))
    result = score(found, None)
    assert result["win_rate"] == 37.5 and result["n_draws"] == 2 and result["n_total"] == 4
    assert result["left_out"] == {
        "not a table": 1, "no preference": 2, "preference outside 1 to 2": 1, "preference is no number": 2,
    }  # fmt: skip
    assert result["n_total"] + sum(result["left_out"].values()) == len(rows)


def test_a_folder_of_results(write, tmp_path):
    (tmp_path / "NAME" / "judge_a").mkdir(parents=True)
    write([row(0, 2)], "NAME/judge_a/annotations.json")
    assert len(read_annotations(tmp_path / "NAME").rows) == 1
    (tmp_path / "NAME" / "judge_b").mkdir()
    write([row(0, 2)], "NAME/judge_b/annotations.json")
    with pytest.raises(UserError, match=r"name its annotations.json \(there: judge_a/annotations.json, judge_b"):
        read_annotations(tmp_path / "NAME")
    with pytest.raises(UserError, match="there: none"):
        (tmp_path / "empty").mkdir()
        read_annotations(tmp_path / "empty")


def test_missing_fields_and_mixed_keys(write):
    rows = [row(i) for i in range(8)]
    del rows[1]["output_2"]
    rows[2]["output_1"] = None
    rows[3] = {"prompt": "other", "answer": "keys", "score": 1}
    del rows[4]["preference"]
    rows[5]["surprise"] = {"extra": 1}
    found = read_annotations(write(rows))
    assert found.left_out == {"no output_2": 1, "no output_1": 1, "no instruction": 1, "no preference": 1}
    assert len(found.judged) == 4


def test_only_preferences(write):
    result = score(read_annotations(write([{"preference": 2}, {"preference": 1}])), None)
    assert result["win_rate"] == 50 and result["avg_length"] is None and result["length_controlled_winrate"] is None
    assert any("no instruction" in note for note in result["notes"])


def test_broken_files(write, tmp_path):
    text = json.dumps([row(i) for i in range(5)])
    found = read_annotations(write(text[:-100]))
    assert len(found.rows) == 4 and found.left_out == {"broken JSON": 1} and "broken after row 4" in found.notes[0]
    lines = "\n".join(json.dumps(row(i)) for i in range(5))
    found = read_annotations(write(lines[:-30], "a.jsonl"))
    assert len(found.rows) == 4 and found.left_out == {"broken JSON": 1} and "line 5" in found.notes[0]
    for text, word in (
        ("", "empty"),
        ("{not json", "no row could be read"),
        ("[]", "no row has 'preference'"),
        ("3", "preference"),
    ):
        with pytest.raises(UserError, match=word):
            read_annotations(write(text))
    with pytest.raises(UserError, match=r"no row has 'preference'.*keys of row 1: instruction, output"):
        read_annotations(write([{"instruction": "a", "output": "b"}]))
    with pytest.raises(UserError, match="no usable row; left out: no preference 1"):
        read_annotations(write([row(0, None)]))
    (tmp_path / "b.json").write_bytes(b"\xff\xfe[]")
    with pytest.raises(UserError, match="not UTF-8"):
        read_annotations(tmp_path / "b.json")


def test_two_generators_judges_baselines(write):
    rows = [row(i) for i in range(3)] + [row(i, 2, generator_2="other") for i in range(3)]
    path = write(rows)
    with pytest.raises(UserError, match=r"2 different generator_2.*model 3, other 3.*--model NAME"):
        read_annotations(path)
    found = read_annotations(path, model="other")
    assert [r.p for r in found.rows] == [1, 1, 1] and found.left_out == {"other generator_2": 3}
    with pytest.raises(UserError, match="no row has generator_2 'third'; there are: model 3, other 3"):
        read_annotations(path, model="third")
    with pytest.raises(UserError, match="--annotator NAME"):
        read_annotations(write([row(0), row(1, annotator="b")]))
    with pytest.raises(UserError, match="split the file"):
        read_annotations(write([row(0), row(1, generator_1="b")]))


def test_rows_that_have_the_model_first_are_turned_round(write):
    """p = preference - 1 is the second answer's: 0.25 for `base` is 0.75 for `model` where it stands first."""
    round_ = {"generator_1": "model", "generator_2": "base"}
    rows = [row(0, 2), row(1, 1.25, **round_), row(2, None, **round_)]
    path = write(rows)
    with pytest.raises(UserError, match=r"2 different generator_2.*--model NAME"):
        read_annotations(path)
    found = read_annotations(path, model="model")
    assert [r.p for r in found.rows] == [1, 0.75, None] and {r.generator_1 for r in found.rows} == {"base"}
    assert found.rows[1].output_2 == rows[1]["output_1"] and found.rows[1].output_1 == rows[1]["output_2"]
    assert found.left_out == {"no preference": 1}
    assert found.notes == ("2 rows had model first and the baseline second: turned round",)
    # With another baseline among them only those against the model's own count.
    found = read_annotations(write([*rows, row(3, 1, generator_1="model", generator_2="third")]), model="model")
    assert [r.p for r in found.rows] == [1, 0.75, None] and found.left_out["other generator_2"] == 1


def test_repeats(write):
    """An exact repeat is left out; a second answer to a prompt stays, and its dependence is in the clustered error."""
    rows = [row(0, 2), row(0, 2), row(1, 1), row(0, 2, output_2="again"), row(1, 1, output_2="again")]
    result = score(read_annotations(write(rows)), None)
    assert result["left_out"] == {"repeated row": 1} and result["n_total"] == 4
    # Clusters {1,1}, {0,0} around 1/2: residual sums +1, -1: sqrt(2/1 * 2)/4 = 1/2.
    assert result["clustered_standard_error"] == pytest.approx(50)


def test_outputs_from_files_of_their_own(write, capsys):
    rows = [{"instruction": f"ask {i}", "preference": 1 + i / 4, "annotator": "judge"} for i in range(5)]
    base = write([{"instruction": f"ask {i}", "output": "b" * i, "generator": "base"} for i in range(5)], "base.json")
    ours = write([{"instruction": f"ask {i}", "output": "o" * 4, "generator": "us"} for i in range(5)], "ours.json")
    assert main([str(write(rows)), "--baseline", str(base), "--outputs", str(ours), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["baseline"], result["avg_length"], result["win_rate"]) == ("us", "base", 4, 50)
    assert 0 < result["length_adjusted_win_rate"] < 100


def published(name="alpaca-7b"):
    return json.loads((DATA / name / "annotations.json").read_text())


@needs_data
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda rows: rows[:804], "this file has 804 of them"),
        (lambda rows: [r | {"generator_1": "text_davinci_003"} for r in rows], "the baseline is 'text_davinci_003'"),
        (lambda rows: [r | {"annotator": "chatgpt_fn"} for r in rows], "the judge is 'chatgpt_fn'"),
        (lambda rows: [r | {"annotator": "llm:local:/m/weighted_alpaca_eval_gpt4_turbo"} for r in rows], "the judge is 'llm:local:"),
        (lambda rows: [r | {"output_1": r["output_1"][::-1]} for r in rows], "published ones"),
        (lambda rows: [r | {"instruction": r["instruction"] + " now"} for r in rows], "this file has 0 of them, 805 rows on other"),
        (lambda rows: [r | {"output_2": r["output_1"]} for r in rows], "equally much longer"),
        (lambda rows: [{k: v for k, v in r.items() if k != "annotator"} for r in rows], "no annotator"),
        (lambda rows: [r | ({"preference": None} if i < 100 else {}) for i, r in enumerate(rows)], "only 705 of the 805"),
    ],
)  # fmt: skip
def test_lc_is_refused_elsewhere(change, word, write, capsys):
    path = write(change(published()))
    assert word in aligned(read_annotations(path))
    assert main([str(path), "--gamed", str(DATA / "df_gamed_surrogate.csv"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["length_controlled_winrate"] is None and result["lc_standard_error"] is None
    assert any(word in note for note in result["notes"]) and "length_adjusted_win_rate" in result


@needs_data
def test_lc_with_unjudged_rows_and_other_spacing(write):
    """A row without a preference stays among the 805 prompts; white space in an instruction is no other instruction."""
    rows = published()
    rows[5]["preference"], rows[9]["instruction"] = None, rows[9]["instruction"] + " \n"
    rows[0]["output_2"] = None
    found = read_annotations(write(rows))
    result = score(found, read_gamed(DATA / "df_gamed_surrogate.csv"), C=10, resamples=0)
    assert result["n_total"] == 803 and result["left_out"] == {"no preference": 1, "no output_2": 1}
    assert result["length_controlled_winrate"] == pytest.approx(5.81, abs=0.1)


@needs_data
def test_the_same_rows_in_other_forms(write):
    """Shuffled, turned round, without the baseline's name, as JSON lines: the figures of the published file."""
    rows, gamed = published(), read_gamed(DATA / "df_gamed_surrogate.csv")
    names = ("output_1", "output_2", "generator_1", "generator_2")
    swap = dict(zip(names, ("output_2", "output_1", "generator_2", "generator_1")))
    turned = [r | {k: r[v] for k, v in swap.items()} | {"preference": 3 - r["preference"]} for r in rows]
    unnamed = [{k: v for k, v in r.items() if k != "generator_1"} for r in rows]
    whole = score(read_annotations(write(rows)), gamed, C=10, resamples=0)
    for value, model, word in (
        (rows[400:] + rows[:400], None, ""),
        (turned, "alpaca-7b", "805 rows had alpaca-7b first"),
        (unnamed, None, "name no baseline"),
        ("\r\n".join(map(json.dumps, rows)), None, ""),
    ):
        result = score(read_annotations(write(value), model=model), gamed, C=10, resamples=0)
        for key in ("win_rate", "length_controlled_winrate", "lc_standard_error"):
            assert result[key] == pytest.approx(whole[key], abs=1e-9), key
        assert any(word in note for note in result["notes"])
    result = score(read_annotations(write(turned)), gamed, resamples=0)
    assert result["length_controlled_winrate"] is None
    assert any("--model 'alpaca-7b' turns the rows round" in note for note in result["notes"])


@needs_data
def test_null_model_is_named():
    result = score(read_annotations(DATA / "NullModel" / "annotations.json"), None)
    assert any("nearly the same answer to every prompt" in note for note in result["notes"])


def test_broken_tables(write, tmp_path):
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"b\.csv: not a CSV file in UTF-8"):
        read_difficulty(tmp_path / "b.csv")
    with pytest.raises(UserError, match="no column std_delta_len"):
        read_gamed(write("preference,index,instruction_difficulty,not_gamed_baseline\n1,2,3,False\n", "g.csv"))
    head = "preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    with pytest.raises(UserError, match=r"row 2: std_delta_len: 'x' is no number"):
        read_gamed(write(head + "1,0,x,1,False\n", "g.csv"))
    with pytest.raises(UserError, match="no difficulty for 804 of the 805 prompts, the first is index 1"):
        read_difficulty(write("index,instruction_difficulty\n0,1.5\n", "d.csv"))
    with pytest.raises(UserError, match="no rows"):
        read_difficulty(write("", "d.csv"))


def test_a_download_with_other_bytes_is_refused(monkeypatch, write):
    import huggingface_hub

    path = write("index,instruction_difficulty\n", "d.csv")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda **_: str(path))
    with pytest.raises(UserError, match="SHA-256 differs"):
        download("df_gamed.csv")

    def offline(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(UserError, match=r"cannot be downloaded .no route to host"):
        download("df_gamed.csv")


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch, tmp_path):
    import sys

    from tests.evals.test_alpaca import synthetic
    from windvane.evals.alpaca.length_control import fit

    path, shares, delta = synthetic(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r"pip install 'windvane\[eval\]'"):
        fit(shares, delta, range(805), read_gamed(path))


def test_options(write):
    path = str(write([row(0), row(1)]))
    for argv, word in (
        ([], "name a file"),
        ([path, "--C", "0"], "--C"),
        ([path, "--bootstrap", "1"], "--bootstrap"),
        ([path, "--coefficients", path], "leave the annotations out"),
        (["--coefficients", path], "needs --model"),
        ([path, "--against", str(write([row(0, generator_1="else")], "c.json"))], "compared against one baseline"),
        ([path, "--against", str(write([row(7)], "b.json"))], "no judged instruction in common"),
    ):
        with pytest.raises(UserError, match=word):
            main(argv)
