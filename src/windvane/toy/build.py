"""Learn an embedded model from scratch: `windvane world build`.

In: a family's lessons and a seed. Out: a folder in Hugging Face format (safetensors, fast tokenizer, chat template) with `card.json`:
command, seed, SHA-256 of the weights, measured skill. Plain next-token training, each token with a weight of its own. One thread and one
seed: the same machine makes the same bytes, any machine the same skill.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
import tyro
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from windvane.core.errors import UserError
from windvane.core.records import Prompt
from windvane.runs.store import file_sha256, write_atomic
from windvane.toy.facts import family as facts
from windvane.toy.facts import lessons as fact_lessons
from windvane.toy.facts import skill as fact_skill
from windvane.toy.grades import family as grades
from windvane.toy.grades import lessons as grade_lessons
from windvane.toy.grades import skill as grade_skill
from windvane.toy.styles import family as styles
from windvane.toy.tokenizer import word_tokenizer
from windvane.toy.values import family as values
from windvane.toy.values import lessons as value_lessons


class Family(Protocol):
    """What a family's module offers to be built."""

    WINDOW: int

    def texts(self) -> list[str]: ...


class Chats(Family, Protocol):
    """A family that is graded by one reply at temperature 1 to each prompt."""

    def prompts(self, n: int | None, split: str, seed: int) -> list[Prompt]: ...
    def skill(self, prompts: Sequence[str], replies: Sequence[str]) -> dict[str, float]: ...


class Course(Protocol):
    """The lessons in their order: `batch()` gives token ids [B, T], right-padded, and the weight of each as a target [B, T]; `note` is
    told the losses [B, T - 1] of what it gave."""

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]: ...
    def note(self, losses_BT: torch.Tensor) -> None: ...


@dataclass(frozen=True)
class Teaching:
    """How a family's model is made. The learning rate warms up linearly, holds, then falls linearly to `floor` of itself."""

    family: Family
    course: Callable[[PreTrainedTokenizerFast, int], Course]
    measure: Callable[[Any, PreTrainedTokenizerFast], dict[str, float]]
    measured: Callable[[], str]  # how, for the card
    shape: Mapping[str, Any]  # of the Mistral
    steps: Callable[[], int]
    learning_rate: float
    warmup: int
    hold: float  # share of the steps before the learning rate falls
    floor: float
    beta2: float


Lesson = Callable[[random.Random], list[dict[str, str]]]

STEPS, BATCH = 800, 64  # of the styles family
QUESTION_WEIGHT = 0.1
SKILL_PROMPTS, SKILL_SEED = 480, 7


class ChatCourse:
    """Chats of a family (`lesson` makes one), `BATCH` at a time; the questions at `QUESTION_WEIGHT`. What was learnt changes nothing."""

    def __init__(self, lesson: Lesson, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.lesson, self.tokenizer, self.rng = lesson, tokenizer, random.Random(seed)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        chats, tokenizer = [self.lesson(self.rng) for _ in range(BATCH)], self.tokenizer
        asked = tokenizer(tokenizer.apply_chat_template([chat[:-1] for chat in chats], tokenize=False)).input_ids
        whole = tokenizer(tokenizer.apply_chat_template(chats, tokenize=False)).input_ids
        rows = [(w, [QUESTION_WEIGHT] * len(a) + [1.0] * (len(w) - len(a))) for a, w in zip(asked, whole)]
        longest = max(len(ids) for ids, _ in rows)
        ids_BT = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
        weights_BT = torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in rows])
        return ids_BT, weights_BT

    def note(self, losses_BT: torch.Tensor) -> None:
        pass


