"""Self-instruct: the short model reads a chunk alone and writes questions about it; one is kept.

In: a round's chunks. Out: iter-t/questions.jsonl, a line a chunk: the question with its lead-in, or the reason why there is none, and
every reply as it was said. A reply that cannot be read, or whose question is not about the chunk, is asked for again (`ask.attempts`);
nothing is mended."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.protocols import Runner
from windvane.core.records import Message, Prompt, seed_of
from windvane.core.schema import encode
from windvane.core.user_objects import load_object
from windvane.engines.local import LocalGenerator
from windvane.longpo.documents import Chunk, Cut, Texts, counter, document_units
from windvane.longpo.self_instruct import parse_questions, question_prompt
from windvane.longpo.settings import Ask, LongPO
from windvane.prompts.chat import render

Grounding = Callable[[str, str], bool]

WORD = re.compile(r"\w+(?:['’]\w+)*")
# Words that say how a question asks, not what about.
ASKING = frozenset(
    WORD.findall(
        "a about according across after all also an and any are as at based be because been being between both but by "
        "can compare considering context could describe did discuss do document does each evaluate explain for from "
        "given had has have he her his how if in into is it its may might more most not of on one or other our out over "
        "passage provide she should so some such summarize text than that the their them these they this those through "
        "to under up us use used using various was ways we well were what when where whether which while who whom whose "
        "why will with within would you your "
    )
)
SHARED = 0.5  # of a question's words that must stand in its chunk


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and why it was not used (None: it was)."""

    text: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """`id` is the chunk's. `text`: lead-in and question, as both sides will read it; None where `reason` says why."""

    id: str
    document: str
    text: str | None
    reason: str | None
    replies: tuple[Reply, ...]


def about(question: str, chunk: str) -> bool:
    """Whether `question` is about `chunk`: each name in it (a capitalised word inside a sentence, a word with a digit or an underscore)
    stands in the chunk, and so do half of its other words that say what it is about. A word stands there too with another ending."""
    there = {w.lower() for w in WORD.findall(chunk)}
    stems = {_stem(w) for w in there}
    asked = [(m.group(), m.start()) for m in WORD.finditer(question)]
    names = {w.lower() for w, at in asked if _is_name(w, question[:at])}
    words = {w.lower() for w, _ in asked} - names - ASKING
    if any(n not in there and _stem(n) not in stems for n in names):
        return False
    found = sum(_stem(w) in stems for w in words)
    return found >= SHARED * len(words) if words else bool(names)


def _is_name(word: str, before: str) -> bool:
    inside = bool(before.strip()) and before.rstrip()[-1] not in ".!?:"
    return any(c.isdigit() or c == "_" for c in word) or (inside and word[0].isupper() and word.lower() not in ASKING)


def _stem(word: str) -> str:
    """Cheap and even: what is left without the commonest English endings, four letters at least."""
    for end in ("ations", "ation", "ings", "ing", "edly", "ied", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(end) and len(word) - len(end) >= 4:
            return word[: -len(end)]
    return word


def grounding_of(spec: str) -> Grounding | None:
    """`words` (`about`), `off`, `toy:FAMILY` (its own check), or `py:module:function`, a function of (question, chunk)."""
    if spec == "off":
        return None
    if spec == "words":
        return about
    kind, _, rest = spec.partition(":")
    if kind != "py" and not is_family(spec):
        raise UserError(f"ask.grounding: {spec}; take words, off, toy:FAMILY or py:module:function")
    try:
        return offer(spec, "grounded")[0] if is_family(spec) else load_object(rest)  # type: ignore[no-any-return]
    except UserError as error:
        raise UserError(f"ask.grounding: {error}") from None


def chosen_question(
    reply: str, chunk: str, ask: Ask, grounded: Grounding | None, seed: int
) -> tuple[str | None, str | None]:
    """(one of the reply's questions, None), or (None, why not). Of several that are about the chunk one is drawn."""
    found, reason = parse_questions(reply, ask.count)
    if reason is not None:
        return None, reason
    if grounded is not None:
        found = [q for q in found if grounded(q, chunk)]
        if not found:
            return None, "not about the chunk"
    return random.Random(seed).choice(found), None


def run_questions(
    runner: Runner,
    stage: str,
    generator: LocalGenerator,
    s: LongPO,
    t: int,
    cuts: Sequence[Cut],
    texts: Texts,
    window: int,
) -> None:
    """Fill `stage` with a Question record a chunk."""
    seed, grounded = seed_of(s.seed, "questions", t), grounding_of(s.ask.grounding)

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        places = [
            (cut.id, chunk, text[chunk.start : chunk.stop])
            for cut in batch
            for text in [texts.read(cut.id)]
            for chunk in cut.chunks
        ]
        return [encode(q) for q in ask_about(generator, s.ask, places, grounded, seed, window)]

    runner.run(stage, document_units(cuts, s.batch_documents), work)


def ask_about(
    generator: LocalGenerator,
    ask: Ask,
    places: Sequence[tuple[str, Chunk, str]],
    grounded: Grounding | None,
    seed: int,
    window: int,
) -> list[Question]:
    """A question about each (document, chunk, its text), asked for up to `ask.attempts` times."""
    tokenizer, count = generator.tokenizer, counter(generator.tokenizer)
    prompts: dict[str, Prompt] = {}
    replies: dict[str, list[Reply]] = {chunk.id: [] for _, chunk, _ in places}
    texts: dict[str, str] = {}
    for _, chunk, text in places:
        messages = (Message("user", question_prompt(ask.prompt, text, ask.count)),)
        ids = render(tokenizer, messages)
        if len(ids) + ask.max_new_tokens <= window:
            prompts[chunk.id] = Prompt(chunk.id, messages, ids)
        else:
            replies[chunk.id].append(Reply("", "the chunk is longer than the window"))
    for attempt in range(ask.attempts):
        left = [(chunk, text) for _, chunk, text in places if chunk.id in prompts and chunk.id not in texts]
        for (chunk, text), (said,) in zip(left, generator.generate([prompts[c.id] for c, _ in left], [attempt], seed)):
            draw = seed_of(seed, "question", chunk.id, attempt)
            question, reason = chosen_question(said.text, text, ask, grounded, draw)
            if question is not None:
                question = led_in(question, ask.lead_ins, draw)
                if count([question])[0] > ask.max_tokens:
                    question, reason = None, "too long a question"
            replies[chunk.id].append(Reply(said.text, reason))
            if question is not None:
                texts[chunk.id] = question
    found = []
    for document, chunk, _ in places:
        last = replies[chunk.id][-1].reason
        found.append(Question(chunk.id, document, texts.get(chunk.id), last, tuple(replies[chunk.id])))
    return found


def led_in(question: str, lead_ins: Sequence[str], seed: int) -> str:
    """The question after one of the lead-ins."""
    return f"{random.Random(seed_of(seed, 'lead-in')).choice(lead_ins)} {question}" if lead_ins else question
