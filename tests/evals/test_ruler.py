"""RULER asked and scored whole: command line, rows, resume, comparison, heat map."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.evals.ruler_scripted import Scripted
from tests.evals.ruler_solvers import solve
from windvane.charts.style import colour, ink
from windvane.core.errors import UserError
from windvane.evals.result_files import default_folder
from windvane.evals.ruler.command import compare, main, table
from windvane.evals.ruler.files import read_rows
from windvane.evals.ruler.heatmap import cells, heat_map
from windvane.evals.ruler.run import Settings, run_ruler
from windvane.evals.ruler.score import Row, summarise
from windvane.evals.ruler.tasks import PUBLISHED, TASKS, Sources
from windvane.runs.store import RunFolder


def row(task="niah_single_1", length=4096, hit=True, index=0, depth=0.5, cluster="", stand_in=False):
    row_id = f"{task}-{length}-{index}"
    said = "it is 1234567." if hit else "no idea"
    return Row(row_id, task, length, ("1234567",), said, (depth,), cluster or row_id, stand_in, "")


def run(folder, solver, tasks=tuple(PUBLISHED), lengths=(3072,), samples=2, **more):
    with RunFolder(folder) as held:
        return run_ruler(held, solver, tasks, lengths, Settings("scripted", samples, batch=2, **more), Sources())


def test_a_solver_gets_100_on_all_thirteen_and_silence_0(tmp_path):
    rows, left_out, _ = read_rows(run(tmp_path / "a", Scripted(solve)))
    result = summarise(rows)
    assert not left_out and result["n"] == 26
    assert {t: r["score"] for t, r in result["lengths"]["3072"]["tasks"].items()} == dict.fromkeys(PUBLISHED, 100.0)
    assert result["effective_length"] == 3072 and result["average"] == 100
    assert result["effective_length_95"] is None  # two samples a task do not show 85.6
    assert set(result["groups"]) == {"locating", "tracing", "aggregation", "qa"}
    silent = summarise(read_rows(run(tmp_path / "b", Scripted(lambda p: "")))[0])
    assert silent["average"] == 0 and silent["effective_length"] is None
    assert "qa_1, qa_2: synthetic stand-in questions; compares with no published score" in silent["notes"]


def test_resumes_adds_lengths_and_refuses_other_settings(tmp_path):
    solver = Scripted(solve)
    tasks = ("niah_single_1", "qa_1")
    run(tmp_path, solver, tasks)
    assert solver.asked == 4
    folder = run(tmp_path, solver, tasks, lengths=(3072, 3500))
    assert solver.asked == 8 and len(read_rows(folder)[0]) == 8
    with pytest.raises(UserError, match="started with other settings"):
        run(tmp_path, solver, tasks, samples=3)


def test_too_long_for_the_window_or_too_short_for_the_question_is_told_before_anything_is_asked(tmp_path):
    solver = Scripted(solve, window=2500)
    with pytest.raises(UserError, match="length 4096: the model's window is 2500"):
        run(tmp_path / "a", solver, lengths=(2048, 4096))
    with pytest.raises(UserError, match="cwe at 900 tokens: its shortest form takes"):
        run(tmp_path / "b", solver, ("niah_single_1", "cwe"), lengths=(900,))
    assert solver.asked == 0


def test_the_answer_begins_with_the_published_prefix(tmp_path):
    heard = []
    run(tmp_path / "a", Scripted(lambda p: heard.append(p) or ""), ("vt",), samples=1)
    run(tmp_path / "b", Scripted(lambda p: heard.append(p) or ""), ("vt",), samples=1, prefix=False)
    assert re.search(r"\[/INST\] Answer: According to .* 5 variables are assgined the value \d+, they are: $", heard[0])
    assert heard[1].endswith("[/INST]")


def test_group_scores_intervals_and_notes():
    rows = [row(hit=i < 3, index=i) for i in range(4)] + [row("niah_single_2", index=i) for i in range(4)]
    result = summarise(rows)
    part = result["lengths"]["4096"]
    assert part["tasks"]["niah_single_1"]["score"] == 75 and part["groups"]["locating"]["score"] == 87.5
    # s / sqrt(n) = sqrt(4/3 * 3/16) / 2 = 0.25; the other task has none: SE of the mean of two = 12.5
    assert part["tasks"]["niah_single_1"]["standard_error"] == pytest.approx(25)
    assert part["groups"]["locating"]["standard_error"] == pytest.approx(12.5)
    assert part["tasks"]["niah_single_2"]["low"] == pytest.approx(100 * 4 / (4 + 1.959964**2))  # Wilson at 4 of 4
    assert result["effective_length"] is None and "missing: cwe, fwe" in result["notes"][0]
    assert "locating" in table(result) and not table(result).startswith("effective")


def test_questions_about_one_document_are_one_cluster():
    rows = [row("qa_1", hit=i < 4, index=i, cluster=f"d{i // 4}") for i in range(8)]
    task = summarise(rows)["lengths"]["4096"]["tasks"]["qa_1"]
    assert task["clusters"] == 2
    assert task["standard_error"] == pytest.approx(100 * (2 * 8) ** 0.5 / 8)  # residual sums 2 and -2, G/(G-1) = 2
    apart = summarise([row("qa_1", hit=i < 4, index=i) for i in range(8)])["lengths"]["4096"]["tasks"]["qa_1"]
    assert task["high"] - task["low"] > apart["high"] - apart["low"]


def test_clusters_of_unequal_size():
    rows = [row("qa_1", hit=i < 3, index=i, cluster="d0" if i < 3 else "d1") for i in range(4)]
    task = summarise(rows)["lengths"]["4096"]["tasks"]["qa_1"]
    # mean 3/4; residual sums 3 - 3 * 3/4 = 3/4 and 0 - 3/4; SE = sqrt(2 * 2 * 9/16) / 4 = 3/8
    assert task["standard_error"] == pytest.approx(37.5)


def test_rows_of_the_release_and_broken_ones(tmp_path):
    folder = tmp_path / "4096" / "pred"
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"index": 0, "pred": " 12\x00 and 34", "outputs": ["12", "34"], "length": 4000}),
        json.dumps({"index": 1, "pred": "none", "outputs": ["12", "34"]}),
        json.dumps({"index": 2, "outputs": ["12"]}),
        json.dumps({"index": 3, "pred": "12"}),
        '{"index": 4, "pred": ',
    ]
    (folder / "niah_multivalue.jsonl").write_text("\n".join(lines))
    rows, left_out, duplicates = read_rows(folder)
    assert [(r.task, r.length) for r in rows] == [("niah_multivalue", 4096)] * 2 and duplicates == 0
    assert left_out == {"no prediction": 1, "no references": 1, "not valid JSON": 1}
    assert summarise(rows)["lengths"]["4096"]["tasks"]["niah_multivalue"]["score"] == 50
    (folder / "niah_multivalue.jsonl").rename(folder / "niah_multivalue-0.jsonl")  # a part of a task, numbered
    assert [r.task for r in read_rows(folder)[0]] == ["niah_multivalue"] * 2
    (tmp_path / "mixed.jsonl").write_text(
        "\n".join(json.dumps({"task": "vt", "length": 10, "pred": "", "outputs": ["a"], "model": m}) for m in "ab")
    )
    with pytest.raises(UserError, match="rows of 2 models: a, b"):
        read_rows(tmp_path / "mixed.jsonl")
    whole = {"task": "vt", "length": 10, "tokens": 9, "pred": "", "outputs": ["a"]}
    odd = (
        {"task": ["vt"]},
        {"max_length": True},
        {"depths": 5},
        {"index": "x", "depths": ["a"]},
        {"index": None, "depths": [7.5]},
    )
    (tmp_path / "odd.jsonl").write_text("\n".join(json.dumps(whole | part) for part in odd))
    rows, left_out, _ = read_rows(tmp_path / "odd.jsonl")
    assert len(rows) == 3 and left_out == {"no known task": 1, "no length": 1}
    assert all(r.depths == (None,) for r in rows) and "No row says where" in heat_map(rows, "odd")
    (tmp_path / "none.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"no row to score \(no known task: 1\)"):
        read_rows(tmp_path / "none.jsonl")


def test_comparison_is_paired():
    mine, theirs = [row(index=i) for i in range(4)], [row(index=i, hit=i > 0) for i in range(1, 4)]
    theirs.append(row(index=0, hit=False))
    gap = compare(mine, theirs, "other")["lengths"]["4096"]["locating"]
    assert (
        gap["mean"] == 25
        and gap["standard_error"] == pytest.approx(25)
        and gap["mde"] == pytest.approx(70.04, abs=0.01)
    )
    with pytest.raises(UserError, match="no question in common"):
        compare(mine, [row("vt")], "other")


def test_heat_map_counts_and_is_well_formed():
    rows = [
        row(index=0, depth=0.0),
        row(index=1, depth=0.05, hit=False),
        row(index=2, depth=1.0),
        row("vt", depth=None),
    ]
    assert cells(rows) == {(4096, 0): (1, 2), (4096, 9): (1, 1)}
    svg = heat_map(rows, "found <by> depth")
    texts = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "504K tokens, depth 0–10%: 1 of 2 found" in texts  # the cell's 50, then its tooltip
    assert "1004K tokens, depth 90–100%: 1 of 1 found" in texts and "found <by> depth" in texts
    assert colour(0) == (204, 102, 0) and colour(1) == (31, 107, 170) and colour(0.5) == (222, 222, 222)
    assert ink(*colour(0)) == "#000" and ink(*colour(1)) == "#fff"  # on orange black is 5.4 to 1, white 3.9
    ElementTree.fromstring(heat_map([row("vt", depth=None)], "t"))


def test_command_line_scores_a_file_and_draws(tmp_path, capsys):
    folder = run(tmp_path / "run", Scripted(solve), ("niah_single_1", "chain_2"))
    assert main([str(folder), "--json", "--plot", str(tmp_path / "p.svg"), "--against", str(folder)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["lengths"]["3072"]["groups"]["chains"]["score"] == 100
    assert result["comparison"]["lengths"]["3072"]["locating"]["mean"] == 0
    assert (result["comparison"]["n"], result["comparison"]["unpaired"]) == (4, 0)
    main([str(folder), "--against", str(folder)])
    assert "minus ruler, in points, paired on 4 questions (0 rows unpaired)" in (said := capsys.readouterr().out)
    assert "3K locating     +0.0 [+0.0, +0.0]; under 0.0 would probably go unseen" in said
    assert ElementTree.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")
    with pytest.raises(UserError, match="either a file of answers or --model"):
        main([])
    with pytest.raises(UserError, match="--tasks niah: no such task"):
        main(["--model", "m", "--out", str(tmp_path / "x"), "--tasks", "niah"])
    with pytest.raises(UserError, match="length '4q'"):
        main(["--model", "m", "--out", str(tmp_path / "x"), "--lengths", "4q"])
    assert set(PUBLISHED) < set(TASKS) and len(PUBLISHED) == 13


def test_where_rows_go_without_out(capsys):
    assert default_folder("ruler", "/models/My Model-7B") == Path("evaluations/ruler/models-My-Model-7B")
    assert default_folder("ruler", "..").name == "model"  # never above the folder
    assert "rows and results go to evaluations/ruler/models-My-Model-7B" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_model_end_to_end(tmp_path, capsys):
    """A tiny random Mistral, from the command line: answers, rows, a score of about nothing, a resume that asks nothing."""
    from tests import tiny
    from tests.evals.ruler_scripted import small_tokenizer

    model, tokenizer = tiny.model(vocab=500, window=4096), small_tokenizer()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    command = ["--model", str(tmp_path / "model"), "--lengths", "2k,3k", "--samples", "2", "--batch", "2", "--json"]
    command += ["--out", str(tmp_path / "run"), "--tasks", "niah_single_1,niah_multikey_3,vt,fwe,qa_1,qa_2,chain_2"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 28 and set(result["lengths"]) == {"2048", "3072"}
    before = {p.name: p.read_bytes() for p in (tmp_path / "run" / "ruler").iterdir()}
    main(command)
    assert json.loads(capsys.readouterr().out) == result
    assert {p.name: p.read_bytes() for p in (tmp_path / "run" / "ruler").iterdir()} == before

    from windvane.evals.infinitebench.command import main as infinitebench

    asked = ["--model", str(tmp_path / "model"), "--size", "30", "--samples", "3", "--task", "passkey,math_find"]
    with pytest.raises(UserError, match="not a result of windvane eval infinitebench"):
        infinitebench([*asked, "--out", str(tmp_path / "run")])
    assert infinitebench([*asked, "--out", str(tmp_path / "run2"), "--length", "2k", "--json"]) == 0
    together = json.loads(capsys.readouterr().out)
    assert [(r["task"], r["n"]) for r in together["tasks"]] == [("passkey", 3), ("math_find", 3)]
    assert together["mean"] == sum(r["score"] for r in together["tasks"]) / 2
