"""`windvane train` and TRL's trainers on the same file: the same losses step by step, so the same tokens, masks, order of batch and update.

Every step takes the whole file, so that the order of rows does not matter; the rate is high enough for the second and third loss to tell
(TRL writes four digits of each). The first loss of the others is taken from TRL's own `compute_loss` and compared to 1e-5. DPO's first loss
is log 2 whatever the tokens, which is why its steps are.
"""

import pytest

from tests.finetune.rows import WORDS, chats, pairs, turn, write
from tests.tiny import byte_tokenizer, folder, model
from windvane.finetune.recipe import main
from windvane.runs.store import read_jsonl

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


@pytest.mark.parametrize("kind", ["prompt", "implicit prompt"])
def test_dpo_on_plain_text(kind, tmp_path):
    from trl import DPOConfig, DPOTrainer

    rows = [{"prompt": f"tell me about {w}", "chosen": f": {w} is wet", "rejected": f", no {w} at all"} for w in WORDS]
    if kind == "implicit prompt":
        rows = [{k: r["prompt"] + r[k] for k in ("chosen", "rejected")} for r in rows]
    data, models = write(tmp_path / "p.jsonl", rows), {"model": model(seed=1), "ref_model": model(seed=1)}
    theirs = trl_losses(DPOTrainer, DPOConfig, data, tmp_path / "trl", models, beta=0.1)
    ours = our_losses("dpo", data, tmp_path, "--text", "plain")
    assert ours == pytest.approx(theirs, abs=2e-4) and ours[2] < 0.65


CHAT = [
    {
        "prompt": [turn("system", "be brief"), turn("user", f"hi {w}"), turn("assistant", "yes"), turn("user", "and?")],
        "chosen": [turn("assistant", f"{w} is wet")],
        "rejected": [turn("assistant", f"no {w} at all")],
    }
    for w in WORDS
]
COMPLETED = [{"prompt": r["prompt"], "completion": r["chosen"]} for r in CHAT]
FIRST = {  # our objective: TRL's trainer, its settings, rows, ours
    "simpo": ("trl.experimental.cpo:CPO", {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 1.0}, CHAT, ()),
    "orpo_trl": ("trl.experimental.orpo:ORPO", {"beta": 0.1}, CHAT, ()),
    "sft": ("trl:SFT", {"loss_type": "nll"}, COMPLETED, ()),
    "sft, plain": (
        "trl:SFT", {"loss_type": "nll"}, [{"prompt": f"about {w}", "completion": f" {w} is wet"} for w in WORDS], ("--text", "plain"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_first_loss(name, tmp_path):
    import importlib

    import torch
    from datasets import load_dataset

    where, options, rows, more = FIRST[name]
    module, _, prefix = where.partition(":")
    found = importlib.import_module(module)
    arguments = getattr(found, f"{prefix}Config")(
        output_dir=str(tmp_path / "trl"), max_length=None, bf16=False, use_cpu=True, report_to=[], per_device_train_batch_size=16,
        gradient_checkpointing=False, disable_tqdm=True, **options,
    )  # fmt: skip
    data = write(tmp_path / "d.jsonl", rows)
    trainer = getattr(found, f"{prefix}Trainer")(
        model=model(seed=1), args=arguments, train_dataset=load_dataset("json", data_files=str(data), split="train"),
        processing_class=byte_tokenizer(),
    )  # fmt: skip
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model.eval(), next(iter(trainer.get_train_dataloader()))).item()
    ours = our_losses(name.partition(",")[0], data, tmp_path, "--train.epochs", "1", *more)
    assert ours == [pytest.approx(theirs, abs=1e-5)]
