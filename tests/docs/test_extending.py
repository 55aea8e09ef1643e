"""docs/extending.md: the losses, the judge and the evaluation that it shows do their work, and the Python runs, as written there."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.finetune.rows import pairs
from windvane.cli.main import main
from windvane.core.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
SMALL = (
    "--train.optimizer adamw --train.lr 1e-3 --iterations 1 --prompts-per-iteration 32 --sampling.k 3 --sampling.max-new-tokens 40 "
    "--train.batch 8 --train.held-out 0 --evaluate.count 8 --evaluate.max-new-tokens 40 --threads 1 --device cpu --quiet --out run"
)


def shown(word):
    """The one block of Python with `word` in it."""
    (code,) = (block for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if word in block)
    return code


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files that the page says to write."""
    for name, word in (("hinge.py", "A hinge"), ("capped.py", "capped token by token"), ("mine.py", "def shorter")):
        (tmp_path / name).write_text(shown(word))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.slow
def test_the_shown_loss_and_judge_work(here):
    assert "--train.objective hinge.py --train.objective-args beta 0.2" in PAGE.read_text(encoding="utf-8")
    given = "run sppo --model toy:styles --prompts toy:styles --judge py:mine:shorter --train.objective hinge.py "
    assert main((given + "--train.objective-args beta 0.2 " + SMALL).split()) == 0
    groups = rows(here / "run/iter-1/groups.jsonl")
    answers = {(r["prompt_id"], r["index"]): r["text"] for r in rows(here / "run/iter-1/responses.jsonl")}
    pairs = [(answers[g["id"], g["chosen"]], answers[g["id"], g["rejected"]]) for g in groups if g["status"] == "pair"]
    assert len(pairs) > 10 and all(len(chosen) < len(rejected) for chosen, rejected in pairs), "the shorter answer wins"
    metrics = rows(here / "run/iter-1/train/metrics.jsonl")
    assert metrics[0]["loss"] == pytest.approx(1.0, abs=1e-4), "a hinge of margin 0 before the first step"
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    for row in metrics:
        assert row["margin"] == pytest.approx(row["chosen_logratio"] - row["rejected_logratio"], abs=1e-4)
        assert row["loss"] == pytest.approx(1 - 0.2 * row["margin"], abs=1e-4), "no margin has reached 1/beta"


@pytest.mark.slow
def test_the_shown_loss_on_tokens_works(here):
    given = "run sppo --model toy:styles --prompts toy:styles --judge py:mine:shorter --train.objective capped.py "
    assert main((given + "--train.objective-args beta 0.2 cap 0.01 " + SMALL).split()) == 0
    kept = rows(here / "run/iter-1/reference.jsonl")
    assert all(len(r["token_logps"]) == r["tokens"] for r in kept)
    assert all(sum(r["token_logps"]) == pytest.approx(r["logps"], abs=1e-4) for r in kept)
    metrics = rows(here / "run/iter-1/train/metrics.jsonl")
    assert metrics[0]["loss"] == pytest.approx(0.6931, abs=1e-4) and metrics[-1]["loss"] < metrics[0]["loss"]
    assert metrics[0]["capped_share"] == 0.0 and 0.05 < metrics[-1]["capped_share"] <= 1.0
    assert tomllib.loads((here / "run/recipe.toml").read_text())["train"]["objective_args"] == {
        "beta": 0.2,
        "cap": 0.01,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hinge.py", "capped.py"])
def test_the_shown_losses_train_on_ones_own_data(here, name):
    pairs(here / "pairs.jsonl")
    given = f"train --objective {name} --model toy:styles --data pairs.jsonl --train.batch 4 --train.lr 1e-3 --train.epochs 3"
    assert main(f"{given} --train.held-out 0 --threads 1 --device cpu --quiet --out own".split()) == 0
    metrics = rows(here / "own/iter-1/train/metrics.jsonl")
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert all(("margin" if name == "hinge.py" else "capped_share") in row for row in metrics)


@pytest.mark.slow
def test_the_shown_python_is_a_program(tmp_path):
    """The block is a file of its own and nothing is set up for it; its run can then be continued on the command line."""
    (tmp_path / "shown.py").write_text(shown("run(settings"))
    done = subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs/from-python"
    assert tomllib.loads((run / "recipe.toml").read_text())["threads"] >= 1
    metrics = rows(run / "iter-1/train/metrics.jsonl")
    assert [r["split"] for r in metrics] == ["train"] * len(metrics) and metrics[0]["loss"] > 0
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
