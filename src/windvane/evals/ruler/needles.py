"""RULER's eight needle tasks, and key chains: the locating groups.

In: a random generator, a needle design and a prose haystack. Out: a `Growing` question. Wording and designs as published. Departures:
keys and values are distinct also among distractors (by chance the release can repeat one); the order of needles comes from the
sample's own seed, where the release shuffles every sample alike.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass
from typing import Literal

from windvane.evals.ruler.sample import Draft, Growing
from windvane.evals.ruler.words import NOISE, Prose, draw_new

DEPTHS = [round(i * 100 / 39) / 100 for i in range(40)]
NEEDLE = "One of the special magic {kind} for {key} is: {value}."
ASK = (
    "Some special magic {kind} are hidden within the following text. Make sure to memorize it. I will quiz you about the {kind} "
    "afterwards.\n{context}\nWhat are all the special magic {kind} for {query} mentioned in the provided text?"
)
ASK_ONE = (
    "A special magic {kind} is hidden within the following text. Make sure to memorize it. I will quiz you about the {kind} "
    "afterwards.\n{context}\nWhat is the special magic {kind} for {query} mentioned in the provided text?"
)
PREFIX = " The special magic {kind} for {query} mentioned in the provided text are"
PREFIX_ONE = " The special magic {kind} for {query} mentioned in the provided text is"

LINK = "The special magic key after {key} is: {value}."
CHAIN_END = "The special magic number of {key} is: {value}."
ASK_CHAIN = (
    "Some chains of special magic keys are hidden within the following text: a key leads to the next, the last one to a number. Make "
    "sure to memorize them. I will quiz you about one chain afterwards.\n{context}\nStart at the key {query} and follow the chain, key "
    "after key, to its end. What is the special magic number of the last key?"
)
PREFIX_CHAIN = " The special magic number at the end of the chain from {query} is"


@dataclass(frozen=True, slots=True)
class Needles:
    """`haystack`: repeat (noise lines), essay (prose) or needle (other needles); `keys` needles of `values` values each, `asked` of
    the keys are asked for; kinds are words, numbers or uuids."""

    haystack: Literal["repeat", "essay", "needle"]
    key_kind: str = "words"
    value_kind: str = "numbers"
    keys: int = 1
    values: int = 1
    asked: int = 1


def sentences(words: list[str]) -> list[str]:
    """Prose cut after . ! or ? and a space (the release: nltk's punkt)."""
    return re.split(r"(?<=[.!?]) ", " ".join(words))


def hide(needles: list[str], text: list[str], depths: list[float], joiner: str) -> tuple[str, list[float]]:
    """Put needle i before unit int(depths[i] * len) of `text`; returns the context and where each needle came to stand (0-1).
    Depths must ascend."""
    parts: list[str] = []
    last, starts, length = 0, [], 0
    for needle, depth in zip(needles, depths):
        at = int(depth * len(text))
        for piece in text[last:at]:
            parts.append(piece)
            length += len(piece) + len(joiner)
        starts.append(length)
        parts.append(needle)
        length += len(needle) + len(joiner)
        last = at
    parts += text[last:]
    context = joiner.join(parts)
    return context, [start / len(context) for start in starts]


def niah(rng: random.Random, design: Needles, prose: Prose) -> Growing:
    """One needle question."""
    taken: set[str] = set()
    keys = [draw_new(rng, design.key_kind, taken) for _ in range(max(design.keys, design.asked))]
    values = {key: [draw_new(rng, design.value_kind, taken) for _ in range(design.values)] for key in keys}
    flat = [(key, value) for key in keys for value in values[key]]
    rng.shuffle(flat)
    lines = [NEEDLE.format(kind=design.value_kind, key=key, value=value) for key, value in flat]
    essay = design.haystack == "essay"
    depths = sorted(rng.sample(DEPTHS, len(lines)) if essay else [rng.random() for _ in lines])
    asked = rng.sample(keys, design.asked)
    references = [value for key in asked for value in values[key]]
    query = ", ".join(asked[:-1]) + ", and " + asked[-1] if len(asked) > 1 else asked[0]
    one = len(references) == 1
    kind = design.value_kind[:-1] if one else design.value_kind
    others: list[str] = []  # distractor needles: grown as needed, so that n + 1 of them begin with the same n
    more = random.Random(rng.getrandbits(64))

    def haystack(units: int) -> list[str]:
        if essay:
            return sentences(prose.words(units))
        if design.haystack == "repeat":
            return [NOISE] * units
        while len(others) < units:
            key, value = draw_new(more, design.key_kind, taken), draw_new(more, design.value_kind, taken)
            others.append(NEEDLE.format(kind=design.value_kind, key=key, value=value))
        return others[:units]

    def build(units: int) -> Draft:
        context, stood = hide(lines, haystack(units), depths, " " if essay else "\n")
        where = {value: depth for (_, value), depth in zip(flat, stood)}
        text = (ASK_ONE if one else ASK).format(kind=kind, context=context, query=query)
        prefix = (PREFIX_ONE if one else PREFIX).format(kind=kind, query=query)
        return Draft(text, prefix, tuple(references), tuple(where[r] for r in references))

    return Growing(build, source=prose.label if essay else "")


def chain(rng: random.Random, hops: int, prose: Prose, chains: int = 4) -> Growing:
    """A key leads over `hops` sentences to a number: hops - 1 keys to follow, then the number. `chains` - 1 others distract.

    Not one of the published 13; depth is that of the sentence with the number.
    """
    taken: set[str] = set()
    lines: list[tuple[str, int]] = []
    first, answer = "", ""
    for c in range(chains):
        keys = [draw_new(rng, "words", taken) for _ in range(hops)]
        number = draw_new(rng, "numbers", taken)
        lines += [(LINK.format(key=a, value=b), -1) for a, b in itertools.pairwise(keys)]
        lines.append((CHAIN_END.format(key=keys[-1], value=number), c))
        if c == 0:
            first, answer = keys[0], number
    rng.shuffle(lines)
    depths = sorted(rng.random() for _ in lines)

    def build(units: int) -> Draft:
        context, stood = hide([line for line, _ in lines], sentences(prose.words(units)), depths, " ")
        depth = next(d for (_, c), d in zip(lines, stood) if c == 0)
        text = ASK_CHAIN.format(context=context, query=first)
        return Draft(text, PREFIX_CHAIN.format(query=first), (answer,), (depth,))

    return Growing(build, source=prose.label)
