"""Every recipe runs from Python as it does from the command line: what settings leave open is filled in by the recipe itself."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.finetune.rows import pairs
from tests.train.planted_preferences import planted
from windvane.core.errors import UserError
from windvane.core.schema import dumps, encode
from windvane.engines.local import Sampling
from windvane.evals.winrate import Evaluate
from windvane.evalyaks import recipe as evalyaks
from windvane.finetune import recipe as own_recipe
from windvane.finetune import settings as own
from windvane.janus.collection import recipe as janus
from windvane.janus.collection import rubrics
from windvane.janus.collection.settings import Janus
from windvane.janus.training import command as train_janus
from windvane.janus.training.settings import TrainJanus
from windvane.longpo import recipe as longpo
from windvane.runs.settings_file import resolved
from windvane.sppo import recipe as sppo
from windvane.sppo.settings import Sppo
from windvane.stages import train_reward
from windvane.toy.grades import family as grades
from windvane.toy.values import family as values
from windvane.train.settings import RewardTrain, Train

FAST = Train(objective="sppo", optimizer="adamw", lr=1e-3, batch=8, held_out=0.0, keep="last")


def threads_of(run):
    return tomllib.loads((run / "recipe.toml").read_text())["threads"]


@pytest.fixture
def three_threads():
    """PyTorch takes three threads, which is no default, so that a test sees whose number was written down."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.fixture
def base(tmp_path):
    return tiny.folder(tmp_path / "base", seed=1)


def self_play(**changes):
    return Sppo(
        model="world:styles",
        prompts="world:styles",
        judge="world:styles:programme",
        iterations=1,
        prompts_per_iteration=16,
        sampling=Sampling(k=3, max_new_tokens=40),
        train=FAST,
        evaluate=Evaluate(count=4, max_new_tokens=8),
        device="cpu",
        **changes,
    )


def test_self_play(tmp_path, three_threads):
    sppo.run(self_play(), str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run/manifest.json").exists() and threads_of(tmp_path / "run") == three_threads
    torch.set_num_threads(2)
    before = (tmp_path / "run/manifest.json").read_bytes()
    sppo.run(self_play(), str(tmp_path / "run"), quiet=True)
    assert torch.get_num_threads() == 3, "a resume takes the number that the run was started with"
    assert (tmp_path / "run/manifest.json").read_bytes() == before


def test_training_on_ones_own_data(tmp_path, base, three_threads):
    """A path may be a `Path`, and left-out training settings are the usual ones of the objective, not of DPO."""
    data = pairs(tmp_path / "pairs.jsonl")
    given = own.Finetune(objective="sft", model=base, data=data, device="cpu")
    assert given.train == own.usual_train("sft") and given.train.lr == 2e-5 != own.usual_train("dpo").lr
    assert own.Finetune(objective="sft", model="m", data="d", train=own.usual_train("dpo")).train.lr == 5e-7
    given = replace(given, train=replace(given.train, batch=4, warmup=0.0))
    own_recipe.run(given, tmp_path / "python", quiet=True)
    words = ["--objective", "sft", "--model", str(base), "--data", str(data), "--out", str(tmp_path / "command")]
    assert own_recipe.main([*words, "--device", "cpu", "--train.batch", "4", "--train.warmup", "0", "--quiet"]) == 0
    ours, theirs = ((tmp_path / name / "recipe.toml").read_text() for name in ("python", "command"))
    assert ours == theirs and threads_of(tmp_path / "python") == three_threads
    files = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("python", "command")]
    assert files[0]["iter-1/model/model.safetensors"] == files[1]["iter-1/model/model.safetensors"]


