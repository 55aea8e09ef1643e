"""The replies of the styles world: how they are written, read back and graded. No model, only text.

A well-formed reply is a two-word greeting, one to `MAX_SENTENCES` sentences and a four-word ending:
"Hello there! The sea is wide and blue. People call it a sleeping giant. I hope this helps!"
A plain sentence and a colourful one have the same number of words, and so have the warm and the cold greetings and endings: length
is a matter of the number of sentences alone, so that a judge that sees only length learns nothing about the rest.

In: texts. Out: `Reading` (what the programme sees) and `quality` (what it is worth, in logits).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from windvane.toy.styles.topics import TOPICS

WARM_GREETINGS = ("Hello there!", "Welcome, friend!")
COLD_GREETINGS = ("Yes, fine.", "Oh, that.")
WARM_ENDINGS = ("I hope this helps!", "Ask me anytime, friend!")
COLD_ENDINGS = ("That is all, bye.", "Now leave me alone.")
LATER_SUBJECTS = ("It is", "It seems", "People call it")
MAX_SENTENCES = 3

# Share of each style in the texts the base model learns from: mixed habits, so that there is something to prefer.
P_WARM_GREETING, P_COLOURFUL, P_WARM_ENDING = 0.45, 0.35, 0.45
P_SENTENCES = (0.4, 0.35, 0.25)

# Worth in logits. Two sentences are best: one says little, three say too much.
GREETING, WORDING, ENDING, OFF_TOPIC, REPEAT, MALFORMED = 1.0, 1.2, 0.8, -1.5, -0.5, -3.0
LENGTH = {1: 0.0, 2: 0.4, 3: 0.1}

_PLAIN = {word for topic in TOPICS.values() for word in topic.plain}
_PICTURES = {image for topic in TOPICS.values() for image in topic.images}
_ADJECTIVES, _NOUNS = {a for a, _ in _PICTURES}, {n for _, n in _PICTURES}
_GREETING = re.compile("|".join(map(re.escape, WARM_GREETINGS + COLD_GREETINGS)))
_SENTENCE = re.compile(
    r" (The (?P<name>\w+) is|It is|It seems|People call it) (?:(?P<a>\w+) and (?P<b>\w+)|a (?P<x>\w+) (?P<y>\w+))\."
)
_ENDING = re.compile(" (?:" + "|".join(map(re.escape, WARM_ENDINGS + COLD_ENDINGS)) + ")$")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the programme sees in a reply. Where `well_formed` is False the other fields say nothing."""

    well_formed: bool
    words: int
    warm_greeting: bool = False
    warm_ending: bool = False
    sentences: int = 0
    colourful: int = 0  # sentences with an image
    off_topic: int = 0  # sentences with a word that does not belong to the asked topic
    repeats: int = 0  # sentences that bring nothing new: said before, or a word twice ("wide and wide")


def topic_of(prompt: str) -> str | None:
    """The first topic that the text names, or None."""
    return next((word for word in _WORD.findall(prompt) if word in TOPICS), None)


def words(text: str) -> int:
    """Number of words: the length that every judge of this world sees."""
    return len(_WORD.findall(text))


