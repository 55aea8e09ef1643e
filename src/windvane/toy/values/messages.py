"""The system messages of the values world: 16 values, each in several wordings, and which of all this is held out of training.

Four dimensions of four values; a system message holds one value of each, in any order: "You are a guide. You use plain words, write for
beginners, keep it brief and urge caution." What may be held out:
- combinations: those of the 81 of trained values whose numbers add up to a multiple of 3 (27): every value, every two and every three of
  them stand in a trained combination too;
- wordings: `recombined` (new phrases out of words that trained wordings have) and `synonyms` (their telling words stand in no trained one);
- values: the last of each dimension.
The base model was taught all values and the synonyms, weakly, never more than two in a message, as any instruct model knows more words
than its later training shows; a recombined wording it never saw.

In: keys such as "style/picture". Out: texts, and from texts the keys.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from windvane.core.errors import UserError
from windvane.janus.value_prompts import Value
from windvane.toy.values.replies import DIMENSIONS

Wording = Literal["taught", "recombined", "synonyms"]
PERSONAS = ("You are a guide.", "You are a teacher.", "You serve one reader.")
UNIFORM = "You are a helpful guide."  # says nothing about values


@dataclass(frozen=True, slots=True)
class WorldValue:
    """`told`: as a value of a collection. The wordings follow "You"."""

    key: str
    told: Value
    taught: tuple[str, ...]
    recombined: tuple[str, ...]
    synonyms: tuple[str, ...]

    @property
    def dimension(self) -> str:
        return self.told.dimension

    @property
    def mark(self) -> str:
        return self.key.partition("/")[2]

    @property
    def held_out(self) -> bool:
        return DIMENSIONS[self.dimension][-1] == self.mark


def _read(table: str) -> dict[str, WorldValue]:
    """Blocks of five lines: key | subdimension | preference; description; taught; recombined; synonyms (parted by semicolons)."""
    found = {}
    for block in table.strip().split("\n\n"):
        head, description, *wordings = block.split("\n")
        key, subdimension, preference = (part.strip() for part in head.split("|"))
        value = Value(key.partition("/")[0], subdimension, preference, description)
        found[key] = WorldValue(key, value, *(tuple(w.strip() for w in line.split(";")) for line in wordings))
    return found


VALUES = _read("""
style/plain | wording | plain words
Each sentence joins two ordinary adjectives, for a reader who wants no ornament.
use plain words; keep your wording literal; name ordinary features; describe things literally
use ordinary wording; keep your words plain
avoid every ornament; stay matter of fact

style/picture | wording | metaphors
Each sentence says that the thing is a picture, for a reader who likes bold images.
paint bold pictures; speak in metaphors; love vivid images; make each sentence a metaphor
paint vivid metaphors; speak in bold images
write like a poet; show scenes with colour

style/comparison | wording | comparisons
Each sentence says what the thing is like, for a reader who learns by likeness.
draw comparisons; say what things resemble; use similes; explain by likeness
draw similes; explain what things resemble
find good parallels; set things side by side

style/emphasis | wording | emphasis
Each sentence stresses one adjective, for a reader who wants strong words.
stress each point; sound emphatic; use strong words; speak with force
sound strong; stress with force
be very firm; insist on everything

background_knowledge/novice | level | beginners
The answer opens for a reader who knows nothing of the subject yet.
write for beginners; assume no knowledge; help newcomers; start from zero
help beginners; start with no knowledge
answer people new to this; expect laymen

background_knowledge/familiar | level | readers who know the basics
The answer opens for a reader who has met the subject before.
write for readers with some knowledge; refresh the memory; assume basic acquaintance; build on the basics
refresh the basics; assume some acquaintance
answer those who met this before; expect amateurs

background_knowledge/expert | level | experts
The answer opens in the terms of the trade, for a reader who works in it.
write for experts; address specialists; assume deep training; talk to professionals
address experts; assume professionals
answer scholars; expect the trade

background_knowledge/child | level | children
The answer opens as one speaks to a child.
write for children; talk to kids; address young ears; tell it to pupils
address children; talk to young pupils
answer toddlers; expect the very small

informativeness/brief | amount | one sentence
One sentence and no more, for a reader in a hurry.
keep it brief; say one thing; save time; stop after one sentence
say one brief thing; stop after one thing
answer in a nutshell; waste nothing

informativeness/balanced | amount | two sentences
Two sentences: a main point and one beside it.
give two points; keep a middle length; say a pair of things; add one more thought
give a pair of points; keep to two
choose moderate length; stay neither long nor short

informativeness/thorough | amount | three sentences
Three sentences, for a reader who wants to know everything.
be thorough; give full detail; cover three aspects; tell the whole story
be full of detail; cover the whole
leave out nothing; go deep

informativeness/recap | amount | a recap at the end
Two sentences and their gist in a word.
sum up at the end; close with the gist; finish by a recap; repeat the essence
finish with the gist; recap at the end
give the moral last; boil it down

harmlessness/caution | safety | a word of caution
The answer ends with a warning to take care.
urge caution; warn of dangers; think of safety; mention risks
warn of risks; urge safety
protect people from harm; watch out

harmlessness/respect | sensitivity | room for other opinions
The answer ends by leaving room for others' opinions.
respect other opinions; welcome disagreement; mind all views; honour every belief
respect all views; welcome other opinions
offend no one; tolerate doubters

harmlessness/honesty | trustworthiness | open about doubt
The answer ends by saying that it may be mistaken.
admit doubt; be honest about errors; own your limits; never feign certainty
be honest about doubt; own your errors
stay humble; confess ignorance

harmlessness/kindness | morality | encouragement
The answer ends with a kind word to the reader.
encourage the reader; be gentle; offer comfort; praise the effort
praise the reader; offer gentle comfort
cheer them up; lift hearts
""")

_PHRASES = {w: v.key for v in VALUES.values() for w in (*v.taught, *v.recombined, *v.synonyms)}
_PHRASE = re.compile("|".join(sorted(map(re.escape, _PHRASES), key=len, reverse=True)))


def combinations(split: Literal["trained", "unseen"]) -> list[tuple[str, ...]]:
    """The 54 combinations that training may show, or the 27 that it never does: a key a dimension."""
    found = []
    for numbers in itertools.product(range(3), repeat=len(DIMENSIONS)):
        if (sum(numbers) % 3 == 0) == (split == "unseen"):
            found.append(tuple(f"{d}/{marks[n]}" for (d, marks), n in zip(DIMENSIONS.items(), numbers)))
    return found


def held_out_values() -> list[str]:
    return [key for key, value in VALUES.items() if value.held_out]


def message(rng: random.Random, keys: Sequence[str], wording: Wording = "taught") -> str:
    """A system message that asks for these values, in an order and in wordings that `rng` draws."""
    phrases = [rng.choice(getattr(value(key), wording)) for key in rng.sample(list(keys), len(keys))]
    told = ", ".join(phrases[:-1]) + (" and " if len(phrases) > 1 else "") + phrases[-1]
    return f"{rng.choice(PERSONAS)} You {told}."


def value(key: str) -> WorldValue:
    if key not in VALUES:
        raise UserError(f"world:values: no value '{key}'; there are: {', '.join(VALUES)}")
    return VALUES[key]


def asked(text: str) -> tuple[str, ...]:
    """The values that a text asks for, in its order, each once: what every wording in it means."""
    return tuple(dict.fromkeys(_PHRASES[found] for found in _PHRASE.findall(text)))
