"""How the paper trains each of its models on the collection, as settings of our loops, each number with its source.

From the released configurations (train/axolotl/config, train/openrlhf; arXiv 2405.17977): AdamW, cosine schedule, 10 steps of warm-up,
weight decay 0, bf16, gradient checkpointing, full fine-tuning on four GPUs. Departures: AdamW keeps its states in float32 where theirs has
8 bits; a batch is counted in examples where theirs holds 32 packed rows of 8,192 tokens (about 8.2 examples each: 196,998 examples make
24,032 rows); warm-up is a fraction of the steps that the published data make; one chat template for all models, where the released DPO
and ORPO models were trained with ChatML and asked with another. Everything not named is the loop's default, or not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from windvane.train.settings import RewardTrain, Train

BASE = "mistral-community/Mistral-7B-v0.2"
GENERAL_PAIRS = 66_000  # released script, stage 2
PACKED = 262  # 32 rows of 8,192 tokens x 196,998 / 24,032 examples a row
SFT_STEPS, STAR_STEPS, DPO_STEPS, ORPO_STEPS = (
    3004,
    1004,
    8144,
    8082,
)  # checkpoints' names; derived for Janus*, DPO (2 x 4072) and ORPO


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """`start`: a hub id or another preset's name; `data`: the file under RUN/sets; `longest`: tokens of prompt and answer."""

    told: str
    start: str
    data: str
    longest: int
    train: Train


def _train(objective: str, lr: float, epochs: int, batch: int, steps: int, **args: float) -> Train:
    return Train(
        objective=objective,
        objective_args=args,
        optimizer="adamw",
        lr=lr,
        weight_decay=0.0,
        schedule="cosine",
        warmup=10 / steps,  # warmup_steps: 10
        epochs=epochs,
        batch=batch,
        held_out=0.0,  # test instructions are in files of their own
        keep="last",
        precision="bfloat16",
        gradient_checkpointing=True,
    )


MODELS = {
    "janus": ModelPreset(
        "Janus 7B: SFT on every system message (janus-7b-196k.yaml)",
        BASE,
        "sft.jsonl",
        8192,
        _train("sft", 5e-6, 4, PACKED, SFT_STEPS),
    ),
    "janus-1-epoch": ModelPreset(
        "where the reward model starts (janus-7b-196k-epoch1.yaml)",
        BASE,
        "sft.jsonl",
        8192,
        _train("sft", 5e-6, 1, PACKED, SFT_STEPS // 4),
    ),
    "janus-star": ModelPreset(
        "Janus* 7B: SFT on one system message an instruction (janus-7b-65k.yaml)",
        BASE,
        "sft-one.jsonl",
        8192,
        _train("sft", 5e-6, 4, PACKED, STAR_STEPS),
    ),
    "janus-dpo": ModelPreset(
        "Janus+DPO 7B: from Janus* (janus-7b-dpo.yml); beta 0.1 is axolotl's default",
        "janus-star",
        "pairs.jsonl",
        2048,
        _train("dpo", 5e-7, 2, 16, DPO_STEPS, beta=0.1),
    ),
    "janus-orpo": ModelPreset(
        "Janus+ORPO 7B: from the base model (janus-7b-orpo.yml), alpha 0.1",
        BASE,
        "pairs.jsonl",
        4096,
        _train("orpo", 5e-6, 2, 16, ORPO_STEPS, lam=0.1),
    ),
}


# both stages of the reward model: one epoch, 9e-6, 128 pairs a step, cosine with 3% warm-up, gradient norm 1 (released OpenRLHF script).
# Stage 1 is Janus after one epoch on RUN/sets/rm.jsonl; stage 2 goes on with hh-rlhf, oasst1 and webgpt, drawn 0.72 / 0.14 / 0.14 up to
# `GENERAL_PAIRS` pairs. Departures: text of all three goes through the one template; webgpt's ties must be left out of its file.
REWARD = RewardTrain(
    lr=9e-6,
    schedule="cosine",
    warmup=0.03,
    epochs=1,
    batch=128,
    clip=1.0,
    keep="last",
    precision="bfloat16",
    gradient_checkpointing=True,
)
