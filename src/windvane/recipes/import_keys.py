"""What the keys of TRL's and LLaMA-Factory's configs mean here, and what each leaves to its default.

In: a translation under way (`import_config`). Out: its settings. Defaults are TRL 1.16's and those of LLaMA-Factory's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from windvane.errors import UserError

# keys that change nothing that is learnt here; one that ends in _ is a prefix
SILENT = (
    "output_dir",
    "overwrite_output_dir",
    "run_name",
    "report_to",
    "logging_",
    "log_",
    "save_",
    "eval_",
    "evaluation_",
    "do_",
    "plot_loss",
    "push_to_hub",
    "hub_",
    "dataloader_",
    "preprocessing_",
    "dataset_num_proc",
    "overwrite_cache",
    "disable_tqdm",
    "ddp_",
    "resume_from_checkpoint",
    "attn_implementation",
    "flash_attn",
    "use_cache",
    "remove_unused_columns",
    "include_",
    "save_only_model",
    "gradient_checkpointing_kwargs",
    "per_device_eval_batch_size",
    "load_best_model_at_end",
    "metric_for_best_model",
    "project",
    "trackio_",
    "precompute_ref_",
    "use_liger_kernel",
    "enable_liger_kernel",
    "deepspeed",
    "fsdp",
    "fsdp_",
    "use_unsloth",
    "torch_compile",
    "tf32",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
    "use_bnb_nested_quant",
    "quantization_method",
    "upcast_layernorm",
    "dataset_dir",
    "cache_dir",
    "tokenized_path",
    "ray_",
    "padding_free",
    "local_rank",
    "average_tokens_across_devices",
    "activation_offloading",
    "use_fast_tokenizer",
    "data_seed",
    "dataset_test_split",
)
TRL_LOSSES = {"sigmoid": "dpo", "ipo": "ipo_mean", "sppo_hard": "sppo_hard"}
# LLaMA-Factory divides IPO's log-probs by their lengths (CustomDPOTrainer.concatenated_forward), as TRL does
FACTORY_LOSSES = {"sigmoid": "dpo", "orpo": "orpo", "simpo": "simpo", "ipo": "ipo_mean", "hinge": "", "kto_pair": ""}
TRAINERS = ("dpo", "sft", "kto", "cpo", "orpo")
SAYS = {  # a key that only one of TRL's trainers has
    "sft": (
        "assistant_only_loss", "completion_only_loss", "dataset_text_field", "packing", "packing_strategy", "eval_packing",
        "chat_template_path",        "neftune_noise_alpha", "eos_token", "dataset_kwargs",
    ),
    "kto": ("desirable_weight", "undesirable_weight"),
    "cpo": ("cpo_alpha", "simpo_gamma"),
    "dpo": ("beta", "ref_model_mixup_alpha", "sync_ref_model", "f_divergence_type", "rpo_alpha", "label_smoothing", "use_weighting"),
}  # fmt: skip
USUAL = {
    "sft": {"learning_rate": 2e-5},
    "cpo": {"beta": 0.1, "simpo_gamma": 0.5, "cpo_alpha": 1.0},
}  # where they differ from DPO's


@dataclass(frozen=True, slots=True)
class Framework:
    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    defaults: Mapping[str, Any]
    translate: Callable[[Any], None]


def _lora(t: Any, rank_key: str, alpha_key: str, dropout_key: str, targets_key: str, alpha: int) -> None:
    t.carry(rank_key, "train.lora_rank", t.number(rank_key, int))
    t.carry(alpha_key, "train.lora_alpha", t.number(alpha_key, int) or alpha)
    t.carry(dropout_key, "train.lora_dropout", t.number(dropout_key))
    targets = t.value(targets_key)
    if targets not in (None, "all", "all-linear"):
        t.lose(targets_key, f"{targets}: ours adapts every linear layer but the head")
    elif targets_key in t.config:
        t.told.carried.append(f"{targets_key} = {targets!r} -> every linear layer but the head, as always")
    if t.value("use_dora") or t.value("use_rslora"):
        t.lose("use_dora", "no counterpart")
        t.lose("use_rslora", "no counterpart")


def trainer_of(config: Mapping[str, Any], given: str | None, path: Any) -> str:
    """Which of TRL's trainers a config is for: as the user says, else by what only one has."""
    loss = config.get("loss_type")
    told = loss[0] if isinstance(loss, list) and loss else loss
    of_loss = {
        "kto": "kto",
        "apo_zero_unpaired": "kto",
        "nll": "sft",
        "dft": "sft",
        "chunked_nll": "sft",
        "simpo": "cpo",
    }
    if given is None and told is not None:
        return of_loss.get(str(told), "dpo")
    found = given or next((name for name, keys in SAYS.items() if any(k in config for k in keys)), None)
    if found is None:
        raise UserError(
            f"{path}: a config of TRL's that any of its trainers would take; say which it is for: --trainer {' | '.join(TRAINERS)}"
        )
    return found