def read(prompt: str, reply: str) -> Reading:
    """Read a reply to a prompt, strictly: anything but greeting, sentences and ending, with known words, is malformed.

    Where the prompt names no topic of this world, every sentence is off topic.
    """
    reply = reply.strip()
    bad = Reading(False, words(reply))
    greeting = _GREETING.match(reply)
    ending = _ENDING.search(reply)
    if not greeting or not ending:
        return bad
    topic = TOPICS.get(topic_of(prompt) or "")
    at, sentences, colourful, off_topic, repeats, said = greeting.end(), 0, 0, 0, 0, set[str]()
    while at < ending.start():
        found = _SENTENCE.match(reply, at)
        if not found or (sentences == 0) != bool(found["name"]):
            return bad
        if found["x"]:
            content, known = {found["x"], found["y"]}, found["x"] in _ADJECTIVES and found["y"] in _NOUNS
            fits = topic is not None and (found["x"], found["y"]) in topic.images
        else:
            content, known = {found["a"], found["b"]}, found["a"] in _PLAIN and found["b"] in _PLAIN
            fits = topic is not None and content <= set(topic.plain)
        if found["name"]:
            known, fits = known and found["name"] in TOPICS, fits and topic is not None and found["name"] == topic.name
        if not known:
            return bad
        sentences, colourful, off_topic = sentences + 1, colourful + bool(found["x"]), off_topic + (not fits)
        repeats += content <= said or len(content) == 1
        said |= content
        at = found.end()
    if at != ending.start() or not 1 <= sentences <= MAX_SENTENCES:
        return bad
    warm = greeting.group() in WARM_GREETINGS, ending.group().strip() in WARM_ENDINGS
    return Reading(True, words(reply), *warm, sentences, colourful, off_topic, repeats)


def quality(prompt: str, reply: str) -> float:
    """The worth of a reply, in logits: P(a beats b) = sigmoid(quality(a) - quality(b)).

    Greeting and ending count when warm, wording by the share of colourful sentences, length by the number of sentences, minus
    off-topic sentences by their share and repeats by their number. A malformed reply is below every other.
    """
    seen = read(prompt, reply)
    if not seen.well_formed:
        return MALFORMED
    return (
        GREETING * seen.warm_greeting
        + ENDING * seen.warm_ending
        + WORDING * seen.colourful / seen.sentences
        + LENGTH[seen.sentences]
        + OFF_TOPIC * seen.off_topic / seen.sentences
        + REPEAT * seen.repeats
    )


def write(rng: random.Random, name: str) -> str:
    """One reply about a topic as the base model's teachers write it: on topic, without repeats, in mixed styles."""
    topic = TOPICS[name]
    plain, images = rng.sample(topic.plain, 6), rng.sample(topic.images, 3)
    p_image = 0.85 if rng.random() < P_COLOURFUL else 0.1
    parts = [rng.choice(WARM_GREETINGS if rng.random() < P_WARM_GREETING else COLD_GREETINGS)]
    for number in range(rng.choices((1, 2, 3), P_SENTENCES)[0]):
        subject = f"The {name} is" if number == 0 else rng.choice(LATER_SUBJECTS)
        if rng.random() < p_image:
            parts.append(f"{subject} a {' '.join(images.pop())}.")
        else:
            parts.append(f"{subject} {plain.pop()} and {plain.pop()}.")
    parts.append(rng.choice(WARM_ENDINGS if rng.random() < P_WARM_ENDING else COLD_ENDINGS))
    return " ".join(parts)


def skill(prompts: Sequence[str], replies: Sequence[str]) -> dict[str, float]:
    """How well and in what style a model replies: one reply a prompt.

    `words` and `quality` are means over all replies; `well_formed` is a share of them, the greetings and endings are shares of the
    well-formed ones, `off_topic`, `repeats` and `colourful` of their sentences.
    """
    seen = [read(prompt, reply) for prompt, reply in zip(prompts, replies)]
    formed = [r for r in seen if r.well_formed]
    n, sentences = max(len(formed), 1), max(sum(r.sentences for r in formed), 1)
    return {
        "well_formed": len(formed) / len(seen),
        "warm_greeting": sum(r.warm_greeting for r in formed) / n,
        "warm_ending": sum(r.warm_ending for r in formed) / n,
        "off_topic": sum(r.off_topic for r in formed) / sentences,
        "repeats": sum(r.repeats for r in formed) / sentences,
        "colourful": sum(r.colourful for r in formed) / sentences,
        "words": sum(r.words for r in seen) / len(seen),
        "quality": sum(quality(p, r) for p, r in zip(prompts, replies)) / len(seen),
    }
