"""The texts of the facts world: documents in which people do things amid filler, questions about them, and how all is read back.

A fact is a sentence of a name and a verb ("Anna sings."), each name once in a document; filler tells of things ("The old boat drifts by
the quiet lake."). Key and value stand side by side: the small model learns to look up what follows a name, not what stands further off.

In: a random generator, a number of facts, a length. Out: text of exactly that many tokens, and from text its facts. No model, only text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

NAMES = (
    "Anna", "Boris", "Carla", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas", "Karin", "Lucas", "Maria", "Nadia", "Oscar",
    "Paula", "Quinn", "Rosa", "Simon", "Tanja", "Ulrich", "Vera", "Walter", "Xenia", "Yusuf", "Zelda", "Amir", "Bella", "Cyril", "Dora",
    "Emil", "Flora",
)  # fmt: skip
VERBS = (
    "bakes", "climbs", "cooks", "dances", "dives", "draws", "fishes", "hunts", "juggles", "knits", "paints", "sails", "sews", "sings",
    "skates", "weaves",
)  # fmt: skip
THINGS = (
    "boat",
    "bridge",
    "cloud",
    "forest",
    "garden",
    "hill",
    "house",
    "lake",
    "meadow",
    "river",
    "road",
    "tower",
    "train",
    "village",
)
LOOKS = ("dark", "green", "grey", "long", "old", "quiet", "small", "white")
MOVES = ("drifts", "fades", "glows", "grows", "rests", "shines", "stands", "waits")
WAYS = ("again", "alone", "slowly", "still")
PLACES = ("above", "behind", "beside", "near")

PARAGRAPH = 6  # sentences
FACT_TOKENS, SHORTEST, LONGEST = 3, 4, 10  # tokens of a fact; of a filler sentence, at least and at most

_ANSWER = re.compile(rf"({'|'.join(NAMES)}) ({'|'.join(VERBS)})")
_FACT = re.compile(rf"\b{_ANSWER.pattern}\.")
_QUESTION = re.compile(rf"What does ({'|'.join(NAMES)}) do\?")


def question(name: str) -> str:
    return f"What does {name} do?"


def answer(name: str, verb: str) -> str:
    """Without a full stop: what ends an answer can then be told from the two words before, however long the document is."""
    return f"{name} {verb}"


def asked(text: str) -> str | None:
    """The name that a question asks about; None where the text is anything but one question of this world."""
    found = _QUESTION.fullmatch(text.strip())
    return found[1] if found else None


def facts_of(text: str) -> dict[str, str]:
    """Name -> verb, in the order of the text; where a name stands twice, what is said first."""
    found: dict[str, str] = {}
    for name, verb in _FACT.findall(text):
        found.setdefault(name, verb)
    return found


def said(reply: str) -> tuple[str, str] | None:
    """(name, verb) of a reply that is an answer of this world and nothing else."""
    found = _ANSWER.fullmatch(reply.strip())
    return (found[1], found[2]) if found else None


def filler(rng: random.Random, tokens: int) -> str:
    """One sentence of exactly `tokens` tokens, its full stop included."""
    assert SHORTEST <= tokens <= LONGEST
    place = tokens > 7 or (tokens == 7 and rng.random() < 0.5)
    slots = ("look", "another look", "way") + (("look there",) if place else ())
    filled = rng.sample(slots, tokens - (7 if place else 4))
    looks = rng.sample(LOOKS, ("look" in filled) + ("another look" in filled))
    parts = ["The", *looks, rng.choice(THINGS), rng.choice(MOVES), *([rng.choice(WAYS)] if "way" in filled else [])]
    if place:
        parts += [
            rng.choice(PLACES),
            "the",
            *([rng.choice(LOOKS)] if "look there" in filled else []),
            rng.choice(THINGS),
        ]
    return " ".join(parts) + "."


def filler_sizes(rng: random.Random, tokens: int) -> list[int]:
    """Sizes of filler sentences that add up to `tokens`, none where there is no room for one."""
    sizes = []
    while tokens >= SHORTEST:
        size = tokens if tokens <= LONGEST else rng.randint(SHORTEST, min(LONGEST, tokens - SHORTEST))
        sizes.append(size)
        tokens -= size
    return sizes


def write(rng: random.Random, facts: Mapping[str, str] | Sequence[tuple[str, str]], tokens: int) -> str:
    """A document of exactly `tokens` tokens with all of `facts` at places drawn evenly; paragraphs are parted by blank lines.

    Between 1 and 3 tokens, which no sentence can fill, are left over.
    """
    pairs = list(facts.items()) if isinstance(facts, Mapping) else list(facts)
    room = tokens - FACT_TOKENS * len(pairs)
    assert room >= 0, (tokens, len(pairs))
    sentences = [f"{name} {verb}." for name, verb in pairs] + [filler(rng, size) for size in filler_sizes(rng, room)]
    rng.shuffle(sentences)
    return "\n\n".join(" ".join(sentences[i : i + PARAGRAPH]) for i in range(0, len(sentences), PARAGRAPH))
