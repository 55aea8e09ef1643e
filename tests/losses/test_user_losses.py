"""A run with a user's own loss: its digest in recipe.toml, a run that is continued, a file that was changed, and what a mistake leaves."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.finetune.rows import pairs
from tests.tiny import folder
from windvane.cli.main import main
from windvane.losses import dpo
from windvane.losses.batch import digest_of
from windvane.train import checkpoint

TOKEN_DPO = Path(__file__).parents[1] / "train" / "token_dpo.py"


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder(tmp_path / "base", seed=1)
    pairs(tmp_path / "pairs.jsonl")
    shutil.copy(TOKEN_DPO, tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(objective, out, *more):
    given = f"train --objective {objective} --model base --data pairs.jsonl --out {out} --train.batch 4 --train.lr 1e-3"
    more_of = "--train.warmup 0 --train.epochs 2 --train.evaluate-every 1 --threads 1 --device cpu --quiet"
    return main([*f"{given} {more_of}".split(), *more])


def metrics(out):
    return [json.loads(line) for line in (out / "iter-1/train/metrics.jsonl").read_text().splitlines()]


def test_a_run_on_tokens_is_the_run_on_sums(here):
    assert train("mine.py", "tokens", "--train.objective-args", "beta", "0.4") == 0
    assert train("dpo", "sums", "--train.objective-args", "beta", "0.4") == 0
    ours, theirs = metrics(here / "tokens"), metrics(here / "sums")
    assert [r["loss"] for r in ours] == pytest.approx([r["loss"] for r in theirs], rel=1e-5)
    assert all("margin" in r for r in ours) and {r["split"] for r in ours} == {"train", "held-out"}
    held = tomllib.loads((here / "tokens/recipe.toml").read_text())["train"]
    assert held["objective"] == "mine.py" and held["objective_args"] == {"beta": 0.4}
    assert held["objective_sha256"] == digest_of("mine.py")
    assert "objective_sha256" not in (here / "sums/recipe.toml").read_text()
    assert "token_logps" not in (here / "sums/iter-1/reference.jsonl").read_text()


def test_a_broken_off_run_goes_on_with_the_same_loss_alone(here, monkeypatch, capsys):
    assert train("mine.py", "whole") == 0
    save = checkpoint.save

    def stops(place, state, *more):
        save(place, state, *more)
        if state.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stops)
    assert train("mine.py", "run") == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    good = (here / "mine.py").read_text()
    (here / "mine.py").write_text(good.replace("beta *", "2 * beta *"))
    capsys.readouterr()
    assert train("mine.py", "run") == 2
    told = capsys.readouterr().err
    assert told == (
        "windvane: run/recipe.toml: the loss mine.py was changed since this run was started; put its file back as it was, or use another "
        "--out\n"
    )
    (here / "mine.py").write_text(good)
    assert train("mine.py", "run") == 0
    assert metrics(here / "run") == metrics(here / "whole")


def test_a_mistake_can_be_mended_before_anything_was_trained(here, capsys):
    """The first version fails at its first step and reads sums; the second reads tokens and has another setting."""
    wrong = Path(dpo.__file__).read_text().replace("return -(1", "return undefined * -(1")
    (here / "mine.py").write_text(wrong)
    assert train("mine.py", "run") == 2
    line = wrong[: wrong.index("undefined")].count("\n") + 1
    told = capsys.readouterr().err
    assert (
        told
        == f"windvane: objective mine.py: {here}/mine.py, line {line}: NameError: name 'undefined' is not defined\n"
    )
    assert (here / "run/iter-1/reference.jsonl").exists()
    shutil.copy(TOKEN_DPO, here / "mine.py")
    assert train("mine.py", "run") == 0
    assert (
        "the loss was changed since this run was started, and nothing was trained by it yet"
        in (here / "run/log.jsonl").read_text()
    )
    assert train("mine.py", "fresh") == 0
    assert metrics(here / "run") == metrics(here / "fresh")
    assert (here / "run/recipe.toml").read_text() == (here / "fresh/recipe.toml").read_text()


def test_a_recipe_of_another_run_takes_the_file_as_it_is_now(here):
    assert train("mine.py", "first") == 0
    text = (here / "mine.py").read_text()
    (here / "mine.py").write_text(text + "# a note\n")
    assert main(["train", "--recipe", "first/recipe.toml", "--out", "second", "--quiet"]) == 0
    held = tomllib.loads((here / "second/recipe.toml").read_text())["train"]
    assert held["objective_sha256"] == digest_of("mine.py")
    assert metrics(here / "first") == metrics(here / "second")
