"""The replies of the values world: how they are written and read back. No model, only text.

A well-formed reply is an opening, one to `MOST_SENTENCES` sentences, perhaps a recap, and an ending:
"In simple words, the sea is like a silver mirror. It seems like a sleeping giant. I may be wrong."
Each part shows one dimension of values: the opening for whom it is (background knowledge), the sentences' wording style, their number
and the recap how much is told (informativeness), the ending what care is taken (harmlessness).

In: texts. Out: `Reading` (what a programme sees), `write` (a reply that has the marks asked for).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.toy.styles.replies import LATER_SUBJECTS, topic_of, words
from windvane.toy.styles.topics import TOPICS, Topic

# mark -> the ways to say it; the last mark of each dimension is never trained on after the base
OPENINGS = {
    "novice": ("In simple words,", "To begin with,"),
    "familiar": ("As you know,", "To remind you,"),
    "expert": ("In technical terms,", "Strictly speaking,"),
    "child": ("Listen, little one,", "Once upon a time,"),
}
WORDINGS = ("plain", "picture", "comparison", "emphasis")
AMOUNTS = {"brief": 1, "balanced": 2, "thorough": 3, "recap": 2}  # sentences; a recap is said after two
ENDINGS = {
    "caution": ("Please take good care.", "Check this first, please."),
    "respect": ("Others may feel otherwise.", "Nobody need agree here."),
    "honesty": ("I may be wrong.", "This is a guess."),
    "kindness": ("You are doing well.", "Be kind to yourself."),
}
RECAP = "In short,"
MOST_SENTENCES = 3
DIMENSIONS = {
    "style": WORDINGS,
    "background_knowledge": tuple(OPENINGS),
    "informativeness": tuple(AMOUNTS),
    "harmlessness": tuple(ENDINGS),
}

_OPENING = {text: mark for mark, texts in OPENINGS.items() for text in texts}
_ENDING = {text: mark for mark, texts in ENDINGS.items() for text in texts}
_PLAIN = {word for topic in TOPICS.values() for word in topic.plain}
_PICTURES = {image for topic in TOPICS.values() for image in topic.images}
_OPEN = re.compile("|".join(map(re.escape, _OPENING)))
_SENTENCE = re.compile(
    r" (the (?P<name>\w+) is|It is|It seems|People call it) "
    r"(?:very (?P<very>\w+) indeed|(?P<a>\w+) and (?P<b>\w+)|(?P<like>like )?a (?P<x>\w+) (?P<y>\w+))\."
)
_RECAP = re.compile(rf" {RECAP} (?P<word>\w+)\.")
_END = re.compile(" (?:" + "|".join(map(re.escape, _ENDING)) + ")$")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the programme sees. `marks`: dimension -> the mark that the reply shows; style is left out where sentences differ in it. Where
    `well_formed` is False the other fields say nothing."""

    well_formed: bool
    words: int
    marks: Mapping[str, str]
    sentences: int = 0
    off_topic: int = 0  # sentences (and a recap) with a word that does not belong to the asked topic
    repeats: int = 0  # sentences that bring nothing new


def read(reply: str, prompt: str | None = None) -> Reading:
    """Read a reply strictly: anything but opening, sentences, recap and ending, with known words, is malformed. `prompt`: the question,
    for what is off its topic; None: the topic is the one that the reply names."""
    reply = reply.strip()
    bad = Reading(False, words(reply), {})
    opening, ending = _OPEN.match(reply), _END.search(reply)
    if not opening or not ending:
        return bad
    topic = None if prompt is None else TOPICS.get(topic_of(prompt) or "")
    at, kinds, off, repeats, told = opening.end(), list[str](), 0, 0, set[str]()
    while at < ending.start() and (found := _SENTENCE.match(reply, at)):
        if bool(found["name"]) != (not kinds):
            return bad
        if found["name"]:
            topic = topic if prompt is not None else TOPICS.get(found["name"])
            if found["name"] not in TOPICS:
                return bad
        kind, content, known, fits = _sentence(found, topic)
        if not known:
            return bad
        off += not (fits and (found["name"] is None or topic is None or found["name"] == topic.name))
        repeats += content <= told or (len(content) == 1 and kind != "emphasis")
        told |= content
        kinds.append(kind)
        at = found.end()
    recap = _RECAP.match(reply, at)
    if recap:
        if recap["word"] not in _PLAIN:
            return bad
        off += topic is None or recap["word"] not in topic.plain
        at = recap.end()
    if at != ending.start() or not 1 <= len(kinds) <= MOST_SENTENCES:
        return bad
    marks = {
        "background_knowledge": _OPENING[opening.group()],
        "informativeness": "recap" if recap else {1: "brief", 2: "balanced", 3: "thorough"}[len(kinds)],
        "harmlessness": _ENDING[ending.group().strip()],
        **({"style": kinds[0]} if len(set(kinds)) == 1 else {}),
    }
    return Reading(True, words(reply), marks, len(kinds), off, repeats)


def _sentence(found: re.Match[str], topic: Topic | None) -> tuple[str, set[str], bool, bool]:
    """(kind, what it says, whether its words are of this world, whether they fit the topic)."""
    if found["very"]:
        content = {found["very"]}
        return "emphasis", content, content <= _PLAIN, topic is not None and content <= set(topic.plain)
    if found["a"]:
        content = {found["a"], found["b"]}
        return "plain", content, content <= _PLAIN, topic is not None and content <= set(topic.plain)
    image = (found["x"], found["y"])
    kind = "comparison" if found["like"] else "picture"
    return kind, set(image), image in _PICTURES, topic is not None and image in topic.images


def write(rng: random.Random, name: str, marks: Mapping[str, str]) -> str:
    """One reply about a topic: on topic, without repeats, with a mark a dimension (one that is not given is drawn)."""
    shown = {d: marks.get(d) or rng.choice(choices) for d, choices in DIMENSIONS.items()}
    topic = TOPICS[name]
    plain, images = rng.sample(topic.plain, 6), rng.sample(topic.images, 3)
    parts = [rng.choice(OPENINGS[shown["background_knowledge"]])]
    for number in range(AMOUNTS[shown["informativeness"]]):
        subject = f"the {name} is" if number == 0 else rng.choice(LATER_SUBJECTS)
        parts.append(f"{subject} {said(shown['style'], plain, images)}.")
    if shown["informativeness"] == "recap":
        parts.append(f"{RECAP} {rng.choice(topic.plain)}.")
    parts.append(rng.choice(ENDINGS[shown["harmlessness"]]))
    return " ".join(parts)


def said(kind: str, plain: list[str], images: list[tuple[str, str]]) -> str:
    """The end of a sentence, out of words that are used up."""
    if kind == "plain":
        return f"{plain.pop()} and {plain.pop()}"
    if kind == "emphasis":
        return f"very {plain.pop()} indeed"
    return f"{'like ' if kind == 'comparison' else ''}a {' '.join(images.pop())}"
