"""The family "facts": long documents with facts amid filler, questions about them, and a second short skill, reversing a list of words.

In: seeds, counts, lengths in tokens. Out: documents, questions with known answers, prompts, checks by a programme, judges by name, the
folder of the shipped model. What the texts look like is in toy/facts/documents.py, how the model was taught in toy/facts/lessons.py.

The shipped model was trained from scratch on documents of at most `LENGTH` tokens: short it is right, at four times that length it mostly
is not (docs/toy.md has the figures). Facts are drawn anew for every document, so there is nothing to be known by heart; and the pairs
of name and verb in "held-out" documents never occur in "train" documents, so that self-training cannot learn them either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, seed_of
from windvane.toy.facts.documents import (
    FACT_TOKENS,
    LOOKS,
    MOVES,
    NAMES,
    PLACES,
    THINGS,
    VERBS,
    WAYS,
    answer,
    asked,
    facts_of,
    question,
    said,
    write,
)
from windvane.toy.judges import WorldJudge

NAME = "facts"
LENGTH = 128  # tokens of the longest document that the model was taught on
WINDOW = 8192  # tokens that the model takes; what it was taught on is far less
SPLITS = ("train", "held-out")
DOCUMENTS, PROMPTS = 256, 1024  # where no number is asked for

ASK = "Ask a question about the text."
ASK_PROMPT = "{chunk}\n\n" + ASK  # the self-instruct prompt in this world's words: one bare question comes back
LAYOUT = "{context}\n\n{question}"

ITEMS = (
    "apple",
    "bread",
    "candle",
    "drum",
    "eagle",
    "flute",
    "glove",
    "hammer",
    "ink",
    "jar",
    "kite",
    "lamp",
    "mirror",
    "nail",
    "owl",
)
REVERSE = "Reverse:"
MOST_ITEMS = 5

# Share of a document's tokens that are facts, drawn evenly; no more facts than names.
FACT_SHARE = (0.1, 0.6)
RIGHT, WRONG, MALFORMED = 2.0, 0.0, -2.0  # worth of an answer, in logits


@dataclass(frozen=True, slots=True)
class Case:
    """A document, a question about one of its facts, and the answer that is right."""

    document: str
    question: str
    answer: str

    @property
    def prompt(self) -> Prompt:
        return Prompt.of((Message("user", LAYOUT.format(context=self.document, question=self.question)),))


def model_folder() -> Path:
    """The shipped model, in Hugging Face format."""
    return Path(__file__).parents[1] / "weights" / NAME


def verbs_for(name: str, split: str | None) -> tuple[str, ...]:
    """What a name may do in documents of a split: 12 of the 16 verbs in train, the other 4 in held-out; None: all."""
    if split not in (*SPLITS, None):
        raise UserError(f"world:{NAME}: no split '{split}'; there are: {', '.join(SPLITS)}")
    row = NAMES.index(name)
    return tuple(v for i, v in enumerate(VERBS) if split is None or ((row + i) % 4 == 0) == (split == "held-out"))


def document(rng: random.Random, tokens: int, split: str | None = "train") -> str:
    """One document of `tokens` tokens (less up to 3), at least one fact in it."""
    if tokens < FACT_TOKENS:
        raise UserError(f"world:{NAME}: a document of {tokens} tokens was asked for; a fact alone has {FACT_TOKENS}")
    most = min(len(NAMES), tokens // FACT_TOKENS)
    count = max(1, min(most, round(rng.uniform(*FACT_SHARE) * tokens / FACT_TOKENS)))
    return write(rng, [(name, rng.choice(verbs_for(name, split))) for name in rng.sample(NAMES, count)], tokens)


def documents(
    seed: int, lengths: Sequence[int] = (LENGTH,), count: int | None = None, split: str = "train"
) -> Iterator[str]:
    """`count` documents (None: `DOCUMENTS`) of each length in tokens; each from a seed of its own, so a longer list begins like a
    shorter one. `facts_of(text)` gives a document's facts."""
    for length in lengths or (LENGTH,):
        for number in range(DOCUMENTS if count is None else count):
            yield document(random.Random(seed_of(NAME, split, seed, length, number)), length, split)


