"""The family "styles": people ask about the sea or the cat, replies have a style, and a programme grades it.

In: a number of prompts, a split, a seed. Out: prompts, judges by name, the folder of the shipped model. What is graded and how is in
toy/styles/replies.py; what is talked about in toy/styles/topics.py.

The model was taught from scratch by `windvane world build` on replies in mixed styles about all topics (the held-out ones too: it
has no other way to know their words); self-play never sees a held-out topic, nor a held-out template.
"""

from __future__ import annotations

import random
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.toy.judges import WorldJudge
from windvane.toy.styles import replies
from windvane.toy.styles.replies import words
from windvane.toy.styles.topics import HELD_OUT_TEMPLATES, HELD_OUT_TOPICS, TOPICS, TRAIN_TEMPLATES, TRAIN_TOPICS

NAME = "styles"
WINDOW = 256  # tokens, prompt and answer

quality = replies.quality  # (prompt, reply) -> logits
skill = replies.skill  # (prompts, replies) -> the figures on a model's card

# The judge that training sees: the programme, plus one logit for the longer reply, a fifth of its verdicts turned round.
JUDGES = {
    "programme": WorldJudge(words, quality),
    "proxy": WorldJudge(words, quality, longer=1.0, flips=0.2),
    "proxy-clean": WorldJudge(words, quality, longer=1.0),
    "coin": WorldJudge(words, quality, longer=1.0, flips=0.5),
    "length": WorldJudge(words, per_word=0.2),
}

SPLITS = {
    "train": (TRAIN_TOPICS, TRAIN_TEMPLATES),
    "held-out": (HELD_OUT_TOPICS, TRAIN_TEMPLATES + HELD_OUT_TEMPLATES),
}

SYSTEM_MESSAGES = ("You are a helper.", "You answer questions.", "Please answer the user.")


def model_folder() -> Path:
    """The shipped model, in Hugging Face format."""
    return Path(__file__).parents[1] / "weights" / NAME


def judge(name: str) -> WorldJudge:
    """A judge by name: programme (the truth), proxy (what training sees), proxy-clean (before its flips, for evaluation),
    coin (flipped half of the time: a control), length (0.2 logits a word of difference and nothing else: a control)."""
    if name not in JUDGES:
        raise UserError(f"world:{NAME}: no judge '{name}'; there are: {', '.join(JUDGES)}")
    return JUDGES[name]


def prompts(n: int | None, split: str, seed: int) -> list[Prompt]:
    """`n` distinct prompts (None: all there are) of a split in an order given by `seed`, without token ids.

    train: 54 topics x 24 templates; held-out: 24 other topics x those 24 and 6 more. `UserError` where `n` is more than there are.
    """
    if split not in SPLITS:
        raise UserError(f"world:{NAME}: no split '{split}'; there are: {', '.join(SPLITS)}")
    topics, templates = SPLITS[split]
    every = [template.format(t=name) for name in topics for template in templates]
    n = len(every) if n is None else n
    if not 0 <= n <= len(every):
        raise UserError(f"world:{NAME}: {n} {split} prompts asked, there are {len(every)}; ask for fewer")
    return [Prompt.of((Message("user", text),)) for text in random.Random(seed).sample(every, n)]


def lesson(rng: random.Random) -> list[dict[str, str]]:
    """One chat that the base model learns from: any topic, any template, now and then a system message."""
    name = rng.choice(list(TOPICS))
    template = rng.choice(TRAIN_TEMPLATES + HELD_OUT_TEMPLATES)
    system = [{"role": "system", "content": rng.choice(SYSTEM_MESSAGES)}] if rng.random() < 0.1 else []
    return [
        *system,
        {"role": "user", "content": template.format(t=name)},
        {"role": "assistant", "content": replies.write(rng, name)},
    ]


def texts() -> list[str]:
    """Every word and mark the family can say: what its tokenizer is made from."""
    said = [
        *SYSTEM_MESSAGES,
        *replies.WARM_GREETINGS,
        *replies.COLD_GREETINGS,
        *replies.WARM_ENDINGS,
        *replies.COLD_ENDINGS,
    ]
    said += [f"{subject} a" for subject in replies.LATER_SUBJECTS] + ["The sea is wide and blue."]
    templates = TRAIN_TEMPLATES + HELD_OUT_TEMPLATES
    for name, topic in TOPICS.items():
        said += [template.format(t=name) for template in templates]
        said += [" ".join(topic.plain), *(" ".join(image) for image in topic.images)]
    return said


def describe() -> str:
    """What a reader of a report must know about this world, in plain text."""
    topics, most = len(TOPICS), replies.MAX_SENTENCES
    return (
        f"The embedded world 'styles' is a toy: simple questions about {topics} things, and short replies made of a greeting, one to "
        f"{most} sentences and an ending. A programme grades each reply: a warm greeting, colourful wording, two sentences rather "
        "than one or three, a warm ending, staying on topic, not repeating itself, being well-formed. That programme is the "
        "truth here: P(a beats b) is the sigmoid of the gap in quality. The judge that training sees is a noisy proxy of it: one "
        "logit more for the longer reply, and a fifth of its verdicts turned round. The model is tiny and was taught from scratch "
        "on replies in mixed styles; held-out prompts are about things that self-play never sees. Numbers from this world show "
        "that the machinery works, not how good a real model would become."
    )
