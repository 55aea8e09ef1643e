"""Configs of TRL and LLaMA-Factory: every key carried over, known to change nothing, or listed."""

import json

import pytest
import yaml

from tests.recipes.own_data import pairs
from tests.tiny import folder
from windvane.errors import UserError
from windvane.recipes.import_config import import_config, main
from windvane.recipes.own import Own
from windvane.recipes.own import main as train
from windvane.settings import from_toml

FACTORY = {  # LLaMA-Factory's example of DPO by LoRA
    "model_name_or_path": "meta-llama/Meta-Llama-3-8B-Instruct", "trust_remote_code": True, "stage": "dpo", "do_train": True,
    "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "pref_beta": 0.1, "pref_loss": "sigmoid", "dataset": "dpo_en_demo",
    "template": "llama3", "cutoff_len": 2048, "max_samples": 1000, "overwrite_cache": True, "preprocessing_num_workers": 16,
    "output_dir": "saves/x", "logging_steps": 10, "save_steps": 500, "plot_loss": True, "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8, "learning_rate": 5.0e-6, "num_train_epochs": 3.0, "lr_scheduler_type": "cosine", "warmup_ratio": 0.1,
    "bf16": True, "ddp_timeout": 180000000, "resume_from_checkpoint": None,
}  # fmt: skip
TRL = {
    "model_name_or_path": "Qwen/Qwen2.5-0.5B-Instruct", "dataset_name": "trl-lib/ultrafeedback_binarized", "learning_rate": "5e-7",
    "beta": 0.2, "loss_type": "sigmoid", "label_smoothing": 0.1, "use_peft": True, "lora_r": 32, "lora_target_modules": ["q_proj"],
    "load_in_4bit": True, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, "warmup_steps": 0.2, "eval_strategy": "steps",
    "max_steps": 400, "rpo_alpha": 1.0, "optim": "lion_32bit", "lr_scheduler_type": "polynomial",
}  # fmt: skip


def config(path, table):
    path.write_text(yaml.safe_dump(table) if path.suffix == ".yaml" else json.dumps(table))
    return path


def every_key(table, found):
    carried = {line.split(" = ")[0] for line in found.carried}
    listed = carried | set(found.silent) | set(found.lost)
    # keys that are one setting together, or that say what the default says
    told = {"gradient_accumulation_steps", "use_peft", "stage", "finetuning_type"}
    return set(table) - listed - told


def test_llama_factory(tmp_path):
    found = import_config(config(tmp_path / "f.yaml", FACTORY), data="p.jsonl", processes=2)
    s, t = found.settings, found.settings.train
    assert (s.objective, s.model, s.data, s.max_length) == (
        "dpo",
        "meta-llama/Meta-Llama-3-8B-Instruct",
        "p.jsonl",
        2048,
    )
    assert (t.lr, t.epochs, t.batch, t.schedule, t.warmup, t.precision) == (5e-6, 3, 16, "cosine", 0.1, "bfloat16")
    assert (t.lora_rank, t.lora_alpha, t.lora_dropout, t.objective_args) == (8, 16, 0.0, {"beta": 0.1}), (
        "alpha: twice the rank"
    )
    assert set(found.lost) == {"trust_remote_code", "template", "max_samples"}
    assert every_key(FACTORY, found) == set()
    named = import_config(tmp_path / "f.yaml")
    assert "a name in LLaMA-Factory's dataset_info.json; give the file itself: --data FILE" in named.lost["dataset"]


def test_trl(tmp_path):
    found = import_config(config(tmp_path / "t.json", TRL))
    s, t = found.settings, found.settings.train
    assert (s.objective, s.data, s.closing, s.max_length) == (
        "dpo",
        "trl-lib/ultrafeedback_binarized",
        "template",
        1024,
    )
    assert (t.lr, t.epochs, t.batch, t.warmup, t.quantize) == (5e-7, 3, 16, 0.2, "nf4")
    assert (t.lora_rank, t.lora_alpha, t.lora_dropout) == (32, 32, 0.05), (
        "TRL's own defaults where the file says nothing"
    )
    assert t.objective_args == {"beta": 0.2, "label_smoothing": 0.1}
    assert set(found.lost) == {"max_steps", "rpo_alpha", "optim", "lr_scheduler_type", "lora_target_modules"}
    assert found.lost["rpo_alpha"] == "not understood" and found.silent == ["eval_strategy"]
    assert every_key(TRL, found) == set()


@pytest.mark.parametrize(
    ("changes", "objective", "arguments"),
    [
        ({"pref_loss": "simpo", "pref_beta": 2.0, "simpo_gamma": 1.5}, "simpo", {"beta": 2.0, "gamma": 1.5}),
        ({"pref_loss": "orpo", "pref_beta": 0.2}, "orpo", {"lam": 0.2}),
        # its trainer divides by the lengths, so it is not the paper's
        ({"pref_loss": "ipo", "pref_beta": 0.2}, "ipo_mean", {"beta": 0.2}),
        ({"stage": "kto", "kto_chosen_weight": 2.0}, "kto", {"beta": 0.1, "desirable": 2.0}),
        ({"stage": "sft"}, "sft", {}),
    ],
)
def test_other_objectives_of_llama_factory(changes, objective, arguments, tmp_path):
    found = import_config(config(tmp_path / "f.yaml", FACTORY | changes))
    assert (found.settings.objective, found.settings.train.objective_args) == (objective, arguments)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "expected a table of settings"),
        ("a: [\n", "not valid YAML"),
        ("base_model: x\nrl: dpo\n", "neither TRL's nor LLaMA-Factory's"),
        ("stage: ppo\n", "stage ppo has no counterpart here; there are dpo"),
        ("stage: dpo\npref_loss: hinge\n", "pref_loss hinge has no counterpart here"),
        ("stage: dpo\nlearning_rate: fast\n", "field 'learning_rate': expected a number, got 'fast'"),
    ],
)
def test_what_cannot_be_imported(text, line, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"{path}: .*{line}"):
        import_config(path)


