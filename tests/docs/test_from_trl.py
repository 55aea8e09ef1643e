"""docs/from_trl.md: the settings that it names exist on both sides, and the defaults that it tells are theirs and ours.

That the losses which it calls the same are the same is tested in tests/parity.
"""

import dataclasses
import math
import re

import pytest
import torch

from tests.docs.shown import page_of
from windvane.cli.main import main
from windvane.finetune.settings import usual_train
from windvane.train.settings import Train, learning_rate

trl = pytest.importorskip("trl", reason="trl is not installed (pip install trl)")
ROWS = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|$", page_of("from_trl").read_text(encoding="utf-8"), re.M)


def test_every_trl_setting_is_a_field_of_its_config():
    known = {f.name for config in (trl.DPOConfig, trl.ModelConfig) for f in dataclasses.fields(config)}
    named = [name for left, _, _ in ROWS for name in re.findall(r"`(\w+)(?:=[^`]*)?`", left) if name != "DPOTrainer"]
    assert len(named) > 30 and [name for name in named if name not in known] == []


def test_every_flag_is_one_of_windvane_train(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    flags = {flag for _, middle, _ in ROWS for flag in re.findall(r"--[a-z][\w.-]*", middle)}
    assert len(flags) > 15 and [flag for flag in flags if flag not in text] == []


def test_the_defaults_that_are_told(tmp_path):
    theirs, lora = trl.DPOConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True), trl.ModelConfig()
    assert (theirs.learning_rate, theirs.num_train_epochs, theirs.warmup_steps) == (1e-6, 3, 0)
    assert (theirs.max_grad_norm, theirs.weight_decay, theirs.gradient_checkpointing, theirs.seed) == (
        1.0,
        0.0,
        True,
        42,
    )
    assert (theirs.lr_scheduler_type, theirs.max_length, theirs.disable_dropout) == ("linear", 1024, True)
    assert (lora.lora_alpha, lora.lora_dropout, lora.use_peft) == (32, 0.05, False)
    ours = usual_train("dpo")
    assert (ours.lr, ours.epochs, ours.warmup, ours.clip, ours.weight_decay) == (5e-7, 1, 0.1, 1.0, 0.0)
    assert ours.schedule == "cosine"
    assert (ours.lora_alpha, ours.lora_dropout, ours.gradient_checkpointing, ours.precision) == (
        16,
        0.0,
        False,
        "float32",
    )


def test_constant_warms_up_as_constant_with_warmup():
    from transformers import get_constant_schedule_with_warmup

    settings = Train(lr=1.0, schedule="constant", warmup=0.3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_constant_schedule_with_warmup(optimizer, math.ceil(0.3 * 10))
    for step in range(10):
        assert learning_rate(step, 10, settings) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
