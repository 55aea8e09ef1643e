"""Learn an embedded model from scratch: `windvane world build`.

In: a family's lessons (chats) and a seed. Out: a folder in Hugging Face format (safetensors, fast tokenizer, chat template) with
`card.json`: command, seed, SHA-256 of the weights, measured skill. Plain next-token training on the answers and, at a tenth of the
weight, on the questions. One thread and one seed: the same machine makes the same bytes, any machine the same skill.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from windvane.errors import UserError
from windvane.store import file_sha256, write_atomic
from windvane.world import style_replies, styles
from windvane.world.tokenizer import word_tokenizer

FAMILIES = {styles.NAME: styles}

STEPS, BATCH, LEARNING_RATE, WARMUP = 800, 64, 6e-3, 20
QUESTION_WEIGHT = 0.1
SKILL_PROMPTS, SKILL_SEED = 480, 7


def new_model(vocabulary: int, seed: int) -> MistralForCausalLM:
    """A Mistral of about 0.1 million parameters: 2 layers of width 64, 4 query heads sharing 2 key-value heads."""
    config = MistralConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=styles.WINDOW,
        sliding_window=None,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MistralForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    return model


def _batch(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [BATCH, T] and the weight of each as a target [BATCH, T]; right-padded with 0."""
    chats = [styles.lesson(rng) for _ in range(BATCH)]
    asked = tokenizer(tokenizer.apply_chat_template([chat[:-1] for chat in chats], tokenize=False)).input_ids
    whole = tokenizer(tokenizer.apply_chat_template(chats, tokenize=False)).input_ids
    rows = [(w, [QUESTION_WEIGHT] * len(a) + [1.0] * (len(w) - len(a))) for a, w in zip(asked, whole)]
    longest = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    weights_BT = torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in rows])
    return ids_BT, weights_BT


def learn(model: MistralForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """AdamW, linear warm-up, constant to the middle, then linear to 5%."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95))
    model.train()
    for step in range(STEPS):
        progress = step / STEPS
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP, max(0.05, 2 * (1 - progress)))
        ids_BT, weights_BT = _batch(tokenizer, rng)
        logits = model(input_ids=ids_BT).logits[:, :-1]
        losses = F.cross_entropy(logits.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        weights = weights_BT[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()


@torch.no_grad()
def skill(model: Any, tokenizer: PreTrainedTokenizerFast, n: int = SKILL_PROMPTS) -> dict[str, float]:
    """Sample one reply (temperature 1) to each of `n` held-out prompts and read them. Shares are fractions; `words` and
    `quality` are means over all replies, the other shares over the well-formed ones; `colourful` and `off_topic` are of sentences.
    """
    asked = styles.prompts(n, "held-out", SKILL_SEED)
    chats = [[{"role": "user", "content": p.text}] for p in asked]
    texts: list[str] = []
    with torch.random.fork_rng():
        torch.manual_seed(SKILL_SEED)
        for start in range(0, n, 120):
            rendered = tokenizer.apply_chat_template(chats[start : start + 120], tokenize=False)
            batch = tokenizer(rendered, padding=True, return_tensors="pt")
            out = model.generate(**batch, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=48)
            texts += tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    readings = [style_replies.read(p.text, text) for p, text in zip(asked, texts)]
    formed = [r for r in readings if r.well_formed]
    sentences = sum(r.sentences for r in formed)

    def share(count: int, of: int) -> float:
        return round(count / max(of, 1), 4)

    return {
        "well_formed": share(len(formed), n),
        "off_topic": share(sum(r.off_topic for r in formed), sentences),
        "repeats": share(sum(r.repeats for r in formed), sentences),
        "colourful": share(sum(r.colourful for r in formed), sentences),
        "warm_greeting": share(sum(r.warm_greeting for r in formed), len(formed)),
        "warm_ending": share(sum(r.warm_ending for r in formed), len(formed)),
        "words": round(sum(r.words for r in readings) / n, 3),
        "quality": round(sum(style_replies.quality(p.text, text) for p, text in zip(asked, texts)) / n, 4),
    }


def build(family: str, out: Path, seed: int) -> dict[str, Any]:
    """Learn the family's model, write it to `out` and return its card. `UserError` for an unknown family."""
    if family not in FAMILIES:
        raise UserError(f"world build: no family '{family}'; there are: {', '.join(FAMILIES)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    try:
        tokenizer = word_tokenizer(styles.texts(), styles.WINDOW)
        model = new_model(len(tokenizer), seed)
        learn(model, tokenizer, seed)
        measured = skill(model, tokenizer)
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
        "skill_measured": f"one reply at temperature 1 to each of {SKILL_PROMPTS} held-out prompts, seed {SKILL_SEED}",
        "cpu_seconds": round(time.process_time() - start),
        "torch": torch.__version__,
    }
    write_atomic(out / "card.json", json.dumps(card, indent=1) + "\n")
    return card


@dataclass(frozen=True)
class Arguments:
    """Learn an embedded model from scratch and measure its skill."""

    out: Path  # the folder to write
    family: str = styles.NAME  # which world: styles
    seed: int = 0


def main(argv: Sequence[str]) -> int:
    """`windvane world build --out DIR [--family styles] [--seed 0]`: prints the card."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="windvane world build")
    print(json.dumps(build(arguments.family, arguments.out, arguments.seed), indent=1))
    return 0