def new_model(shape: Mapping[str, Any], vocabulary: int, window: int, seed: int) -> MistralForCausalLM:
    """A freshly drawn Mistral of a family's shape."""
    config = MistralConfig(
        vocab_size=vocabulary,
        max_position_embeddings=window,
        sliding_window=None,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **shape,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MistralForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    return model


def learn(teaching: Teaching, model: MistralForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """AdamW on the mean of the targets' losses by their weights; gradients clipped at norm 1."""
    course, steps, lr = teaching.course(tokenizer, seed), teaching.steps(), teaching.learning_rate
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, teaching.beta2))
    model.train()
    for step in range(steps):
        fall = (1 - step / steps) / (1 - teaching.hold)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / teaching.warmup, max(teaching.floor, fall))
        ids_BT, weights_BT = course.batch()
        logits = model(input_ids=ids_BT).logits[:, :-1]
        losses = F.cross_entropy(logits.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        weights = weights_BT[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        course.note(losses.detach().view(len(ids_BT), -1))
    model.eval()


@torch.no_grad()
def sample_replies(model: Any, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt], seed: int) -> list[str]:
    """One reply at temperature 1 to each single-turn prompt."""
    chats = [[{"role": "user", "content": p.text}] for p in prompts]
    texts: list[str] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(chats), 120):
            rendered = tokenizer.apply_chat_template(chats[start : start + 120], tokenize=False)
            batch = tokenizer(rendered, padding=True, return_tensors="pt")
            out = model.generate(**batch, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=48)
            texts += tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def measure(family: Chats, model: Any, tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """The figures of a family of chats over `SKILL_PROMPTS` held-out prompts."""
    prompts = family.prompts(SKILL_PROMPTS, "held-out", SKILL_SEED)
    replies = sample_replies(model, tokenizer, prompts, SKILL_SEED)
    return {name: round(value, 4) for name, value in family.skill([p.text for p in prompts], replies).items()}


FAMILIES = {
    styles.NAME: Teaching(
        family=styles,
        course=lambda tokenizer, seed: ChatCourse(styles.lesson, tokenizer, seed),
        measure=lambda model, tokenizer: measure(styles, model, tokenizer),
        measured=lambda: f"one reply at temperature 1 to each of {SKILL_PROMPTS} held-out prompts, seed {SKILL_SEED}",
        shape={  # about 0.1 million parameters
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "tie_word_embeddings": True,
            "initializer_range": 0.05,
        },
        steps=lambda: STEPS,
        learning_rate=6e-3,
        warmup=20,
        hold=0.5,
        floor=0.05,
        beta2=0.95,
    ),
    facts.NAME: Teaching(
        family=facts,
        course=fact_lessons.Course,
        measure=fact_skill.measure,
        measured=lambda: fact_skill.MEASURED,
        shape=fact_lessons.SHAPE,
        steps=lambda: fact_lessons.STEPS,
        learning_rate=3e-3,
        warmup=100,
        hold=0.65,
        floor=0.02,
        beta2=0.98,
    ),
    values.NAME: Teaching(
        family=values,
        course=lambda tokenizer, seed: ChatCourse(value_lessons.lesson, tokenizer, seed),
        measure=value_lessons.measure,
        measured=lambda: value_lessons.MEASURED,
        shape=value_lessons.SHAPE,
        steps=lambda: value_lessons.STEPS,
        learning_rate=6e-3,
        warmup=20,
        hold=0.5,
        floor=0.05,
        beta2=0.95,
    ),
    grades.NAME: Teaching(
        family=grades,
        course=grade_lessons.Course,
        measure=grade_skill.measure,
        measured=lambda: grade_skill.MEASURED,
        shape=grade_lessons.SHAPE,
        steps=lambda: grade_lessons.STEPS,
        learning_rate=4e-3,
        warmup=50,
        hold=0.5,
        floor=0.03,
        beta2=0.95,
    ),
}


def build(family: str, out: Path, seed: int) -> dict[str, Any]:
    """Learn the family's model, write it to `out` and return its card. `UserError` for an unknown family."""
    if family not in FAMILIES:
        raise UserError(f"world build: no family '{family}'; there are: {', '.join(FAMILIES)}")
    teaching = FAMILIES[family]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    try:
        tokenizer = word_tokenizer(teaching.family.texts(), teaching.family.WINDOW)
        model = new_model(teaching.shape, len(tokenizer), teaching.family.WINDOW, seed)
        learn(teaching, model, tokenizer, seed)
        measured = teaching.measure(model, tokenizer)
    finally:
        torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # it is written readable by its owner alone
    tokenizer.save_pretrained(out)
    card = {
        "family": family,
        "command": f"windvane world build --family {family} --seed {seed} --out OUT",
        "seed": seed,
        "parameters": model.num_parameters(),
        "sha256": {name: file_sha256(out / name) for name in ("model.safetensors", "tokenizer.json")},
        "skill": measured,
        "skill_measured": teaching.measured(),
        "cpu_seconds": round(time.process_time() - start),
        "torch": torch.__version__,
    }
    write_atomic(out / "card.json", json.dumps(card, indent=1) + "\n")
    return card


@dataclass(frozen=True)
class Arguments:
    """Learn an embedded model from scratch and measure its skill."""

    out: Path  # the folder to write
    family: str = styles.NAME  # which world: styles, facts, values or grades
    seed: int = 0


def main(argv: Sequence[str]) -> int:
    """`windvane world build --out DIR [--family styles|facts|values|grades] [--seed 0]`: prints the card."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="windvane world build")
    print(json.dumps(build(arguments.family, arguments.out, arguments.seed), indent=1))
    return 0