def _trl(t: Any) -> None:
    trainer = trainer_of(t.config, t.trainer, t.path)
    t.usual = USUAL.get(trainer, {})
    loss = t.value("loss_type")
    loss = loss[0] if isinstance(loss, list) and len(loss) == 1 else loss
    known = {"dpo": TRL_LOSSES, "cpo": {"simpo": "simpo"}, "orpo": {}, "kto": {"kto": "kto"}, "sft": {"nll": "sft"}}[
        trainer
    ]
    start = {"dpo": "dpo", "cpo": "", "orpo": "orpo_trl", "kto": "kto", "sft": "sft"}[trainer]
    objective = known.get(loss, start) if isinstance(loss, str) else start
    if not objective:
        raise UserError(
            f"{t.path}: trainer cpo with loss_type {loss or 'sigmoid'} has no counterpart here; there is simpo"
        )
    if isinstance(loss, list):
        t.lose("loss_type", f"{loss}: several losses at once have no counterpart; {objective} was taken")
    elif loss is not None and loss not in known:
        t.lose("loss_type", f"{loss}: no such objective here; {objective} was taken")
    t.carry("loss_type", "objective", objective)
    if objective == "orpo_trl":
        t.carry("beta", "objective_args.lam", t.number("beta"))
    elif objective != "sft":
        t.carry("beta", "objective_args.beta", t.number("beta"))
    if objective == "simpo":
        t.carry("simpo_gamma", "objective_args.gamma", t.number("simpo_gamma"))
        if alpha := t.number("cpo_alpha"):
            t.told.lost["cpo_alpha"] = (
                f"{alpha:g}: an NLL term beside the loss has no counterpart here (SimPO's authors set 0)"
            )
    if objective == "sft":
        if not t.value("assistant_only_loss"):
            t.told.lost["assistant_only_loss"] = (
                "false: TRL then learns the user's turns too; here the assistant's alone"
            )
        if t.value("completion_only_loss") is False:
            t.lose("completion_only_loss", "false: prompts are never learnt here")
    smoothing = t.number("label_smoothing")
    if smoothing:
        t.carry("label_smoothing", "objective_args.label_smoothing", smoothing)
    for key, ours in (("desirable_weight", "desirable"), ("undesirable_weight", "undesirable")):
        if key in t.config:
            t.carry(key, f"objective_args.{ours}", t.number(key))
    if (name := t.value("dataset_name")) is not None:
        t.carry("dataset_name", "data", str(name))
        if (split := t.value("dataset_train_split")) is not None:
            t.carry("dataset_train_split", "split", str(split))
    unbounded = "max_length" in t.config and t.config["max_length"] is None
    if (length := t.number("max_length", int)) is not None and not unbounded:
        t.carry("max_length", "max_length", length, " (a longer row is refused, not cut)")
    t.value("truncation_mode")
    t.carry("closing", "closing", "template")  # TRL learns what the template writes behind the stop token
    if t.value("use_peft") or "lora_r" in t.config:
        t.value("use_peft")
        _lora(t, "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", 32)
    if t.value("load_in_4bit"):
        t.carry("load_in_4bit", "train.quantize", "nf4")
    if (kind := t.value("bnb_4bit_quant_type")) not in (None, "nf4"):
        t.lose("bnb_4bit_quant_type", f"{kind}: ours is nf4")
    if (revision := t.value("model_revision")) not in (None, "main"):
        t.lose("model_revision", f"{revision}: download that revision and name its folder as the model")
    if t.value("load_in_8bit"):
        t.lose("load_in_8bit", "ours stores a frozen base in 4 bits (nf4) or not at all")
    if t.value("trust_remote_code"):
        t.lose("trust_remote_code", "code that comes with a model is never run here")
    t.value("disable_dropout")


