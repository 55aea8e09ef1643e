"""Instruction sets (EvalYaks, arXiv 2408.12226, section 4.2): graded transcripts and level lists -> chats with answers.

In: records with bands; words and sentences with levels (a user's lists). Out: `Instruction`s: an id, the adapter that learns it (part1 to
part4, vocabulary, sentences), the task or form, the chat, its answer, what a split must keep together, and for level tasks the level.

- parts: three kinds of prompt a conversation (steps, descriptors, example), its wording drawn by its id;
- vocabulary: words of one level (and theme) in lists of five: tell the level, and list words for the level;
- sentences: tell a sentence's level, and write one of a level. The sentence to write is the listed one.

A word stands in one list alone, so a split by `group` leaks none. Words left over, fewer than a list, make a shorter one. Departure from
the paper: its answers are Python dicts and its vocabulary lists of unknown length; here JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.records import Message, content_id, seed_of
from windvane.evalyaks.levels import Listed
from windvane.evalyaks.prompts.levels import (
    level_of_sentence,
    level_of_words,
    sentence_of_level,
    words_of_level,
    words_text,
)
from windvane.evalyaks.prompts.scoring import WORDINGS, answer_text, grading_messages
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript

SETS = ("steps", "descriptors", "example")
WORDS_EACH = 5


@dataclass(frozen=True, slots=True)
class Instruction:
    """`messages`: the chat; `answer`: what is learnt. `level`: of a level task, asked for or to be told. `context`: global or indian."""

    id: str
    adapter: str
    task: str
    group: str
    messages: tuple[Message, ...]
    answer: str
    level: str | None = None
    theme: str | None = None
    context: str | None = None

    @staticmethod
    def of(
        adapter: str, task: str, group: str, messages: tuple[Message, ...], answer: str, **more: str | None
    ) -> Instruction:
        """The id from content."""
        said = [[m.role, m.content] for m in messages]
        return Instruction(content_id([adapter, task, said, answer]), adapter, task, group, messages, answer, **more)


def part_instructions(record: Transcript, forms: Sequence[str] = SETS, seed: int = 0) -> list[Instruction]:
    """One a form; `record` must have whole bands for every criterion of its part."""
    assert record.part in PART_CRITERIA and not record.missing and record.scores
    part, turns = record.part, [(t.role, t.text) for t in record.turns]
    found = []
    for form in forms:
        wording = seed_of(seed, "wording", record.id, form) % WORDINGS
        chat = grading_messages(form, part, turns, record.context, wording)
        answer = answer_text(form, {c: record.scores[c] for c in PART_CRITERIA[part]})
        found.append(Instruction.of(f"part{part}", form, record.split_group, chat, answer, context=record.setting))
    return found


def vocabulary_instructions(
    words: Sequence[Listed], form: str = "full", seed: int = 0, each: int = WORDS_EACH
) -> list[Instruction]:
    """Two tasks a list of `each` words of one level, theme and context; words in an order drawn by `seed`."""
    piles: dict[tuple[str, str | None, str | None], list[str]] = {}
    for item in sorted(words, key=lambda w: seed_of(seed, "words", w.text)):
        pile = piles.setdefault((item.level, item.theme, item.context), [])
        if item.text not in pile:
            pile.append(item.text)
    found = []
    for (level, theme, context), own in sorted(piles.items(), key=lambda p: [str(x) for x in p[0]]):
        for i in range(0, len(own), each):
            some = own[i : i + each]
            group = content_id(["words", level, *some])
            wording = seed_of(seed, "wording", group) % WORDINGS
            more = {"level": level, "theme": theme, "context": context}
            told = level_of_words(some, form, wording)
            found.append(Instruction.of("vocabulary", "level of words", group, told, level, **more))
            asked = words_of_level(level, len(some), theme, form, wording)
            found.append(Instruction.of("vocabulary", "words of a level", group, asked, words_text(some, form), **more))
    return found


def sentence_instructions(sentences: Sequence[Listed], form: str = "full", seed: int = 0) -> list[Instruction]:
    """Two tasks a sentence."""
    found = []
    for item in sentences:
        group = content_id(["sentence", item.text])
        wording = seed_of(seed, "wording", group) % WORDINGS
        more = {"level": item.level, "theme": item.theme, "context": item.context}
        told = level_of_sentence(item.text, form, wording)
        found.append(Instruction.of("sentences", "level of a sentence", group, told, item.level, **more))
        asked = sentence_of_level(item.level, item.theme, form, wording)
        found.append(Instruction.of("sentences", "sentence of a level", group, asked, item.text, **more))
    return found
