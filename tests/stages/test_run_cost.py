"""What a run will take: seconds and bytes worked out by hand for a tiny model; too little disk is said."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests import tiny
from tests.finetune.rows import pairs, write
from windvane.cli.main import main
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.engines.local import Sampling
from windvane.longpo import cost
from windvane.longpo.settings import LongPO
from windvane.losses.batch import load_objective
from windvane.models.trees.tree import Tree
from windvane.plan import disk as disk_cost
from windvane.plan import time as run_cost
from windvane.plan.time import format_hours, shape_of
from windvane.sppo.settings import Sppo
from windvane.train.batches import Example
from windvane.train.settings import Train


def prompts(count, tokens):
    return [Prompt(f"p{i}", (Message("user", "x"),), tuple(range(tokens))) for i in range(count)]


@pytest.fixture(scope="module")
def model():
    return tiny.model("mistral")


@pytest.fixture
def settings():
    s = Sppo(model="m", prompts="p", judge="j", iterations=2, batch_prompts=4)
    s = replace(s, sampling=replace(s.sampling, k=3, max_new_tokens=10))
    return replace(s, evaluate=replace(s.evaluate, answers=2, batch_prompts=4, max_new_tokens=10))


def test_seconds_by_hand(model, settings):
    parts, held = [prompts(8, 5), prompts(8, 5)], prompts(4, 5)
    operations, step = 1e6, 0.5
    found = run_cost.seconds(model, (operations, step), parts, held, settings, load_objective("sppo", {}))
    row = shape_of(model).forward(5 + 2 * 10) / operations  # a prompt and both answers of its pair
    assert found["responses"] == 2 * (24 / 12) * 10 * step, "24 answers an iteration, 12 at once, 10 steps each"
    assert found["reference"] == pytest.approx(16 * row) and found["training"] == pytest.approx(3 * 16 * row)
    drawn = 4 * 3 / 12 * 10 * step  # two answers and, since T is 0.7, a sample at T = 1
    assert found["evaluation"] == pytest.approx(3 * (drawn + 2 * 4 * shape_of(model).forward(15) / operations))
    groups = replace(settings, answers="all")
    all_k = run_cost.seconds(model, (operations, step), parts, held, groups, load_objective("sppo", {}))
    assert all_k["training"] == pytest.approx(3 * 16 * shape_of(model).forward(5 + 3 * 10) / operations)


def test_bytes_by_hand(model, settings):
    parts, held = [prompts(8, 5), prompts(8, 5)], prompts(4, 5)
    weights = sum(p.numel() for p in model.parameters())
    found = run_cost.disk(model, parts, held, settings)
    assert found["models"] == 4 * weights * 3, "two iterations' and the final copy"
    assert found["checkpoints"] == 2 * 4 * weights * 2, "weights and RMSprop's one moment, old and new"
    assert found["rows"] == 12 * (16 * 3 * 10 + 3 * 4 * 3 * 10) + 320 * 16 * 3
    lora = run_cost.disk(model, parts, held, replace(settings, train=replace(settings.train, lora_rank=2)))
    assert lora["models"] < found["models"] / 4


def free(monkeypatch, count, total=10**12):
    monkeypatch.setattr(disk_cost.shutil, "disk_usage", lambda path: SimpleNamespace(free=count, total=total))


def test_one_line_and_a_full_disk(model, settings, tmp_path, monkeypatch):
    parts, held, objective = [prompts(8, 5)], prompts(4, 5), load_objective("sppo", {})

    def told():
        return run_cost.estimate(model, parts, held, settings, objective, tmp_path / "not/yet/there")

    assert "\n" not in told() and "responses" in told() and "free" in told() and "MORE" not in told()
    weights = sum(p.numel() for p in model.parameters())
    sure = 4 * weights * 2 + 4 * weights * 2  # two iterations' models; a checkpoint's weights and its one moment
    free(monkeypatch, sure)  # no room for the rows, nor for a second checkpoint: a note
    assert "MORE than is free: use another --out" in told()
    free(monkeypatch, sure - 1)
    with pytest.raises(
        UserError, match=r"there: disk: 563\.7 KB of weights are going to be written there and 563\.7 KB are free"
    ):
        told()
    lora = replace(settings, train=replace(settings.train, lora_rank=2))
    free(monkeypatch, 1)
    assert "MORE" in run_cost.estimate(model, parts, held, lora, objective, tmp_path), "an adapter's size is a guess"
    free(monkeypatch, 0, total=0)
    assert told().endswith("free not known"), "some network file systems tell nothing"


def test_training_on_rows_that_are_there(model, tmp_path, monkeypatch):
    shape, weights = shape_of(model), sum(p.numel() for p in model.parameters())
    rows = [Example(f"e{i}", Tree.of(range(5), [range(3), range(4)]), ("a", "b"), (), (3, 4), 0, 1) for i in range(30)]
    monkeypatch.setattr(
        run_cost, "probe", lambda model, rows: (shape.forward(12), 0.5)
    )  # one row of 12 tokens a second
    train = Train(objective="dpo", optimizer="adamw", epochs=2, keep="last")
    told = run_cost.training_estimate(model, rows, train, True, tmp_path)
    assert told.startswith(f"about {format_hours(210 / 3600)} at"), "30 s of reference, 3 x 2 x 30 s of training"
    assert f"reference {format_hours(30 / 3600)}, training {format_hours(180 / 3600)}." in told
    assert f"checkpoints {disk_cost.size(2 * 4 * weights * 3)}" in told and "MORE" not in told
    free(monkeypatch, 4 * weights * 4)
    assert "MORE than is free" in run_cost.training_estimate(model, rows, train, False, tmp_path)
    free(monkeypatch, 4 * weights * 4 - 1)
    with pytest.raises(UserError, match="of weights are going to be written"):
        run_cost.training_estimate(model, rows, train, False, tmp_path)
    assert "MORE" in run_cost.training_estimate(model, rows, train, False, tmp_path, begun=True), "a checkpoint stands"
    half = replace(train, precision="bfloat16")
    free(monkeypatch, 10**9)
    assert f"(model {disk_cost.size(2 * 2 * weights)}," in run_cost.training_estimate(
        model, rows, half, False, tmp_path
    )


def test_answers_by_hand(model, tmp_path, monkeypatch):
    shape = shape_of(model)
    monkeypatch.setattr(run_cost, "probe", lambda model, rows: (shape.forward(5), 0.5))  # a prompt a second
    told = run_cost.sampling_estimate(model, prompts(8, 5), Sampling(3, 1.0, 1.0, 10), 4, tmp_path)
    seconds = 8 + 24 / 12 * 10 * 0.5  # 8 prompts read; 12 answers at a time, 10 steps each
    assert told.startswith(f"about {format_hours(seconds / 3600)} at most, were every answer as long as it may be")
    assert f"Disk {disk_cost.size(24 * (320 + 12 * 10))} at most (rows" in told


def test_longpo_says_the_disk_of_the_rounds_to_come(model, tmp_path, monkeypatch):
    weights, cuts = sum(p.numel() for p in model.parameters()), [SimpleNamespace(chunks=(1, 2))] * 3
    s = LongPO(model="m", documents=("d",), lengths="64k,128k,256k")
    s = replace(s, ask=replace(s.ask, attempts=2, max_new_tokens=10), answer=replace(s.answer, max_new_tokens=5))
    s = replace(s, train=replace(s.train, optimizer="adamw", keep="last", precision="float32", lora_rank=0))
    found = cost.disk(model, cuts, s, 2)
    assert found["models"] == 4 * weights * 3, "rounds 2 and 3, and the final copy"
    assert found["rows"] == 2 * 6 * (2 * 10 + 2 * 5) * 12, "2 rounds of 6 questions with two answers each"
    assert found["checkpoints"] == 2 * 4 * weights * 3
    free(monkeypatch, 4 * weights * 2 - 1)
    with pytest.raises(UserError, match="fewer rounds"):
        cost.disk_estimate(model, cuts, s, 2, tmp_path)
    free(monkeypatch, 4 * weights * 2)
    assert "MORE than is free" in cost.disk_estimate(model, cuts, s, 2, tmp_path)


def test_verbs_on_files_say_it_before_the_first_row(tmp_path, capsys, monkeypatch):
    """Time and disk, in the same words, whichever verb; a person's and a function's time is not guessed."""
    monkeypatch.chdir(tmp_path)
    tiny.folder(tmp_path / "model", window=256)
    pairs(tmp_path / "pairs.jsonl")
    write(tmp_path / "answers.jsonl", [{"prompt": f"Say {i}.", "responses": ["a", "two"]} for i in range(4)])
    (tmp_path / "halves_of_a_cost.py").write_text("def f(prompt, a, b):\n    return 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = {
        "generate answers.jsonl --prompt-column prompt --model model --max-new-tokens 4 --out g": "responses",
        "judge answers.jsonl --judge world:styles --out j": "verdicts",
        "judge answers.jsonl --judge py:halves_of_a_cost:f --out k": None,
        "train reward --kind bt --model model --data pairs.jsonl --train.batch 4 --threads 1 --device cpu --out r": "training",
    }
    for command, stage in words.items():
        assert main(command.split()) == 0, command
        (line,) = [t for t in capsys.readouterr().err.splitlines() if "Disk" in t]
        assert re.search(r"Disk [\d.]+ [KMG]?B at most \(.+\), [\d.]+ [KMGT]?B free$", line), line
        assert bool(re.match(rf"windvane: about [\d.]+ (s|min|h) .*probe here: {stage} ", line)) == bool(stage), line


def test_size():
    assert [disk_cost.size(n) for n in (12, 1500, 2.5e9, 3e12)] == ["12 B", "1.5 KB", "2.5 GB", "3.0 TB"]