def cases(seed: int, length: int, count: int, split: str = "held-out") -> list[Case]:
    """One question a document of `length` tokens, about a fact drawn evenly from its facts."""
    found = []
    for number, text in enumerate(documents(seed, (length,), count, split)):
        facts = facts_of(text)
        name = random.Random(seed_of(NAME, "case", seed, number)).choice(sorted(facts))
        found.append(Case(text, question(name), answer(name, facts[name])))
    return found


def check(asked_text: str, reply: str, text: str) -> str:
    """ "right", "wrong" or "malformed": a reply to a question about a document (or a chunk of it).

    Malformed: anything but one sentence of a name and a verb. Wrong: another verb, another name, or a question about a name that the
    text does not hold.
    """
    told = said(reply)
    if told is None:
        return "malformed"
    name = asked(asked_text)
    return "right" if told[0] == name and facts_of(text).get(told[0]) == told[1] else "wrong"


def grounded(asked_text: str, chunk: str) -> bool:
    """A question of this world, about a name of which the chunk tells what it does."""
    return asked(asked_text) in facts_of(chunk)


def reversals(n: int, seed: int) -> list[Prompt]:
    """The second skill: `n` lists of two to `MOST_ITEMS` different words to be said backwards."""
    rng = random.Random(seed_of(NAME, "reverse", seed))
    return [Prompt.of((Message("user", reversal(rng)),)) for _ in range(n)]


def reversal(rng: random.Random) -> str:
    return f"{REVERSE} {' '.join(rng.sample(ITEMS, rng.randint(2, MOST_ITEMS)))}"


def reversed_words(prompt: str) -> str:
    """The right reply to a list of words."""
    assert prompt.startswith(REVERSE), prompt
    return " ".join(reversed(prompt.removeprefix(REVERSE).split()))


def prompts(n: int | None, split: str, seed: int) -> list[Prompt]:
    """`n` questions about documents of the length that the model knows (None: `PROMPTS`), without token ids."""
    return [case.prompt for case in cases(seed, LENGTH, PROMPTS if n is None else n, split)]


def quality(prompt: str, reply: str) -> float:
    """The worth in logits of a reply to a document and a question: right, wrong or malformed."""
    text, _, asked_text = prompt.rpartition("\n\n")
    return {"right": RIGHT, "wrong": WRONG, "malformed": MALFORMED}[check(asked_text, reply, text)]


def words(text: str) -> int:
    return len(text.split())


JUDGES = {
    "programme": WorldJudge(words, quality),
    "proxy": WorldJudge(words, quality, flips=0.2),
    "proxy-clean": WorldJudge(words, quality),
    "coin": WorldJudge(words, quality, flips=0.5),
}


def judge(name: str) -> WorldJudge:
    """A judge by name: programme (the truth), proxy (a fifth of its verdicts turned round), proxy-clean (before its flips: the
    programme again), coin (half of them turned round: a control)."""
    if name not in JUDGES:
        raise UserError(f"world:{NAME}: no judge '{name}'; there are: {', '.join(JUDGES)}")
    return JUDGES[name]


def texts() -> list[str]:
    """Every word and mark the family can say: what its tokenizer is made from."""
    said_of_things = [
        "The lake waits near the hill.",
        *(" ".join(words) for words in (THINGS, LOOKS, MOVES, WAYS, PLACES)),
    ]
    return [*said_of_things, ASK, " ".join((REVERSE, *ITEMS)), question(NAMES[0]), *map(" ".join, (NAMES, VERBS))]


def describe() -> str:
    """What a reader of a report must know about this world, in plain text."""
    return (
        f"The embedded world 'facts' is a toy: documents in which {len(NAMES)} people each do one of {len(VERBS)} things, amid sentences "
        f"about boats and hills, and the question what one of them does. The model is tiny and was taught from scratch on documents of "
        f"at most {LENGTH} tokens. A programme checks each answer. Held-out documents join names and verbs that self-training never sees "
        "joined. Numbers from this world show that the machinery works, not how good a real model would become."
    )