def _factory(t: Any) -> None:
    stage, loss = str(t.value("stage", "sft")), str(t.value("pref_loss", "sigmoid"))
    objective = {"dpo": FACTORY_LOSSES.get(loss, ""), "kto": "kto", "sft": "sft"}.get(stage, "")
    if not objective:
        told = f"pref_loss {loss}" if stage == "dpo" else f"stage {stage}"
        raise UserError(
            f"{t.path}: {told} has no counterpart here; there are dpo (sigmoid, orpo, simpo, ipo), kto and sft"
        )
    t.carry("pref_loss" if stage == "dpo" and "pref_loss" in t.config else "stage", "objective", objective)
    if stage != "sft":
        t.carry(
            "pref_beta", "objective_args.lam" if objective == "orpo" else "objective_args.beta", t.number("pref_beta")
        )
    if objective == "simpo":
        t.carry("simpo_gamma", "objective_args.gamma", t.number("simpo_gamma"))
    if t.number("dpo_label_smoothing"):
        t.carry("dpo_label_smoothing", "objective_args.label_smoothing", float(t.config["dpo_label_smoothing"]))
    if t.number("pref_ftx"):
        t.lose("pref_ftx", "an SFT term beside the preference loss has no counterpart here")
    for key, ours in (("kto_chosen_weight", "desirable"), ("kto_rejected_weight", "undesirable")):
        if key in t.config:
            t.carry(key, f"objective_args.{ours}", t.number(key))
    kind = str(t.value("finetuning_type", "lora"))
    if kind == "lora":
        _lora(t, "lora_rank", "lora_alpha", "lora_dropout", "lora_target", 2 * int(t.config.get("lora_rank", 8)))
    elif kind != "full":
        t.lose("finetuning_type", f"{kind}: ours are lora and full; full was taken")
    if (bits := t.number("quantization_bit", int)) == 4:
        t.carry("quantization_bit", "train.quantize", "nf4")
    elif bits:
        t.lose("quantization_bit", f"{bits}: ours stores a frozen base in 4 bits (nf4) or not at all")
    if (names := t.value("dataset")) is not None and t.data is None:
        t.lose("dataset", f"{names}: a name in LLaMA-Factory's dataset_info.json; give the file itself: --data FILE")
    elif names is not None:
        t.told.carried.append(f"dataset = {names!r} -> data = {t.data!r}")
    if (length := t.number("cutoff_len", int)) is not None:
        t.carry("cutoff_len", "max_length", length, " (a longer row is refused, not cut)")
    if (share := t.number("val_size")) is not None and share < 1:
        t.carry("val_size", "train.held_out", share)
    elif share:
        t.lose("val_size", f"{share:g} rows: ours is a fraction (train.held_out)")
    if (template := t.value("template")) is not None:
        t.lose("template", f"{template}: the model's own chat template is used; windvane inspect M says what it does")
    if (adapter := t.value("adapter_name_or_path")) is not None:
        t.lose("adapter_name_or_path", f"{adapter}: name the adapter itself as the model to train it on")
    if t.value("max_samples") is not None:
        t.lose("max_samples", f"{t.config['max_samples']}: shorten the file")
    if t.value("mask_history"):
        t.carry("mask_history", "learn", "last")
    if t.value("train_on_prompt"):
        t.lose("train_on_prompt", "the user's turns are never learnt here")
    if t.value("trust_remote_code"):
        t.lose("trust_remote_code", "code that comes with a model is never run here")


TRAINER = {
    "per_device_train_batch_size": 8,
    "num_train_epochs": 3,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.0,
}
FRAMEWORKS = (
    Framework(
        "LLaMA-Factory",
        lambda c: "stage" in c or "finetuning_type" in c or "pref_beta" in c,
        {**TRAINER, "learning_rate": 5e-5, "pref_beta": 0.1, "simpo_gamma": 0.5, "lora_rank": 8, "lora_dropout": 0.0, "cutoff_len": 2048},
        _factory,
    ),
    Framework(
        "TRL",
        lambda c: "model_name_or_path" in c and "dataset" not in c,
        {
            **TRAINER, "learning_rate": 1e-6, "beta": 0.1, "max_length": 1024, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05,
            "gradient_checkpointing": True, "bf16": True,
        },
        _trl,
    ),
)  # fmt: skip
