"""How candidates of the family "grades" talk: a plan of bands -> a transcript, word by word from rates of word classes and turn features.

In: a generator family, an exam part, planned bands, a random generator. Out: a `Transcript` without scores. The plan sets the rates (level
of words, slips, linkers, hesitations, moves a turn); the words are then drawn, so what was said gives a band near the plan, and the
programme in toy/grades/rubric.py says which. Examiner and partner talk beside the candidate; the partner with rates of its own, so whoever
counts the partner's words is wrong. Talks are short: the candidate says 30 to 50 words, as in the public data.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, Turn
from windvane.toy.grades.words import (
    ADJECTIVES,
    ASKING,
    BUILT,
    EVENTS,
    FILLERS,
    LEVELS,
    LINKERS,
    NOUNS,
    PLACES,
    SLIPS,
    SPEAKERS,
    VERBS,
    Speakers,
)

TURNS = {1: 3, 2: 2, 3: 3, 4: 3}  # exchanges
OPENING = {
    1: "hello .",
    2: "here are your photos .",
    3: "talk about this together .",
    4: "now we talk about the topic .",
}
PHOTOS = ("PHOTO_ONE", "PHOTO_TWO", "PHOTO_THREE", "PHOTO_FOUR")


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances a clause (slip, linker, hesitation) or a turn (asks, builds); `level`: mean level of the words, 0 (A1) to 1 (B2)."""

    level: float
    slip: float
    linker: float
    filler: float
    ask: float
    build: float


def rates(plan: Mapping[str, float], rng: random.Random) -> Rates:
    """Rates that give about the planned bands: of the two things that a criterion weighs, one is drawn and the other follows."""

    def within(value: float) -> float:
        return min(0.97, max(0.0, value))

    gv, dm, ic = plan.get("GV", 3), plan.get("DM", 3), plan.get("IC", 3)
    slip = rng.uniform(0.0, 0.25) if gv >= 4 else rng.uniform(0.1, 0.6)
    level = within((gv - 1.4 + 4.2 * slip) / 4.2)
    filler = rng.uniform(0.0, 0.2) if dm >= 4 else rng.uniform(0.1, 0.6)
    linker = within((dm - 1.6 + 3.3 * filler) / 4.6)
    ask = rng.uniform(0.0, 0.5 * (ic - 1) / 2)
    return Rates(level, within(slip), linker, within(filler), within(ask), within((ic - 1.2) / 2.2 - ask))


def talk(
    family: str, part: int, plan: Mapping[str, float], rng: random.Random, setting: str | None = None
) -> Transcript:
    """One conversation. `setting`: global or indian names; drawn where None."""
    who, place = SPEAKERS[family], setting or rng.choice(list(PLACES))
    own = rates(plan, rng)
    other = rates({c: rng.randint(1, 5) for c in PART_CRITERIA[3]}, rng)
    turns = [Turn("examiner", OPENING[part])]
    for exchange in range(TURNS[part]):
        if part != 3 or exchange == 0:
            asked = _fill(rng.choice(who.questions), who, rng, rng.random(), place)
            turns[-1:] = (
                [Turn("examiner", f"{turns[-1].text} {asked}")]
                if exchange == 0
                else [turns[-1], Turn("examiner", asked)]
            )
        if part == 3:
            turns.append(Turn("partner", _turn(who, other, rng, place, part, rng.choices((1, 2), (2, 1))[0])))
        count = rng.choices(range(1, len(who.clauses_a_turn) + 1), who.clauses_a_turn)[0]
        turns.append(Turn("candidate", _turn(who, own, rng, place, part, count + (part == 2))))
    context = {}
    if part == 2:
        context = {
            name: f"a {_word(ADJECTIVES, who, rng, rng.random())} {_word(NOUNS, who, rng, rng.random())}"
            for name in PHOTOS
        }
    elif part > 2:
        context = {"topic": _word(NOUNS, who, rng, rng.random())}
    return Transcript.of(part, turns, context=context, language="en", setting=place, source=f"world:grades:{family}")


def sentence(family: str, rng: random.Random, level: float) -> str:
    """One or two clauses without slips; `level`: of its words, 0 (A1) to 1 (B2)."""
    who, place = SPEAKERS[family], rng.choice(list(PLACES))
    first, second = (_fill(rng.choice(who.clauses), who, rng, level, place) for _ in range(2))
    return (first if rng.random() < 0.5 else f"{first} {_pick(LINKERS, who, rng)} {second}") + "."


def _turn(who: Speakers, own: Rates, rng: random.Random, place: str, part: int, clauses: int) -> str:
    """Clauses joined by linkers, "and" or a full stop; in parts 3 and 4 perhaps a move before and a question after."""
    said: list[str] = []
    if part > 2 and rng.random() < own.build:
        said += [rng.choice(BUILT), "."]
    for number in range(clauses):
        if rng.random() < own.linker:
            said.append(_pick(LINKERS, who, rng))
        elif number:
            said.append(rng.choice(("and", ".")))
        if rng.random() < own.filler:
            said.append(_pick(FILLERS, who, rng))
        said.append(
            _fill(rng.choice(who.slipped if rng.random() < own.slip else who.clauses), who, rng, own.level, place)
        )
    said.append(".")
    if part > 2 and rng.random() < own.ask:
        said.append(rng.choice(ASKING))
    return " ".join(said).replace(" .", ".").replace(" ?", "?")


def _fill(clause: str, who: Speakers, rng: random.Random, level: float, place: str) -> str:
    slots = {
        "v": lambda: _word(VERBS, who, rng, level),
        "n": lambda: _word(NOUNS, who, rng, level),
        "a": lambda: _word(ADJECTIVES, who, rng, level),
        "s": lambda: _pick(SLIPS, who, rng),
        "place": lambda: rng.choice(PLACES[place]),
        "event": lambda: rng.choice(EVENTS[place]),
    }
    return clause.format(**{name: draw() for name, draw in slots.items() if f"{{{name}}}" in clause})


def _word(table: Mapping[str, Sequence[str]], who: Speakers, rng: random.Random, level: float) -> str:
    """A word whose level is near `level`: three draws between neighbours."""
    at = sum(rng.random() < level for _ in range(3))
    return _pick(table[LEVELS[at]], who, rng)


def _pick(words: Sequence[str], who: Speakers, rng: random.Random) -> str:
    return rng.choices(words, [who.thirds[i % 3] for i in range(len(words))])[0]
