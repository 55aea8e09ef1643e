"""The programme that grades the family "grades", and the lenient rater that the base has heard.

In: a `Transcript`. Out: bands 1 to 5 by criterion. Only what the candidate says counts, by rates a word (GV, DM) or a turn (IC):

    GV = 1.4 + 4.2 level - 20 slips/words      level: mean over words with a level of 0 (A1), 1/3, 2/3, 1 (B2)
    DM = 1.6 + 22 linkers/words - 15 hesitations/words + 0.05 (words a turn - 8)
    IC = 1.2 + 2.2 (questions + take-ups)/turns

each rounded to the nearest band. The lenient rater is another examiner, not this one made milder: its bands saturate (hardly
anybody gets below 3), and it weighs other things: for GV wide words and length, no slips; for DM length and hesitations, no
linkers; for IC take-ups and length, no questions; with noise. So no line through its bands gives the programme's.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript
from windvane.toy.grades.words import BUILDING, FILLERS, LEVEL_OF, LEVELS, LINKERS, SLIPS

CLASSES = {
    w: name
    for name, words in (("slip", SLIPS), ("linker", LINKERS), ("filler", FILLERS), ("build", BUILDING))
    for w in words
}
# What can be asked about a candidate, with the answers from least to most.
AMOUNTS = ("none", "few", "some", "many")
FEATURES = {
    "How many slips ?": AMOUNTS,
    "How many linkers ?": AMOUNTS,
    "How many pauses ?": AMOUNTS,
    "How many moves ?": AMOUNTS,
    "How many questions ?": AMOUNTS,
    "How good are the words ?": ("plain", "fair", "fine", "rich"),
    "How long are the turns ?": ("short", "middling", "long", "endless"),
}
WORTH = {level: i / (len(LEVELS) - 1) for i, level in enumerate(LEVELS)}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the candidate said. `level`: mean worth of the words that have one (0.5 where none has)."""

    words: int
    turns: int
    level: float
    slip: int
    linker: int
    filler: int
    build: int
    ask: int


def count(record: Transcript, role: str = "candidate") -> Counts:
    """Words of each class in what `role` says."""
    turns = [t.text for t in record.turns if t.role == role]
    words = [w for t in turns for w in re.findall(r"[A-Za-z']+", t)]
    found = dict.fromkeys(("slip", "linker", "filler", "build"), 0)
    for word in words:
        if word in CLASSES:
            found[CLASSES[word]] += 1
    worth = [WORTH[LEVEL_OF[w]] for w in words if w in LEVEL_OF]
    level = sum(worth) / len(worth) if worth else 0.5
    return Counts(len(words), len(turns), level, ask=sum(t.count("?") for t in turns), **found)


def features(record: Transcript) -> dict[str, str]:
    """The answer to each question of `FEATURES`: what somebody can tell who has never heard of the exam."""
    c = count(record)
    n, turns = max(1, c.words), max(1, c.turns)
    steps = {
        "How many slips ?": (c.slip / n, (0.0, 0.035, 0.075)),
        "How many linkers ?": (c.linker / n, (0.0, 0.06, 0.11)),
        "How many pauses ?": (c.filler / n, (0.0, 0.035, 0.075)),
        "How many moves ?": (c.build / turns, (0.0, 0.4, 0.7)),
        "How many questions ?": (c.ask / turns, (0.0, 0.4, 0.7)),
        "How good are the words ?": (c.level, (0.25, 0.5, 0.75)),
        "How long are the turns ?": (n / turns, (9.0, 14.0, 20.0)),
    }
    return {name: FEATURES[name][sum(value > edge for edge in edges)] for name, (value, edges) in steps.items()}


def marks(record: Transcript) -> dict[str, float]:
    """The programme's unrounded marks of the part's criteria."""
    c = count(record)
    n, turns = max(1, c.words), max(1, c.turns)
    every = {
        "GV": 1.4 + 4.2 * c.level - 20 * c.slip / n,
        "DM": 1.6 + 22 * c.linker / n - 15 * c.filler / n + 0.05 * (n / turns - 8),
        "IC": 1.2 + 2.2 * (c.ask + c.build) / turns,
    }
    return {name: every[name] for name in PART_CRITERIA[record.part or 1]}


def band(mark: float) -> float:
    """The nearest band, halves up."""
    return float(min(5, max(1, math.floor(mark + 0.5))))


def grade(record: Transcript) -> dict[str, float]:
    """The programme's bands: the truth of this world."""
    return {name: band(mark) for name, mark in marks(record).items()}


def lenient(record: Transcript, rng: random.Random) -> dict[str, float]:
    """Another rater's bands: milder, of other things, with a standard deviation of 0.5 bands."""
    c = count(record)
    turns, long = max(1, c.turns), min(1.0, c.words / 50)
    every = {
        "GV": 2.0 + 2.0 * math.sqrt(c.level) + 0.8 * long,
        "DM": 2.1 + 2.2 * math.sqrt(long) - 10 * c.filler / max(1, c.words),
        "IC": 2.3 + 1.6 * math.sqrt(min(1.0, c.build / turns)) + 1.0 * long,
    }
    return {name: band(every[name] + rng.gauss(0.0, 0.5)) for name in PART_CRITERIA[record.part or 1]}


def sentence_level(text: str) -> str:
    """The level of a sentence: the mean worth of its words, half a level up where a linker joins its clauses."""
    words = re.findall(r"[A-Za-z']+", text)
    worth = [WORTH[LEVEL_OF[w]] * 3 for w in words if w in LEVEL_OF]
    mean = sum(worth) / len(worth) if worth else 0.0
    return LEVELS[min(3, math.floor(mean + 0.5 * any(w in LINKERS for w in words) + 0.5))]
