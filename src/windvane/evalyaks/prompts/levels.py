"""Levels of words and sentences: what a model is asked in both directions, and the strict reading of its replies.

In: words or a sentence, or a level with a theme. Out: chats and answers' texts, and from a reply a level, words or a sentence, or why it is
none. The four tasks are those of EvalYaks (arXiv 2408.12226, section 4.2: predict a level or list words for one; predict a level or
write a sentence of one) in our own words and three wordings each. Form "compact" is for models with a few hundred words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from windvane.core.records import Message
from windvane.evalyaks.prompts import compact as cefr_compact
from windvane.prompts.reasoning import after_thought, read_json

LEVEL_OF_WORDS = (
    "At which CEFR level (A1, A2, B1, B2, C1 or C2) do learners of English usually come to know these words? {words}\nReply "
    "with the level alone.",
    "Words: {words}\nTell the CEFR level of this vocabulary. Reply with A1, A2, B1, B2, C1 or C2 and nothing else.",
    "You build word lists for English courses. To the list of which CEFR level do these words belong: {words}? Reply with the level only.",
)
WORDS_OF_LEVEL = (
    "List {count} English words{theme} that learners usually come to know at CEFR level {level}. Reply with a JSON list of {count} "
    "words and nothing else.",
    "Give {count} words{theme} for the vocabulary list of CEFR level {level}. Your whole reply is a JSON list of {count} strings.",
    "A course at CEFR level {level} needs {count} words{theme}. Reply with the words as a JSON list of strings, without any other text.",
)
LEVEL_OF_SENTENCE = (
    "At which CEFR level (A1, A2, B1, B2, C1 or C2) can a learner of English read this sentence with ease?\n{sentence}\nReply with "
    "the level alone.",
    "Sentence: {sentence}\nTell its CEFR level. Reply with A1, A2, B1, B2, C1 or C2 and nothing else.",
    "You sort sentences for English readers by CEFR level. Which level does this one have? {sentence}\nReply with the level only.",
)
SENTENCE_OF_LEVEL = (
    "Write one English sentence{theme} of CEFR level {level}. Reply with the sentence alone.",
    "A reader for learners at CEFR level {level} needs one more sentence{theme}. Reply with that sentence and nothing else.",
    "Compose a single sentence{theme} that suits CEFR level {level}. Your whole reply is the sentence.",
)


def level_of_words(words: Sequence[str], form: str = "full", wording: int = 0) -> tuple[Message, ...]:
    """The chat whose answer is a level."""
    if form == "compact":
        return _user(cefr_compact.level_of_words(words))
    return _user(LEVEL_OF_WORDS[wording].format(words=", ".join(words)))


def words_of_level(
    level: str, count: int, theme: str | None = None, form: str = "full", wording: int = 0
) -> tuple[Message, ...]:
    """The chat whose answer is `words_text` of `count` words."""
    if form == "compact":
        return _user(cefr_compact.words_of_level(level))
    return _user(WORDS_OF_LEVEL[wording].format(level=level, count=count, theme=_about(theme)))


def level_of_sentence(sentence: str, form: str = "full", wording: int = 0) -> tuple[Message, ...]:
    """The chat whose answer is a level."""
    if form == "compact":
        return _user(cefr_compact.level_of_sentence(sentence))
    return _user(LEVEL_OF_SENTENCE[wording].format(sentence=sentence))


def sentence_of_level(
    level: str, theme: str | None = None, form: str = "full", wording: int = 0
) -> tuple[Message, ...]:
    """The chat whose answer is a sentence."""
    if form == "compact":
        return _user(cefr_compact.sentence_of_level(level))
    return _user(SENTENCE_OF_LEVEL[wording].format(level=level, theme=_about(theme)))


def words_text(words: Sequence[str], form: str = "full") -> str:
    """The answer that lists `words`."""
    return ", ".join(words) if form == "compact" else json.dumps(list(words), ensure_ascii=False)


def read_level(reply: str) -> tuple[str | None, str | None]:
    """(the one level named, None), or (None, why not)."""
    text = after_thought(reply)
    found = set(re.findall(r"\b([ABC][12])\b", text.upper()))
    if len(found) != 1:
        return None, "no level" if not found else "more than one level"
    return found.pop(), None


def read_words(reply: str, count: int | None = None, form: str = "full") -> tuple[tuple[str, ...], str | None]:
    """(the words, None), or ((), why not): `count` different ones where asked for."""
    if form == "compact":
        found: object = [w.strip(" .") for w in reply.split(",")]
    else:
        found, reason = read_json(reply)
        if reason is not None:
            return (), reason
    if not isinstance(found, list) or not found or not all(isinstance(w, str) and re.search(r"\w", w) for w in found):
        return (), "not a list of words"
    words = tuple(" ".join(w.split()) for w in found)
    if len({w.casefold() for w in words}) < len(words):
        return (), "a word stands twice"
    if count is not None and len(words) != count:
        return (), f"{len(words)} words where {count} were asked for"
    return words, None


def read_sentence(reply: str) -> tuple[str | None, str | None]:
    """(one sentence, None), or (None, why not)."""
    text = after_thought(reply).strip()
    if text[:1] in "\"“'" and text[-1:] in "\"”'" and len(text) > 2:
        text = text[1:-1].strip()
    if not re.search(r"\w", text):
        return None, "no reply"
    if "\n" in text:
        return None, "more than one line"
    if len(re.findall(r"[.!?](?:\s|$)", text)) > 1:
        return None, "more than one sentence"
    return text, None


def _about(theme: str | None) -> str:
    return f' on the theme "{theme}"' if theme else ""


def _user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)
