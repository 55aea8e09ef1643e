"""Every setting of `windvane train`, with the usual rate of each objective and its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from windvane.core.errors import UserError
from windvane.datasets.columns import mapping
from windvane.prompts.chat import System
from windvane.prompts.responses import Closing
from windvane.stages.rows import Rendering
from windvane.train.settings import Train

# Rates of full fine-tuning at about 7B; an adapter wants about ten times as much (TRL's documentation says so of each of its trainers).
RATES = {
    "sft": 2e-5,  # TRL's SFTConfig; the alignment handbook's zephyr-7b-sft-full
    "dpo": 5e-7,  # zephyr-7b-beta's card and the handbook's dpo-full
    "kto": 5e-7,  # the authors' released runs
    "orpo": 8e-6,  # the paper, Mistral
    "orpo_trl": 8e-6,
    "simpo": 8e-7,  # the released Mistral-7B-Instruct run used 5e-7, Llama-3's 1e-6
    "sppo": 5e-7,  # model cards
}


def usual_train(objective: str) -> Train:
    """AdamW, cosine to 0 with a tenth of warm-up, one epoch, 64 rows a step (the handbook's DPO recipe takes 128, SPPO 64)."""
    rate = RATES.get(objective, 5e-7)
    return Train(objective=objective, optimizer="adamw", lr=rate, schedule="cosine", warmup=0.1, batch=64)


LEFT_OPEN = usual_train("dpo")  # by identity: settings built without a `train` take the usual one of their objective


@dataclass(frozen=True, slots=True)
class Finetune:
    """Every setting."""

    # dpo, ipo, kto, orpo, simpo, sppo, sft, ... (docs/data_formats.md: which reads what), or your own as FILE.py, module or module:object
    objective: str
    model: str  # a folder or a hub id of a decoder, or a PEFT adapter, which is trained on
    data: str  # JSONL, JSON, CSV, TSV, Parquet, a data set's folder or hub id; or a folder of `windvane pair`
    columns: tuple[str, ...] = ()  # ROLE=COLUMN where names are not usual: prompt=frage chosen=gut
    # what a row is, where its columns leave it open
    layout: Literal["auto", "pairs", "groups", "labelled", "single"] = "auto"
    split: str | None = None  # of a data set with several
    # chat: through the model's template; plain: as it stands, BOS before and EOS behind (a base model)
    text: Literal["chat", "plain"] = "chat"
    system: System = "template"  # merge: the system message goes into the first user turn
    thinking: Literal["template", "on", "off"] = "template"  # sets the template's enable_thinking
    learn: Literal["all", "last"] = "all"  # of a chat's assistant turns; the user's are never learnt
    # an answer ends with its stop token; template: what the template writes behind it is learnt too, as by TRL
    closing: Closing = "stop"
    append_eos: bool = False  # where the template ends an answer without one
    # of scored groups, for a loss that reads groups or labelled answers
    answers: Literal["best-worst", "all"] = "best-worst"
    score_scale: float | None = None  # None: by the order of scores, 1, 1/2 or 0; s: sigmoid((a - b)/s)
    max_length: int | None = None  # tokens of prompt and answer; None: the model's window
    stack: bool = False  # the model's own adapter stays as it is, and a fresh one is trained on top (train.lora_rank)
    # rows that cannot be read or do not fit: stop, naming the first; or leave them out, each with its reason in refused.jsonl
    refused: Literal["stop", "leave-out"] = "stop"
    seed: int = 42
    train: Train = LEFT_OPEN  # left out: the usual rate of the objective, AdamW, cosine, one epoch (`usual_train`)
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    threads: int | None = None  # CPU threads; None: what PyTorch takes here. Written down, and kept on resume

    def __post_init__(self) -> None:
        if self.train is LEFT_OPEN:
            object.__setattr__(self, "train", usual_train(self.objective))
        for name in ("max_length", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}: {value}; must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed}; must be 0 or more")
        if self.score_scale is not None and not self.score_scale > 0:
            raise UserError(f"score_scale: {self.score_scale}; must be above 0")
        mapping(self.columns)
        if self.stack and not self.train.lora_rank:
            raise UserError("stack: what is stacked is a fresh adapter; give --train.lora-rank 16, say")

    @property
    def rendering(self) -> Rendering:
        return Rendering(
            self.text, self.system, self.learn, self.closing, self.append_eos, self.score_scale, self.max_length
        )
