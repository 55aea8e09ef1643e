"""What a writer is asked for when practice conversations are made, and the strict reading of what it sends.

In: a plan's fields: part, bands wanted, topic, questions, photos, prompts, names and the like, words that may be used, perhaps samples.
Out: a chat, and from its reply the turns, or the reason why it cannot be used; nothing is repaired. EvalYaks (arXiv 2408.12226, section
4.1) gives its writer an overview of the part, a combination of scores, typical questions, the descriptors, word lists by level, Indian
names and places, and samples; the words here are our own, and the scores are not asked back: what was planned is the label, until people
have checked it. Form "compact" is for models with a few hundred words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.records import Message
from windvane.evalyaks.prompts import compact as cefr_compact
from windvane.evalyaks.prompts.bands import CRITERIA, MEANING, PART_NAMES, PARTS
from windvane.prompts.reasoning import read_json

ROLES = {
    1: ("examiner", "candidate"),
    2: ("examiner", "candidate", "partner"),
    3: ("examiner", "candidate", "partner"),
    4: ("examiner", "candidate", "partner"),
}
LEAST_TURNS = {1: 3, 2: 1, 3: 2, 4: 2}  # of the candidate's
LONGEST = 1500  # words of a conversation; a part lasts four minutes at most
TELLS = re.compile(
    r"GRAMMAR_AND_VOCABULARY|DISCOURSE_MANAGEMENT|INTERACTIVE_COMMUNICATION|\bband [1-5]\b|\bCEFR\b|\bB2\b",
    re.IGNORECASE,
)

ASK = """\
Write the transcript of part {part}, "{name}", of a speaking test in English at level B2. It is practice material: examiners will learn \
to mark with it, so what the candidate says must show the bands below, no better and no worse.

What happens in this part: {what}

The candidate's bands (1 is lowest, 5 highest):
{bands}
{others}
Setting: {setting}. {own}
{task}
Work in this order, silently: decide how somebody with these bands would answer each question (how long, how hesitantly, with which \
mistakes, with how complex sentences, how well linked); then write the turns one after another; then check each band against what you wrote.

- The candidate's mistakes are those that learners make when they speak. They are not marked or explained.
- Nobody in the transcript talks about bands, marks or levels.
- Every turn is what is said, word for word: no stage directions.
{words}{samples}
Reply with a JSON list and nothing else. Each item is an object with the keys "speaker" ({speakers}) and "text"."""


def writing_messages(
    plan: Any, samples: Sequence[tuple[Mapping[str, float], str]] = (), form: str = "full"
) -> tuple[Message, ...]:
    """The chat for a `windvane.evalyaks.writing.plan.Plan`. `samples`: (bands, conversation) of the same part, to be shown."""
    if form == "compact":
        return (Message("user", cefr_compact.writing(plan.part, plan.scores)),)
    told = "\n".join(f"- {CRITERIA[c]}: {b}: {meaning(c, b)}" for c, b in plan.scores.items())
    partner = plan.part in (3, 4)
    own = ", ".join(f"{kind}: {value}" for kind, value in plan.own.items() if kind != "partner" or partner)
    words = "".join(
        f"- Words of level {level} that may come up where they fit: {', '.join(some)}.\n"
        for level, some in plan.words.items()
    )
    shown = "".join(f"\nA sample with the bands {_short(bands)}:\n{text}\n" for bands, text in samples)
    text = ASK.format(
        part=plan.part,
        name=PART_NAMES[plan.part],
        what=PARTS[plan.part],
        bands=told,
        others="The partner is another candidate, of a level of their own.\n" if partner else "",
        setting=f"{plan.setting} content",
        own=f"Use some of this where it fits: {own}.",
        task=_task(plan),
        words=words,
        samples=shown,
        speakers=", ".join(f'"{r}"' for r in ROLES[plan.part]),
    )
    return (Message("user", text),)


def meaning(criterion: str, band: int) -> str:
    """What a band means; 2 and 4 by their neighbours."""
    told = MEANING[criterion]
    return told[band] if band in told else f"between {band - 1} ({told[band - 1]}) and {band + 1} ({told[band + 1]})"


def read_conversation(
    reply: str, part: int, form: str = "full"
) -> tuple[tuple[tuple[str, str], ...] | None, str | None]:
    """(turns as (role, text), None), or (None, why not)."""
    if form == "compact":
        turns = cefr_compact.turns_of(reply)
        return _checked(turns, part) if turns else (None, "no turns")
    items, reason = read_json(reply)
    if reason is not None:
        return None, reason
    if not isinstance(items, list) or not items:
        return None, "not a JSON list of turns"
    turns = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or set(item) != {"speaker", "text"}:
            return None, f"item {number}: not an object with the keys speaker, text alone"
        speaker, text = item["speaker"], item["text"]
        if not isinstance(speaker, str) or speaker.strip().casefold() not in ROLES[part]:
            return None, f"item {number}: speaker {json.dumps(speaker)[:30]} is none of {', '.join(ROLES[part])}"
        if not isinstance(text, str) or not re.search(r"\w", text):
            return None, f"item {number}: nothing is said"
        turns.append((speaker.strip().casefold(), " ".join(text.split())))
    return _checked(turns, part)


def _checked(turns: Sequence[tuple[str, str]], part: int) -> tuple[tuple[tuple[str, str], ...] | None, str | None]:
    count = sum(role == "candidate" for role, _ in turns)
    if count < LEAST_TURNS[part]:
        return None, f"the candidate has {count} turns, not {LEAST_TURNS[part]} or more"
    if part == 3 and not any(role == "partner" for role, _ in turns):
        return None, "no partner talks in part 3"
    words = sum(len(text.split()) for _, text in turns)
    if words > LONGEST:
        return None, f"{words} words, more than {LONGEST}"
    told = next((m[0] for _, text in turns if (m := TELLS.search(text))), None)
    return (None, f"talks about the marking ({told})") if told else (tuple(turns), None)


def _task(plan: Any) -> str:
    if plan.part == 2:
        names = ("first", "second", "third", "fourth")
        shown = "\n".join(f"- {n} photograph: {p}" for n, p in zip(names, plan.photos))
        return f"The photographs:\n{shown}\nThe examiner's questions: {' '.join(plan.questions)}\n"
    if plan.part == 3:
        sheet = ", ".join(plan.prompts)
        return f"They talk about {plan.topic}. Prompts on their sheet: {sheet}.\nThe examiner says: {' '.join(plan.questions)}\n"
    return f"Topic: {plan.topic}. The examiner's questions: {' '.join(plan.questions)}\n"


def _short(bands: Mapping[str, float]) -> str:
    return ", ".join(f"{CRITERIA[c]} {b:g}" for c, b in bands.items())
