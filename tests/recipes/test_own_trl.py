"""`windvane train` and TRL's trainers on the same file: the same losses step by step, so the same tokens, masks, order of batch and update.

Every step takes the whole file, so that the order of rows does not matter; the rate is high enough for the second and third loss to tell.
"""

import pytest

from tests.recipes.own_data import chats, pairs
from tests.tiny import byte_tokenizer, folder, model
from windvane.recipes.own import main
from windvane.store import read_jsonl

pytestmark = pytest.mark.slow
LR, STEPS = 2e-3, 3


def trl_losses(trainer_class, config_class, data, out, models, **options):
    from datasets import load_dataset

    arguments = config_class(
        output_dir=str(out), max_length=None, bf16=False, use_cpu=True, report_to=[], per_device_train_batch_size=16,
        disable_tqdm=True, gradient_checkpointing=False, learning_rate=LR, lr_scheduler_type="constant", max_steps=STEPS,
        max_grad_norm=0.0, logging_steps=1, weight_decay=0.0, save_strategy="no", **options,
    )  # fmt: skip
    rows = load_dataset("json", data_files=str(data), split="train")
    trainer = trainer_class(**models, args=arguments, train_dataset=rows, processing_class=byte_tokenizer())
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def our_losses(objective, data, tmp_path, *more):
    base = folder(tmp_path / "model", seed=1)
    arguments = [
        "--objective", objective, "--model", str(base), "--data", str(data), "--out", str(tmp_path / "run"), "--quiet",
        "--train.batch", "16", "--train.epochs", str(STEPS), "--train.lr", str(LR), "--train.schedule", "constant", "--train.warmup", "0",
        "--train.clip", "0", "--train.held-out", "0", "--threads", "1", "--device", "cpu", *more,
    ]  # fmt: skip
    assert main(arguments) == 0
    rows = [r for _, r in read_jsonl(tmp_path / "run/iter-1/train/metrics.jsonl") if r["split"] == "train"]
    return [r["loss"] for r in rows]


def test_dpo(tmp_path):
    from trl import DPOConfig, DPOTrainer

    data = pairs(tmp_path / "pairs.jsonl")
    theirs = trl_losses(
        DPOTrainer, DPOConfig, data, tmp_path / "trl", {"model": model(seed=1), "ref_model": model(seed=1)}, beta=0.1
    )
    ours = our_losses("dpo", data, tmp_path)
    assert ours == pytest.approx(theirs, abs=2e-4)
    assert ours[2] < 0.65, "the later losses tell more than log 2"


def test_sft_on_the_assistants_turns(tmp_path):
    """TRL needs a template with generation marks to find them; ours finds them by rendering. Its mask is one of tokens, ours of spans."""
    from trl import SFTConfig, SFTTrainer

    data = chats(tmp_path / "chats.jsonl")
    marked = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% else %}{% generation %}{{ ' ' + m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
    )
    (tmp_path / "marked.jinja").write_text(marked)
    options = {"assistant_only_loss": True, "chat_template_path": str(tmp_path / "marked.jinja"), "loss_type": "nll"}
    theirs = trl_losses(SFTTrainer, SFTConfig, data, tmp_path / "trl", {"model": model(seed=1)}, **options)
    ours = our_losses("sft", data, tmp_path)
    assert ours == pytest.approx(theirs, abs=2e-4)
    assert ours[0] > ours[2] + 0.1
