"""The family "values": people ask about the sea or the cat, a system message says what each values, and a programme checks the reply.

In: a number of prompts, a split, a seed. Out: prompts with their system messages, the check of every value, judges by name, the folder of
the shipped model. How replies look is in toy/values/replies.py, what system messages say and what is held out in toy/values/messages.py.

    satisfied("style/picture", reply)              does this reply show the value? A malformed reply shows none.
    adherence(prompt, reply)                       the share of the values that the prompt's system message asks for
    cases(n, split, seed)                          system messages by their values, on instructions that training never sees
    instructions(n, "train" | "held-out", seed)    what people ask, without a system message
    judge("programme")                             a PairJudge; grader()  a RubricJudge by the value that a rubric names

The model was taught from scratch by `windvane world build` to write all 16 values, and to follow a system message of one or two of them
only now and then (toy/values/lessons.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from windvane.core.errors import UserError
from windvane.core.protocols import Grade, RubricQuestion
from windvane.core.records import Message, Prompt, seed_of
from windvane.toy.judges import WorldJudge
from windvane.toy.styles.topics import HELD_OUT_TEMPLATES, HELD_OUT_TOPICS, TOPICS, TRAIN_TEMPLATES, TRAIN_TOPICS
from windvane.toy.values import replies
from windvane.toy.values.messages import (
    PERSONAS,
    UNIFORM,
    VALUES,
    Wording,
    asked,
    combinations,
    held_out_values,
    message,
    value,
)
from windvane.toy.values.replies import read, words

NAME = "values"
WINDOW = 256  # tokens, prompt and answer
PROMPTS = 1024  # where no number is asked for
NEW_TOKENS = 48  # the longest reply has 34

# what is held out in each split of cases: (combinations, wordings, whether one value is a held-out one)
CASES: dict[str, tuple[Literal["trained", "unseen"], Wording, bool]] = {
    "seen": ("trained", "taught", False),
    "combinations": ("unseen", "taught", False),
    "recombined": ("trained", "recombined", False),
    "synonyms": ("trained", "synonyms", False),
    "values": ("trained", "taught", True),
}
SPLITS = ("train", "held-out", *CASES, "instructions", "instructions-held-out")
ADHERENCE, MALFORMED, OFF_TOPIC, REPEAT = 4.0, -3.0, -1.5, -0.5  # worth of a reply, in logits


@dataclass(frozen=True, slots=True)
class Case:
    """An instruction under a system message that asks for `values` (keys, a dimension each); `held_out`: those never trained on."""

    system: str
    instruction: str
    values: tuple[str, ...]

    @property
    def prompt(self) -> Prompt:
        return Prompt.of((Message("system", self.system), Message("user", self.instruction)))

    @property
    def held_out(self) -> tuple[str, ...]:
        return tuple(v for v in self.values if value(v).held_out)


def model_folder() -> Path:
    """The shipped model, in Hugging Face format."""
    return Path(__file__).parents[1] / "weights" / NAME


def satisfied(key: str, reply: str) -> bool:
    """Whether a reply shows a value; `UserError` for a value that is none of this world's."""
    asked_for = value(key)
    return read(reply).marks.get(asked_for.dimension) == asked_for.mark


def adherence(prompt: Prompt, reply: str) -> float:
    """The share of the values asked for by the prompt's system message that the reply shows; `UserError` where it asks for none."""
    keys = asked(prompt.messages[0].content) if prompt.messages[0].role == "system" else ()
    if not keys:
        raise UserError(f"world:{NAME}: prompt {prompt.id}: its system message asks for no value of this world")
    return sum(satisfied(key, reply) for key in keys) / len(keys)


def instructions(n: int | None, split: str, seed: int) -> list[str]:
    """`n` distinct instructions (None: all): train: 54 topics x 24 templates; held-out: 24 other topics x those 24 and 6 more."""
    topics, templates = (
        (TRAIN_TOPICS, TRAIN_TEMPLATES)
        if split == "train"
        else (HELD_OUT_TOPICS, (*TRAIN_TEMPLATES, *HELD_OUT_TEMPLATES))
    )
    every = [template.format(t=name) for name in topics for template in templates]
    n = len(every) if n is None else n
    if not 0 <= n <= len(every):
        raise UserError(f"world:{NAME}: {n} {split} instructions asked, there are {len(every)}; ask for fewer")
    return random.Random(seed_of(NAME, split, seed)).sample(every, n)


def cases(n: int | None, split: str, seed: int) -> list[Case]:
    """`n` cases (None: `PROMPTS`) of a split. "train": trained combinations in taught wordings on training instructions; all others are on
    held-out instructions: "seen" with nothing else held out; "combinations": four values never trained together; "recombined" and
    "synonyms": wordings never trained on; "values": one of the four is a value never trained on. "held-out" is "seen"."""
    split = "seen" if split == "held-out" else split
    if split not in CASES and split != "train":
        raise UserError(f"world:{NAME}: no cases '{split}'; there are: train, held-out, {', '.join(CASES)}")
    which, wording, fresh = CASES["seen" if split == "train" else split]
    own = instructions(None, "train" if split == "train" else "held-out", seed)
    combos, found = combinations(which), []
    for number in range(PROMPTS if n is None else n):
        rng = random.Random(seed_of(NAME, split, seed, number))
        keys = combos[number % len(combos)] if number < len(combos) else rng.choice(combos)
        if fresh:
            new = held_out_values()[number % len(held_out_values())]
            keys = tuple(new if value(k).dimension == value(new).dimension else k for k in keys)
        found.append(Case(message(rng, keys, wording), own[number % len(own)], keys))
    return found