def test_a_reward_model(tmp_path, base, three_threads):
    rows = [{"prompt": p.prompt.text, "chosen": p.chosen, "rejected": p.rejected} for p in planted("order", 24, 0)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    train = RewardTrain(lr=1e-3, batch=8, held_out=0.2)
    given = train_reward.TrainReward(
        kind="bt", model=str(base), data=str(tmp_path / "pairs.jsonl"), train=train, device="cpu"
    )
    train_reward.run(given, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run/model/model.safetensors").exists() and threads_of(tmp_path / "run") == three_threads
    torch.set_num_threads(2)
    train_reward.run(given, str(tmp_path / "run"), quiet=True)
    assert threads_of(tmp_path / "run") == three_threads


@pytest.mark.slow
def test_long_documents(tmp_path, three_threads):
    world = longpo.toy_recipe("world:facts")
    chunks = replace(world.chunks, per_round=8)
    given = replace(
        world,
        lengths="512",
        chunks=chunks,
        kl_documents=0,
        train=replace(world.train, epochs=1, warmup=0.0),
        threads=None,
    )
    longpo.run(given, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run/manifest.json").exists() and threads_of(tmp_path / "run") == three_threads


@pytest.mark.slow
def test_grading_transcripts(tmp_path, three_threads):
    data = tmp_path / "part1.jsonl"
    data.write_text("".join(dumps(encode(r)) + "\n" for r in grades.transcripts(51, 5, parts=(1,))))
    world = evalyaks.toy_recipe("world:grades")
    given = replace(
        world, data=(str(data),), test=(), words=None, sentences=None, held_out=0.2, resamples=10, threads=None,
        train=replace(world.train, epochs=1, batch=3),
    )  # fmt: skip
    evalyaks.run(given, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run/manifest.json").exists() and threads_of(tmp_path / "run") == three_threads


@pytest.mark.slow
def test_a_collection_its_models_and_a_bench(tmp_path, three_threads):
    texts = values.instructions(12, "train", 0)
    (tmp_path / "i.jsonl").write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
    given = Janus(
        str(tmp_path / "i.jsonl"), "world:values:writer", least_words=8, most_words=40, near=1.0, test=0.1, device="cpu"
    )
    janus.run(given, str(tmp_path / "collection"), quiet=True)
    assert threads_of(tmp_path / "collection") == three_threads
    sft = replace(FAST, objective="sft", batch=4)
    models = TrainJanus(
        data=str(tmp_path / "collection"), models=("janus-star", "reward"), model="world:values", janus=sft,
        janus_1_epoch=sft, janus_star=sft, reward=RewardTrain(lr=1e-3, batch=4, held_out=0.0), device="cpu",
    )  # fmt: skip
    train_janus.run(models, str(tmp_path / "models"), quiet=True)
    assert threads_of(tmp_path / "models") == threads_of(tmp_path / "models/reward") == three_threads
    samples = str(tmp_path / "collection/sets/sft-test.jsonl")
    made = rubrics.RubricMaker(samples, "py:benchmarks.janus_collection:ScriptedWriter", device="cpu")
    rubrics.run(made, str(tmp_path / "bench"), quiet=True)
    assert threads_of(tmp_path / "bench") == three_threads


def test_what_is_given_to_a_recipe_is_checked_and_made_plain(tmp_path, three_threads):
    found = resolved(self_play(generator=Path("a/b")), tmp_path / "run")
    assert found.generator == str(Path("a/b")) and found.threads == three_threads
    given = replace(self_play(), prompts=["a.jsonl", Path("b.jsonl")], train=replace(FAST, lr=1))
    found = resolved(given, tmp_path / "run")
    assert found.prompts == ("a.jsonl", "b.jsonl") and type(found.train.lr) is float
    assert resolved(found, tmp_path / "run") == found
    assert resolved(self_play(threads=1), tmp_path / "run").threads == 1
    with pytest.raises(UserError, match=r"field 'train\.batch': expected int, got str '8'"):
        resolved(replace(self_play(), train=_with(FAST, batch="8")), tmp_path / "run")
    with pytest.raises(UserError, match="out: is empty"):
        sppo.run(self_play(), " ")


def _with(train, **changes):
    """`train` with values that its class would refuse, as a user's own subclass or a later assignment may leave them."""
    made = replace(train)
    for name, value in changes.items():
        object.__setattr__(made, name, value)
    return made


def test_a_run_that_was_started_without_a_count_goes_on_without_one(tmp_path):
    (tmp_path / "recipe.toml").write_text("seed = 1\n")
    assert resolved(self_play(), tmp_path).threads is None
