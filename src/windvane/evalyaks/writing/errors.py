"""Learners' errors, put into a right sentence: one at a time, of kinds that a level makes.

In: a sentence, a random generator. Out: the sentence with one error, or as it was where none fits. Kinds: a lost article, a lost or wrong
verb ending, a wrong auxiliary, a singular for a plural, a wrong or lost preposition, a lost verb "to be", a wrong comparative, a
wrong gerund. Written for the programme that writes practice conversations; a sample, not a theory of errors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

THIRD = re.compile(
    r"\b(he|she|it|my \w+) (likes|helps|goes|makes|gives|works|knows|saves|takes|reminds|keeps|tastes|teaches|lives|cooks|comes)\b",
    re.I,
)
PLURALS = re.compile(
    r"\b(friends|books|games|photos|people|shops|cars|trees|problems|words|things|students|videos|hours|cousins|streets|clothes)\b"
)
PAST = {
    "went": "go",
    "saw": "see",
    "was": "is",
    "were": "are",
    "met": "meet",
    "had": "have",
    "visited": "visit",
    "started": "start",
    "told": "tell",
    "learnt": "learn",
}


def _article(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(r"\b(?:a|an|the) (?=\w)"), lambda m: "", rng)


def _third(s: str, rng: random.Random) -> str:
    return _once(s, THIRD, lambda m: f"{m[1]} {re.sub(r'(?<=o)es$|(?<=h)es$|s$', '', m[2])}", rng)


def _be(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(r"\b(is|are|am) "), lambda m: "", rng)


def _agreement(s: str, rng: random.Random) -> str:
    swap = {
        "is": "are",
        "are": "is",
        "was": "were",
        "were": "was",
        "have": "has",
        "has": "have",
        "do": "does",
        "don't": "doesn't",
    }
    return _once(s, re.compile(r"\b(is|are|was|were|have|has|do|don't)\b"), lambda m: swap[m[1]], rng)


def _plural(s: str, rng: random.Random) -> str:
    return _once(s, PLURALS, lambda m: m[1][:-1] if m[1].endswith("s") else "peoples", rng)


def _preposition(s: str, rng: random.Random) -> str:
    others = ("in", "on", "at", "to", "for")
    return _once(
        s,
        re.compile(r"\b(in|on|at|to|for|with) (?=\w)"),
        lambda m: rng.choice([f"{o} " for o in others if o != m[1]] + [""]),
        rng,
    )


def _past(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(rf"\b({'|'.join(PAST)})\b"), lambda m: PAST[m[1]], rng)


def _comparative(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(r"\b(better|cheaper|easier|healthier|happier)\b"), lambda m: f"more {m[1]}", rng)


def _agree(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(r"\bI (agree|think|like|want)\b"), lambda m: f"I am {m[1]}", rng)


def _gerund(s: str, rng: random.Random) -> str:
    return _once(s, re.compile(r"\b(like|enjoy|love|prefer) (\w+)ing\b"), lambda m: f"{m[1]} to {m[2]}", rng)


KINDS: tuple[Callable[[str, random.Random], str], ...] = (
    _article, _third, _be, _agreement, _plural, _preposition, _past, _comparative, _agree, _gerund,
)  # fmt: skip


def with_error(sentence: str, rng: random.Random) -> str:
    """One error of a kind that fits, kinds in an order drawn by `rng`."""
    for kind in rng.sample(KINDS, len(KINDS)):
        wrong = kind(sentence, rng)
        if wrong != sentence:
            return wrong[:1].upper() + wrong[1:]
    return sentence


def _once(s: str, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str], rng: random.Random) -> str:
    found = list(pattern.finditer(s))
    if not found:
        return s
    m = rng.choice(found)
    return s[: m.start()] + change(m) + s[m.end() :]