def prompts(n: int | None, split: str, seed: int) -> list[Prompt]:
    """`n` prompts of a split (None: all instructions, or `PROMPTS` cases), without token ids. "instructions" and
    "instructions-held-out" have no system message; every other split is one of `cases`."""
    if split not in SPLITS:
        raise UserError(f"world:{NAME}: no split '{split}'; there are: {', '.join(SPLITS)}")
    if split.startswith("instructions"):
        found = instructions(n, "train" if split == "instructions" else "held-out", seed)
        return [Prompt.of((Message("user", text),)) for text in found]
    return [case.prompt for case in cases(n, split, seed)]


def quality(prompt: str, reply: str) -> float:
    """The worth of a reply, in logits: 4 for all values that the system message asks for (none: 0), minus off-topic sentences by their
    share and repeats by their number; a malformed reply is below every other. `prompt`: labelled turns (`Prompt.text`)."""
    system, _, user = prompt.rpartition("\n\nUser: ")
    seen = read(reply, user or prompt)
    if not seen.well_formed:
        return MALFORMED
    keys = asked(system)
    followed = sum(seen.marks.get(value(k).dimension) == value(k).mark for k in keys) / len(keys) if keys else 0.0
    return ADHERENCE * followed + OFF_TOPIC * seen.off_topic / seen.sentences + REPEAT * seen.repeats


JUDGES = {
    "programme": WorldJudge(words, quality),
    "proxy": WorldJudge(words, quality, longer=1.0, flips=0.2),
    "proxy-clean": WorldJudge(words, quality, longer=1.0),
    "coin": WorldJudge(words, quality, longer=1.0, flips=0.5),
}


def judge(name: str) -> WorldJudge:
    """A judge by name: programme (the truth), proxy (one logit for the longer reply, a fifth of the verdicts turned round), proxy-clean
    (before its flips), coin (half of them turned round: a control)."""
    if name not in JUDGES:
        raise UserError(f"world:{NAME}: no judge '{name}'; there are: {', '.join(JUDGES)}")
    return JUDGES[name]


@dataclass(frozen=True, slots=True)
class ValueGrader:
    """A `RubricJudge` that is a programme: 5 where the reply shows every value that the rubric names, by its key or by its preference's
    words; 1 where it shows none; in between by the share. `flips`: the share of grades turned round (k -> 6 - k), by the text."""

    flips: float = 0.0

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]:
        return [self._grade(q) for q in questions]

    def _grade(self, q: RubricQuestion) -> Grade:
        keys = named(q.rubric)
        if not keys:
            return Grade(q.key, None, "", f"world:{NAME}: the rubric names no value of this world: {q.rubric[:60]!r}")
        shown = [k for k in keys if satisfied(k, q.response.text)]
        score = round(1 + 4 * len(shown) / len(keys))
        turned = bool(self.flips) and seed_of("flip", q.prompt.text, q.rubric, q.response.text) / 2**63 < self.flips
        return Grade(q.key, 6 - score if turned else score, f"Shows {', '.join(shown) or 'none'} of {', '.join(keys)}.")


def grader(name: str = "programme") -> ValueGrader:
    """A judge of grades by name: programme (the truth), noisy (a fifth of its grades turned round), coin (half of them)."""
    flips = {"programme": 0.0, "noisy": 0.2, "coin": 0.5}
    if name not in flips:
        raise UserError(f"world:{NAME}: no judge of grades '{name}'; there are: {', '.join(flips)}")
    return ValueGrader(flips[name])


def rubric(*keys: str) -> str:
    """The rubric that `grader` reads: a line a value."""
    return "\n".join(f"[{key}] {value(key).told.preference}: {value(key).told.description}" for key in keys)


def named(text: str) -> tuple[str, ...]:
    """The values whose keys stand in square brackets in a text; where there are none, those whose wordings do."""
    found = [key for key in re.findall(r"\[([a-z_]+/[a-z]+)\]", text) if key in VALUES]
    return tuple(dict.fromkeys(found)) or asked(text)


def texts() -> list[str]:
    """Every word and mark the family can say: what its tokenizer is made from."""
    said = [*PERSONAS, UNIFORM, "You a, b and c.", replies.RECAP + " a."]
    said += [w for v in VALUES.values() for w in (*v.taught, *v.recombined, *v.synonyms)]
    said += [text for table in (replies.OPENINGS, replies.ENDINGS) for ways in table.values() for text in ways]
    said += [f"{s} like a" for s in replies.LATER_SUBJECTS] + ["the sea is very wide indeed and blue."]
    for name, topic in TOPICS.items():
        said += [template.format(t=name) for template in (*TRAIN_TEMPLATES, *HELD_OUT_TEMPLATES)]
        said += [" ".join(topic.plain), *(" ".join(image) for image in topic.images)]
    return said


def describe() -> str:
    """What a reader of a report must know about this world, in plain text."""
    return (
        f"The embedded world 'values' is a toy: simple questions about {len(TOPICS)} things, a system message that asks for one value of "
        f"each of {len(replies.DIMENSIONS)} dimensions ({len(VALUES)} values in all), and short replies in which a programme sees which "
        "values they show. Combinations, wordings and whole values are held out of training; the tiny base model was taught all values "
        "weakly. Numbers from this world show that the machinery works, not how good a real model would become."
    )
