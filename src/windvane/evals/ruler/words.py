"""The words, numbers and sentences that RULER's haystacks and needles are made of.

In: a random generator. Out: "adjective-noun" keys, 7-digit numbers, version-4 UUIDs, lists of distinct words, prose. Words are those of
the package wonderwords, as published. Departures: distinct draws are enforced where an answer would be ambiguous otherwise; when a list
needs more words than wonderwords has (CWE from about 128K on) pronounceable coined ones follow, where the release reads an 8.6 MB
file of English words; prose is generated where no text file is given, where the release downloads essays.
"""

from __future__ import annotations

import functools
import random
import uuid
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.extras import require

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


@functools.cache
def vocabulary() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """(nouns, adjectives, verbs), sorted."""
    source = _wonderwords().RandomWord()
    kinds = (source.filter(include_categories=[kind]) for kind in ("noun", "adjective", "verb"))
    nouns, adjectives, verbs = (tuple(sorted(set(words))) for words in kinds)
    return nouns, adjectives, verbs


@functools.cache
def polite() -> tuple[tuple[str, ...], ...]:
    """The same without words that a model may balk at; for prose, where nothing published fixes the list."""
    profane = _wonderwords().is_profanity
    return tuple(tuple(w for w in words if not profane(w)) for words in vocabulary())


def _wonderwords() -> Any:
    return require("wonderwords", "RULER", "eval")


def draw(rng: random.Random, kind: str) -> str:
    """One needle key or value: `kind` is words, numbers or uuids."""
    if kind == "words":
        nouns, adjectives, _ = vocabulary()
        return f"{rng.choice(adjectives)}-{rng.choice(nouns)}"
    if kind == "numbers":
        return str(rng.randint(10**6, 10**7 - 1))
    assert kind == "uuids", kind
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def draw_new(rng: random.Random, kind: str, taken: set[str]) -> str:
    """One that is not in `taken`, and is added to it. A key that is part of another counts as taken (an answer is a substring)."""
    while True:
        found = draw(rng, kind)
        if found not in taken:
            taken.add(found)
            return found


def coined(rng: random.Random) -> str:
    """A pronounceable word of three or four syllables that no list has."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(3, 4)))


class WordList:
    """Distinct single words in random order, as many as asked for: wonderwords first, coined ones after."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.getrandbits(64))
        self._words = sorted({w for words in vocabulary() for w in words})
        self._rng.shuffle(self._words)
        self._known = set(self._words)

    def first(self, n: int) -> list[str]:
        while len(self._words) < n:
            word = coined(self._rng)
            if word not in self._known:
                self._known.add(word)
                self._words.append(word)
        return self._words[:n]


SUBJECTS = (
    "The {a} {n}",
    "A {a} {n}",
    "Nobody in the {n}",
    "My {a} {n}",
    "Every {n}",
    "The old {n}",
    "Her {n}",
    "Someone with a {n}",
)
PLACES = (
    "near the {n}",
    "behind a {a} {n}",
    "without the {n}",
    "for a {n}",
    "under the {a} {n}",
    "until the {n} was gone",
)
LINKS = ("because", "although", "while", "and then", "so that", "before")


def sentence(rng: random.Random) -> str:
    """One sentence of generated prose."""
    nouns, adjectives, verbs = polite()

    def clause() -> str:
        subject, place = rng.choice(SUBJECTS), rng.choice(PLACES)
        text = f"{subject} would {rng.choice(verbs)} {place}"
        while "{" in text:
            text = text.replace("{n}", rng.choice(nouns), 1).replace("{a}", rng.choice(adjectives), 1)
        return text

    text = clause()
    if rng.random() < 0.4:
        second = clause()
        text += f" {rng.choice(LINKS)} {second[0].lower()}{second[1:]}"
    return text + "."


class Prose:
    """The long text that needles are hidden in: `words(n)` are its first n words.

    With `files`: their texts one after another, repeated when short (the release does so). Without: generated, never repeating.
    `label` says which, and is written into every row.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.label = "generated prose" if path is None else f"text of {path.name}"
        self._rng = random.Random("windvane prose")
        self._given = [] if path is None else _read(path)
        self._words = list(self._given)

    def words(self, n: int) -> list[str]:
        while len(self._words) < n:
            self._words += self._given or sentence(self._rng).split(" ")
        return self._words[:n]


def _read(path: Path) -> list[str]:
    files = sorted(f for f in path.rglob("*") if f.suffix in (".txt", ".md")) if path.is_dir() else [path]
    try:
        words = " ".join(f.read_text(encoding="utf-8", errors="replace") for f in files).split()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not words:
        raise UserError(f"{path}: no text for a haystack; give a text file, or a folder of .txt or .md files")
    return words
