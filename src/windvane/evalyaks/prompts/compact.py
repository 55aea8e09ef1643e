"""The shortest words in which a transcript is put to a model and answered: for the embedded world's tiny vocabulary.

In: an exam part, turns as (role, text), the task's context, bands. Out: prompt and answer texts, and the turns of a written transcript. The
six tasks are those of EvalYaks (arXiv 2408.12226, section 4.2): grade a part, write a part, tell the level of words, list words, tell the
level of a sentence, write one. Real models get the full prompts; these are for models with a few hundred words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

GRADE = "Grade the candidate."
LABEL = re.compile(r"\b(Examiner|Candidate|Partner): *")


def talk(part: int, turns: Sequence[tuple[str, str]], context: Mapping[str, str] | None = None) -> str:
    """The conversation, a turn a line, after the part and its context."""
    told = " ".join(f"{name.split('_')[0].capitalize()}: {text}." for name, text in (context or {}).items())
    return "\n".join([f"Part {part}. {told}".strip(), *(f"{role.capitalize()}: {text}" for role, text in turns)])


def grading(part: int, turns: Sequence[tuple[str, str]], context: Mapping[str, str] | None = None) -> str:
    """The prompt whose answer is `bands`."""
    return f"{talk(part, turns, context)}\n\n{GRADE}"


def bands(scores: Mapping[str, float]) -> str:
    """ "GV: 3 DM: 2 IC: 4", in the order of the criteria."""
    return " ".join(f"{name}: {band:g}" for name, band in scores.items())


def writing(part: int, scores: Mapping[str, float]) -> str:
    """The prompt whose answer is a transcript with these bands."""
    return f"Write part {part} with {bands(scores)}."


def turns_of(text: str) -> list[tuple[str, str]]:
    """(role, text) of a transcript as a model writes it: labels wherever they stand; what stands before the first is no turn."""
    pieces = LABEL.split(text)
    return [(label.lower(), said.strip()) for label, said in zip(pieces[1::2], pieces[2::2]) if said.strip()]


def level_of_words(words: Sequence[str]) -> str:
    """The prompt whose answer is a level, "B1"."""
    return f"Level of these words: {', '.join(words)}."


def words_of_level(level: str) -> str:
    """The prompt whose answer is a list of words."""
    return f"Words of level {level}."


def level_of_sentence(sentence: str) -> str:
    """The prompt whose answer is a level."""
    return f"Level of this sentence: {sentence}"


def sentence_of_level(level: str) -> str:
    """The prompt whose answer is a sentence."""
    return f"A sentence of level {level}."
