"""EvalYaks, its training (arXiv 2408.12226, section 5): one LoRA adapter a part of a speaking test, one for words, one for sentences.

In: an instruct model, graded transcripts, perhaps word and sentence lists with CEFR levels. Out: a run folder: RUN/adapters/NAME/model for
each adapter (PEFT), the held-out conversations' bands by the base and by the adapters, evaluations beside constants, length and the
weight-free scorer, a report. Splits keep a conversation and its near-duplicates together; held-out rows are never trained on.

The paper's settings are the defaults, each with its source below. Not stated there and chosen here, each said beside it: batch, warm-up,
target modules (all linear layers), no cut of long rows (they are refused by name), loss on the answer alone, one run. Its answers are
Python dicts, here JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from windvane.core.errors import UserError
from windvane.evalyaks.prompts.scoring import FORMS
from windvane.evalyaks.stages import SpeechFlow
from windvane.runs.launch import launch
from windvane.train.settings import Train

TOYS = ("toy:grades", "world:grades")  # two spellings of the same toy model


def paper_train() -> Train:
    """Section 5, of three pairs of rank and alpha the best; what is not stated says so."""
    return Train(
        objective="sft",  # cross-entropy of the answer's tokens, the prompt masked (not stated)
        optimizer="adamw",
        lr=2e-4,
        weight_decay=0.001,
        schedule="cosine",
        warmup=0.03,  # not stated
        epochs=5,
        batch=16,  # not stated
        clip=1.0,  # not stated
        held_out=0.0,  # whole conversations are held out below
        keep="last",  # not stated
        precision="bfloat16",
        lora_rank=256,
        lora_alpha=128,
        lora_dropout=0.1,
    )


# --help shows the comment beside a field or above it; a field without one would be told its neighbour's.
@dataclass(frozen=True, slots=True)
class EvalYaks:
    """Every setting of a run."""

    model: str  # a folder or a hub id of an instruct model
    # graded transcripts: CSV, JSONL, JSON, Parquet, text (windvane data transcripts reads the same), world:grades:train:SEED
    data: tuple[str, ...]
    # graded transcripts of another source, to test on beside the held-out conversations of `data`
    test: tuple[str, ...] = ()
    words: str | None = None  # a list with columns word and level, for the vocabulary adapter; world:grades
    sentences: str | None = None  # a list with columns sentence and level, for the sentence adapter; world:grades
    # separate: an adapter a part (paper, the best); merged: one adapter for all; full: all weights trained, on all
    arm: Literal["separate", "merged", "full"] = "separate"
    # the instruction sets of a conversation (section 4.2): steps; descriptors (what bands mean); example (of an answer); compact (for toys)
    forms: tuple[str, ...] = ("steps", "descriptors", "example")
    score_form: str = "steps"  # the form that the evaluation asks in
    held_out: float = 0.1  # share of each part's conversations, with their near-duplicates, that is tested on
    resamples: int = 2000  # of the candidates, for the intervals
    seed: int = 42
    train: Train = field(default_factory=paper_train)
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    threads: int | None = None  # CPU threads; None: what PyTorch takes here. Written down, and kept on resume

    def __post_init__(self) -> None:
        for form in (*self.forms, self.score_form):
            if form not in FORMS:
                raise UserError(f"forms: {form} is not known; there are: {', '.join(FORMS)}")
        if not self.data or not self.forms:
            raise UserError("data, forms: name at least one each")
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out: {self.held_out}; must be above 0 and below 1")
        if self.resamples < 1 or self.seed < 0:
            raise UserError(f"resamples {self.resamples}, seed {self.seed}: at least 1, and 0 or more")
        if (self.arm == "full") != (self.train.lora_rank == 0):
            raise UserError(
                f"arm {self.arm} with train.lora_rank {self.train.lora_rank}: full trains all weights (rank 0), the others an adapter"
            )


def run(settings: EvalYaks, out: str, quiet: bool = False) -> None:
    """Resumable: every call below is skipped when its files stand."""
    with SpeechFlow(settings, out, quiet) as flow:
        flow.gather()
        for name in flow.names:
            flow.train(name)
        flow.score("base")
        flow.score("trained")
        flow.evaluate()
        flow.report()


def toy_recipe(model: str = "toy:grades") -> EvalYaks:
    """Settings for the toy world, whose model is 64 wide; `model` is either of its spellings.

    Only the loss, the schedule, the epochs and the weight decay are the paper's.
    """
    return EvalYaks(
        model=model,
        data=(f"{model}:train:0",),
        test=(f"{model}:test:0",),
        words=model,
        sentences=model,
        forms=("compact",),
        score_form="compact",
        train=replace(paper_train(), lr=3e-3, precision="float32", lora_rank=16, lora_alpha=32, lora_dropout=0.0),
        device="cpu",
        threads=1,
    )


def main(argv: Sequence[str]) -> int:
    """`windvane run evalyaks --model M --data FILES --out RUN`."""
    toy = next((name for name in TOYS if name in argv or f"--model={name}" in argv), None)
    default = None if toy is None else toy_recipe(toy)
    return launch(EvalYaks, run, argv, "windvane run evalyaks", __doc__, default=default)
