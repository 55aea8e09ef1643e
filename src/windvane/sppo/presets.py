"""Named settings of SPPO, each with its source: `--preset NAME`, more than one allowed, a later one going over an earlier one.

A value is a setting's dotted name and what it becomes; everything else stays the recipe's default, which is the paper's. A preset of a
model names the model, UltraFeedback's three portions and PairRM, so that `windvane run sppo --preset mistral-7b --out RUN` is a whole
run; any flag goes over it. What a run resolved to is in its recipe.toml.
"""

from __future__ import annotations

from typing import Any

from windvane.datasets.prompt_splits import ULTRAFEEDBACK
from windvane.runs.launch import Preset

PAPER_SAMPLING = {"sampling.temperature": 1.0, "sampling.top_p": 1.0}  # section 5.1
RELEASED_SAMPLING = {"sampling.temperature": 0.7, "sampling.top_p": 0.9}  # scripts/generate.py
SCHEDULE_18 = {"train.epochs": 1, "train.schedule_epochs": 18}  # section 5.1; scripts/pipeline.sh's default
SCHEDULE_6 = {
    "train.epochs": 1,
    "train.schedule_epochs": 6,
}  # the cards of Llama-3-Instruct-8B-SPPO: 6 epochs, stopped at 1.0
SCHEDULE_1 = {"train.epochs": 1, "train.schedule_epochs": None}  # run_sppo_*.sh: --num 1
PORTIONS = {"prompts": ULTRAFEEDBACK, "prompt_column": "prompt", "prompt_split": "train", "iterations": 3}
LARGE: dict[str, Any] = {  # what all published runs share
    **PORTIONS,
    "judge": "pairrm:llm-blender/PairRM-hf",  # section 5.1: PairRM, here in its plain Hugging Face form
    "train.precision": "bfloat16",  # released recipe: bf16
    "train.gradient_checkpointing": True,  # released recipe: non-reentrant checkpointing
}

PRESETS = {
    "sampling-paper": Preset("temperature 1, top-p 1 (section 5.1; the default)", PAPER_SAMPLING),
    "sampling-released": Preset("temperature 0.7, top-p 0.9 (scripts/generate.py)", RELEASED_SAMPLING),
    "schedule-18": Preset("one epoch of a schedule of 18 (section 5.1; the default)", SCHEDULE_18),
    "schedule-6": Preset("one epoch of a schedule of 6 (Llama-3 cards)", SCHEDULE_6),
    "schedule-1": Preset("a schedule of one epoch, decayed to 0 (run_sppo_*.sh: --num 1)", SCHEDULE_1),
    "released": Preset(
        "what the released scripts do: their sampling, schedule and probability estimate",
        {**RELEASED_SAMPLING, **SCHEDULE_1, "estimate": "released"},
    ),
    "ultrafeedback": Preset("UltraFeedback's three portions, one an iteration (released scripts)", PORTIONS),
    "mistral-7b": Preset(
        "Mistral-7B-Instruct-v0.2 as in section 5.1",
        {**LARGE, **PAPER_SAMPLING, **SCHEDULE_18, "model": "mistralai/Mistral-7B-Instruct-v0.2"},
    ),
    "llama-3-8b": Preset(
        "Llama-3-8B-Instruct: its cards' schedule of 6, the paper's sampling",
        {**LARGE, **PAPER_SAMPLING, **SCHEDULE_6, "model": "meta-llama/Meta-Llama-3-8B-Instruct"},
    ),
    "gemma-2-9b": Preset(
        "Gemma-2-9B-It: not in the paper; the released script's sampling, schedule and estimate",
        {
            **LARGE,
            **RELEASED_SAMPLING,
            **SCHEDULE_1,
            "estimate": "released",
            "model": "google/gemma-2-9b-it",
            "system": "merge",  # ours: its template refuses a system message (these prompts have none)
        },
    ),
    "llama-3.1-8b": Preset(
        "Llama-3.1-8B-Instruct: OURS, unpublished and not measured; Llama-3's settings",
        {**LARGE, **PAPER_SAMPLING, **SCHEDULE_6, "model": "meta-llama/Llama-3.1-8B-Instruct"},
    ),
    "qwen3-8b": Preset(
        "Qwen3-8B: OURS, unpublished and not measured; it thinks aloud, hence 8192 new tokens, of which PairRM reads about the first "
        "1,000: name a --judge with a longer window",
        {
            **LARGE,
            **PAPER_SAMPLING,
            **SCHEDULE_6,
            "model": "Qwen/Qwen3-8B",
            "sampling.max_new_tokens": 8192,
            "evaluate.max_new_tokens": 8192,
        },
    ),
}