def test_the_recipe_trains(tmp_path, capsys):
    data, base = pairs(tmp_path / "p.jsonl"), folder(tmp_path / "base", seed=1)
    table = {"model_name_or_path": str(base), "learning_rate": 1e-3, "beta": 0.3, "num_train_epochs": 1, "odd": 1}
    table |= {"bf16": False, "gradient_checkpointing": False, "max_length": 200}
    out = tmp_path / "recipe.toml"
    assert main([str(config(tmp_path / "t.yaml", table)), "--out", str(out), "--data", str(data)]) == 0
    page = capsys.readouterr().out
    assert (
        "NOT carried over:\n  odd: not understood" in page
        and f"(next: windvane train --recipe {out} --out RUN)" in page
    )
    assert from_toml(Own, out).train.objective_args == {"beta": 0.3}
    assert train(["--recipe", str(out), "--out", str(tmp_path / "run"), "--quiet", "--device", "cpu"]) == 0
    assert "12 rows, 0 refused, 2 steps of dpo" in capsys.readouterr().out
    with pytest.raises(UserError, match="is there already; name a new file"):
        main([str(tmp_path / "t.yaml"), "--out", str(out)])


BARE = {"model_name_or_path": "m", "dataset_name": "d", "gradient_checkpointing": True}


def test_a_trl_config_that_any_trainer_would_take_is_not_guessed_at(tmp_path):
    path = config(tmp_path / "c.yaml", BARE)
    with pytest.raises(UserError, match=r"say which it is for: --trainer dpo \| sft \| kto \| cpo \| orpo"):
        import_config(path)
    found = import_config(path, trainer="sft")
    assert (found.settings.objective, found.settings.train.lr) == ("sft", 2e-5), "SFTConfig's own default"
    assert "learns the user's turns too" in found.lost["assistant_only_loss"]
    assert import_config(path, trainer="dpo").settings.train.lr == 1e-6


@pytest.mark.parametrize(
    ("keys", "objective", "arguments"),
    [
        ({"packing": True}, "sft", {}),
        ({"assistant_only_loss": True}, "sft", {}),
        ({"loss_type": "nll"}, "sft", {}),
        ({"undesirable_weight": 1.5}, "kto", {"beta": 0.1, "undesirable": 1.5}),
        ({"loss_type": "kto"}, "kto", {"beta": 0.1}),
        ({"loss_type": ["ipo"], "beta": 0.3}, "ipo_mean", {"beta": 0.3}),
        ({"loss_type": "sppo_hard", "beta": 0.01}, "sppo_hard", {"beta": 0.01}),
        (
            {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
            "simpo",
            {"beta": 2.0, "gamma": 1.0},
        ),
    ],
)
def test_what_a_trl_config_says_of_its_trainer(keys, objective, arguments, tmp_path):
    found = import_config(config(tmp_path / "c.yaml", BARE | keys))
    assert (found.settings.objective, found.settings.train.objective_args) == (objective, arguments)
    assert every_key(BARE | keys, found) <= {"assistant_only_loss", "cpo_alpha"}
    assert ("assistant_only_loss" in found.lost) == (objective == "sft" and "assistant_only_loss" not in keys)


def test_trls_own_defaults():
    """As TRL itself has them."""
    trl = pytest.importorskip("trl")
    import dataclasses

    from windvane.recipes.import_keys import FRAMEWORKS, USUAL

    defaults = next(f.defaults for f in FRAMEWORKS if f.name == "TRL")
    for name, of in (("dpo", trl.DPOConfig), ("sft", trl.SFTConfig), ("kto", trl.KTOConfig)):
        theirs = {f.name: f.default for f in dataclasses.fields(of)} | {
            f.name: f.default for f in dataclasses.fields(trl.ModelConfig)
        }
        ours = {**defaults, **USUAL.get(name, {}), "bf16": None, "warmup_ratio": None}
        for key in ours.keys() & theirs.keys():
            if key not in ("warmup_ratio", "bf16") and not (name == "sft" and key == "beta"):
                assert theirs[key] == ours[key], (name, key)


def test_simpo_with_cpos_nll_and_what_no_longer_passes_in_silence(tmp_path):
    keys = {
        "loss_type": "simpo",
        "model_revision": "step-100",
        "max_length": None,
        "bnb_4bit_quant_type": "fp4",
        "tokenizer_name_or_path": "t",
    }
    found = import_config(config(tmp_path / "c.yaml", BARE | keys))
    assert "1: an NLL term beside the loss" in found.lost["cpo_alpha"]
    assert {"model_revision", "bnb_4bit_quant_type", "tokenizer_name_or_path"} <= found.lost.keys()
    assert found.settings.max_length is None, "null is no limit, not TRL's default"
    plain = import_config(config(tmp_path / "d.yaml", BARE | {"beta": 0.2}), trainer="orpo")
    assert (plain.settings.objective, plain.settings.train.objective_args) == ("orpo_trl", {"lam": 0.2})
    with pytest.raises(UserError, match="trainer cpo with loss_type sigmoid has no counterpart here"):
        import_config(tmp_path / "d.yaml", trainer="cpo")


def test_only_the_last_answer_of_a_chat(tmp_path):
    found = import_config(config(tmp_path / "f.yaml", FACTORY | {"stage": "sft", "mask_history": True}))
    assert found.settings.learn == "last"
