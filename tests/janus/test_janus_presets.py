"""The paper's settings, number by number, and that our loops take them."""

import dataclasses
import math

import pytest

from windvane.janus.training.presets import MODELS, PACKED
from windvane.janus.training.settings import TrainJanus
from windvane.losses.batch import load_objective
from windvane.train.settings import learning_rate


@pytest.mark.parametrize(
    ("name", "start", "data", "longest", "objective", "lr", "epochs", "rows"),
    [
        ("janus", "mistral-community/Mistral-7B-v0.2", "sft.jsonl", 8192, "sft", 5e-6, 4, 196_998),
        ("janus-1-epoch", "mistral-community/Mistral-7B-v0.2", "sft.jsonl", 8192, "sft", 5e-6, 1, 196_998),
        ("janus-star", "mistral-community/Mistral-7B-v0.2", "sft-one.jsonl", 8192, "sft", 5e-6, 4, 65_666),
        ("janus-dpo", "janus-star", "pairs.jsonl", 2048, "dpo", 5e-7, 2, 65_142),
        ("janus-orpo", "mistral-community/Mistral-7B-v0.2", "pairs.jsonl", 4096, "orpo", 5e-6, 2, 64_641),
    ],
)
def test_models(name, start, data, longest, objective, lr, epochs, rows):
    p = MODELS[name]
    assert (p.start, p.data, p.longest, p.train.objective, p.train.lr, p.train.epochs) == (
        start,
        data,
        longest,
        objective,
        lr,
        epochs,
    )
    assert (p.train.optimizer, p.train.schedule, p.train.weight_decay, p.train.lora_rank) == ("adamw", "cosine", 0.0, 0)
    assert load_objective(objective, p.train.objective_args).branches == ("single" if objective == "sft" else "pair")
    total = math.ceil(rows / p.train.batch) * epochs
    rates = [learning_rate(step, total, p.train) for step in (0, 9, 10, 11, total - 1)]
    assert rates[0] == 0 and rates[1] < lr and max(rates) == pytest.approx(lr, rel=1e-3), (
        "10 steps of warm-up, give or take one"
    )
    assert rates[-1] < 0.01 * lr


def test_a_batch_is_32_packed_rows():
    assert round(32 * 196_998 / 24_032) == PACKED
    assert math.ceil(196_998 / PACKED) * 4 == pytest.approx(3004, abs=8), "the published checkpoints end at step 3004"
    assert math.ceil(65_142 / 16) == 4072, "and Janus+DPO's at 4072, one epoch"


def test_both_stages_of_the_reward_model_are_as_released():
    default = {f.name: f.default for f in dataclasses.fields(TrainJanus)}
    assert (default["seed"], default["general_pairs"]) == (42, 66_000)
    for t in (default["reward"], default["reward_general"]):
        assert (t.lr, t.batch, t.epochs, t.warmup, t.schedule, t.clip) == (9e-6, 128, 1, 0.03, "cosine", 1.0)
