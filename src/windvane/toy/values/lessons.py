"""What the values model is taught, from scratch, and how its skill is measured.

Three kinds of lesson, about any topic: a question and a reply with a mark drawn evenly for every dimension; the same under a system
message that says nothing; a question under a system message of one or two values, in taught or synonymous wordings, whose reply shows
each of them with the probability `FOLLOWED`, else a mark drawn evenly. So the base knows every value and what most wordings mean, and
follows them only now and then; four values together, and the recombined wordings, it never sees.

In: a random generator. Out: chats. In: a model. Out: the figures on its card.
"""

from __future__ import annotations

import random
from typing import Any

from windvane.engines.local import LocalGenerator, Sampling
from windvane.prompts.chat import prepare
from windvane.toy.styles.topics import HELD_OUT_TEMPLATES, TOPICS, TRAIN_TEMPLATES
from windvane.toy.values import family as values
from windvane.toy.values import replies
from windvane.toy.values.messages import UNIFORM, message, value

SHAPE = {  # about 0.12 million parameters
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": True,
    "initializer_range": 0.05,
}
STEPS = 1200
NO_SYSTEM, EMPTY = 0.3, 0.1  # shares of the lessons without a system message, and with one that says nothing
FOLLOWED = 0.5
SYNONYMS = 0.4  # share of the messages
SKILL, SKILL_SEED = 240, 7
MEASURED = (
    f"one reply at temperature 1 to each of {SKILL} cases a split, seed {SKILL_SEED}: share of the values asked for that are shown "
    "(adherence_SPLIT; of the held-out value alone for values), share of replies that show all four (all_SPLIT); well_formed, off_topic, "
    f"repeats without a system message on {SKILL} held-out instructions"
)


def lesson(rng: random.Random) -> list[dict[str, str]]:
    """One chat."""
    name = rng.choice(list(TOPICS))
    user = rng.choice((*TRAIN_TEMPLATES, *HELD_OUT_TEMPLATES)).format(t=name)
    kind, marks, system = rng.random(), dict[str, str](), list[dict[str, str]]()
    if kind >= NO_SYSTEM:
        text = UNIFORM
        if kind >= NO_SYSTEM + EMPTY:
            dimensions = rng.sample(list(replies.DIMENSIONS), rng.randint(1, 2))
            keys = [f"{d}/{rng.choice(replies.DIMENSIONS[d])}" for d in dimensions]
            text = message(rng, keys, "synonyms" if rng.random() < SYNONYMS else "taught")
            marks = {value(k).dimension: value(k).mark for k in keys if rng.random() < FOLLOWED}
        system = [{"role": "system", "content": text}]
    answer = replies.write(rng, name, marks)
    return [*system, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]


def answers(model: Any, tokenizer: Any, prompts: list[Any], temperature: float, seed: int = SKILL_SEED) -> list[str]:
    """One reply to each prompt, in their order; temperature 0 is greedy."""
    generator = LocalGenerator(model, tokenizer, Sampling(1, temperature, 1.0, values.NEW_TOKENS))
    ready, told = prepare(prompts, tokenizer, values.WINDOW, values.NEW_TOKENS), list[str]()
    for start in range(0, len(ready), 120):
        told += [a[0].text for a in generator.generate(ready[start : start + 120], [0], seed)]
    return told


def followed(cases: list[values.Case], told: list[str]) -> list[list[bool]]:
    """For each case, which of its values (those held out alone, where there are any) its reply shows."""
    return [[values.satisfied(k, t) for k in c.held_out or c.values] for c, t in zip(cases, told)]


def measure(model: Any, tokenizer: Any, temperature: float = 1.0, count: int = SKILL) -> dict[str, float]:
    """The figures on a model's card (`MEASURED` says what they are)."""
    figures = {}
    for split in values.CASES:
        cases = values.cases(count, split, SKILL_SEED)
        told = answers(model, tokenizer, [c.prompt for c in cases], temperature)
        shown = followed(cases, told)
        figures[f"adherence_{split}"] = sum(sum(s) / len(s) for s in shown) / count
        figures[f"all_{split}"] = (
            sum(all(values.satisfied(k, t) for k in c.values) for c, t in zip(cases, told)) / count
        )
    plain = values.prompts(count, "instructions-held-out", SKILL_SEED)
    seen = [replies.read(t, p.text) for p, t in zip(plain, answers(model, tokenizer, plain, temperature))]
    formed = [r for r in seen if r.well_formed]
    sentences = max(1, sum(r.sentences for r in formed))
    figures["well_formed"] = len(formed) / count
    figures["off_topic"] = sum(r.off_topic for r in formed) / sentences
    figures["repeats"] = sum(r.repeats for r in formed) / sentences
    return {name: round(figure, 4) for name, figure in figures.items()}
