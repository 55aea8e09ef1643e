"""docs/extending.md: the loss, the judge and the evaluation that it shows do their work, and the Python runs, as written there."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from windvane.cli.main import main
from windvane.core.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


@pytest.mark.slow
def test_the_shown_loss_and_judge_work(tmp_path, monkeypatch):
    loss, judge = BLOCK.findall(PAGE.read_text(encoding="utf-8"))[:2]
    (tmp_path / "shown_hinge.py").write_text(loss)
    (tmp_path / "shown_judge.py").write_text(judge)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given = (
        "run sppo --model world:styles --prompts world:styles --judge py:shown_judge:shorter --train.objective shown_hinge:Hinge "
        "--train.objective-args beta 0.2 --train.optimizer adamw --train.lr 1e-3 --iterations 1 --prompts-per-iteration 32 --sampling.k 3 "
        "--sampling.max-new-tokens 40 --train.batch 8 --train.held-out 0 --evaluate.count 8 --evaluate.max-new-tokens 40 --threads 1 "
        "--device cpu --quiet --out run"
    )
    assert main(given.split()) == 0
    groups = [json.loads(line) for line in (tmp_path / "run/iter-1/groups.jsonl").read_text().splitlines()]
    answers = {}
    for line in (tmp_path / "run/iter-1/responses.jsonl").read_text().splitlines():
        row = json.loads(line)
        answers[row["prompt_id"], row["index"]] = row["text"]
    pairs = [(answers[g["id"], g["chosen"]], answers[g["id"], g["rejected"]]) for g in groups if g["status"] == "pair"]
    assert len(pairs) > 10 and all(len(chosen) < len(rejected) for chosen, rejected in pairs), "the shorter answer wins"
    metrics = [json.loads(line) for line in (tmp_path / "run/iter-1/train/metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["loss"] == pytest.approx(1.0, abs=1e-4), "a hinge of margin 0 before the first step"
    assert metrics[-1]["loss"] < metrics[0]["loss"]


@pytest.mark.slow
def test_the_shown_python_is_a_program(tmp_path):
    """The block is a file of its own and nothing is set up for it; its run can then be named on the command line."""
    (code,) = (block for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "run(settings" in block)
    (tmp_path / "shown.py").write_text(code)
    done = subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs/from-python"
    assert tomllib.loads((run / "recipe.toml").read_text())["threads"] >= 1
    rows = [json.loads(line) for line in (run / "iter-1/train/metrics.jsonl").read_text().splitlines()]
    assert [r["split"] for r in rows] == ["train"] * len(rows) and rows[0]["loss"] > 0
    before = (run / "manifest.json").read_bytes()
    assert main(["run", "sppo", "--recipe", str(run / "recipe.toml"), "--out", str(run), "--quiet"]) == 0
    assert (run / "manifest.json").read_bytes() == before


def test_the_shown_evaluation_runs_and_resumes(tmp_path, monkeypatch, capsys):
    """Grades 2 and 4 of two answers, none of the third: 3.0 over two of three; the second time nobody is asked."""
    (code,) = (block for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "def kindness(" in block)
    (tmp_path / "shown_kindness.py").write_text(code)
    (tmp_path / "shown_grader.py").write_text(
        "from windvane.core.protocols import Grade\n"
        "SCORES = {'Go away.': 2, 'With pleasure.': 4, 'Hm.': None}\n"
        "class Kind:\n"
        "    def grade(self, questions):\n"
        "        assert all('Is the answer kind?' in q.rubric for q in questions)\n"
        "        return [Grade(q.key, SCORES[q.response.text], '', 'cannot say') for q in questions]\n"
    )
    answers = {"Say one.": "Go away.", "Say two.": "With pleasure.", "Say three.": "Hm."}
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in answers))
    (tmp_path / "model.jsonl").write_text(
        "".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in answers.items())
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shown = importlib.import_module("shown_kindness")
    command = "--prompts prompts.jsonl --model scripted:model.jsonl --judge py:shown_grader:Kind --out out --quiet"
    shown.main([*command.split(), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["grade"], result["graded"], result["asked"]) == (3.0, 2, 3)
    assert "<svg" in (tmp_path / "out/plot.svg").read_text()
    (tmp_path / "model.jsonl").write_text("")
    monkeypatch.delattr("shown_grader.Kind.grade")
    shown.main(command.split())
    assert "3.00 [2.00, 4.00], 2 of 3 graded" in capsys.readouterr().out
    with pytest.raises(UserError, match="other settings"):
        shown.main([*command.split(), "--limit", "2"])
