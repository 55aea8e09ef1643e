"""Values in a system message: what a writer is asked, step by step, and the strict reading of its replies.

In: an instruction. Out, in three steps: for one dimension several `Value`s from the general to the specific (subdimension, preference,
description); from four values, one a dimension, a system message; from system message and instruction the answer. Each reader gives what it
read or the reason why nothing can be used; nothing is repaired, shortened or guessed.

The words are our own: of the prompts that made the Multifaceted Collection (arXiv 2405.17977) only those for rubrics were released. The
shape of a system message (one paragraph in the second person that opens with a role, weaves all four values in and lists none) is that
of the published examples, which have 136 to 169 words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.records import Message, Prompt, content_id
from windvane.core.text import normalize
from windvane.prompts.reasoning import after_thought, read_json

QUOTED_WORDS = 8  # so many words of the instruction in a row, and a system message quotes it
ITEM = ("subdimension", "preference", "description")

VALUES = """\
People who send the same request may want very different answers. Think of {count} people, as unlike each other as you can, who could all \
have sent the request below, and describe what each of them would want from the answer in one respect only: {dimension} ({told})

The request stands between marks with the code {mark}; it is material, and is not to be answered here.

<<< request {mark}
{instruction}
>>> end of request {mark}

Go from the general to the specific for each person: first the subdimension of {dimension} that matters to them, then the preference in a \
few words, then the description: one to three sentences on what exactly is wanted, for whom and why. A preference must make a visible \
difference to an answer to this request. It may not contradict the request, and no two people have the same preference.

Examples of such items, from other requests:
{examples}

Reply with a JSON list of exactly {count} objects and nothing else. Each object has the keys "subdimension", "preference" and \
"description", all of them text."""

SYSTEM = """\
Write the system message for an assistant that serves one person. Below are what this person values and, for the topic alone, the request \
that they are going to send. Both stand between marks with the code {mark} and are material.

<<< values {mark}
{values}
>>> end of values {mark}

<<< request {mark}
{instruction}
>>> end of request {mark}

The system message
- is one paragraph of {least} to {most} words, without headings, lists or quotation marks around it;
- speaks to the assistant as "you" and opens with a role that suits the topic;
- makes all of the values felt as part of that role, in connected prose: it neither lists them nor names their headings;
- names the field that the request belongs to, but neither answers nor quotes the request.
Reply with the paragraph and nothing else."""


@dataclass(frozen=True, slots=True)
class Value:
    """What one person wants in one respect. `preference`: a few words; `description`: one to three sentences."""

    dimension: str
    subdimension: str
    preference: str
    description: str


def value_messages(
    instruction: str, dimension: str, told: str, examples: Sequence[Value], count: int
) -> tuple[Message, ...]:
    """The chat that asks for `count` values of `dimension`; `told` says what the dimension is about."""
    shown = "\n".join(json.dumps({key: getattr(v, key) for key in ITEM}, ensure_ascii=False) for v in examples)
    text = VALUES.format(
        count=count,
        dimension=dimension.replace("_", " "),
        told=told,
        mark=_mark(instruction),
        instruction=instruction,
        examples=shown,
    )
    return (Message("user", text),)


def system_messages(instruction: str, values: Sequence[Value], least: int, most: int) -> tuple[Message, ...]:
    """The chat that asks for a system message of `least` to `most` words holding all of `values`."""
    listed = "\n".join(f"{v.dimension.replace('_', ' ')}: {v.preference}. {v.description}" for v in values)
    text = SYSTEM.format(mark=_mark(instruction), values=listed, instruction=instruction, least=least, most=most)
    return (Message("user", text),)


def answer_prompt(system: str, instruction: str) -> Prompt:
    """The chat of training and inference alike: the system message, then the instruction."""
    return Prompt.of((Message("system", system), Message("user", instruction)))


def read_values(reply: str, dimension: str, count: int) -> tuple[tuple[Value, ...], str | None]:
    """(the `count` values, None), or ((), why not)."""
    items, reason = read_json(reply)
    if reason is not None:
        return (), reason
    if not isinstance(items, list) or len(items) != count:
        return (), f"not a JSON list of {count} objects"
    found = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or set(item) != set(ITEM):
            return (), f"item {number}: not an object with the keys {', '.join(ITEM)} alone"
        wrong = next((key for key in ITEM if not isinstance(item[key], str) or not item[key].strip()), None)
        if wrong is not None:
            return (), f"item {number}: '{wrong}' is empty or no text"
        found.append(Value(dimension, *(item[key].strip() for key in ITEM)))
    names = [normalize(v.preference) for v in found]
    if len(set(names)) < count:
        return (), "two items have the same preference"
    bare = next((n for n, v in enumerate(found, 1) if normalize(v.description) == names[n - 1]), None)
    return ((), f"item {bare}: the description repeats the preference") if bare else (tuple(found), None)


def read_system(reply: str, instruction: str, least: int, most: int) -> tuple[str | None, str | None]:
    """(the system message, None), or (None, why not)."""
    text = after_thought(reply).strip()
    words = text.split()
    if not words:
        return None, "no reply"
    if "\n" in text:
        return None, "more than one paragraph"
    if text[0] in "\"'“`{[*#-":
        return None, "not a plain paragraph: it opens with a mark"
    if not least <= len(words) <= most:
        return None, f"not {least} to {most} words"
    if not re.search(r"\byou(?:r|rs|'re|’re)?\b", text, re.IGNORECASE):
        return None, "does not speak to the assistant as 'you'"
    if quotes(text, instruction):
        return None, "quotes the instruction"
    return text, None


def read_answer(reply: str, finish: str) -> tuple[str | None, str | None]:
    """(the answer, None), or (None, why not). An answer that was cut at its longest is none."""
    if finish == "length":
        return None, "cut at max_new_tokens"
    text = after_thought(reply).strip()
    return (text, None) if text else (None, "empty answer")


def quotes(text: str, instruction: str) -> bool:
    """Whether `QUOTED_WORDS` words of the instruction (or all of them, of one with four to seven) stand in a row in `text`."""
    asked, said = normalize(instruction).split(), normalize(text).split()
    size = min(QUOTED_WORDS, len(asked))
    if size < 4:
        return False
    runs = {tuple(asked[i : i + size]) for i in range(len(asked) - size + 1)}
    return any(tuple(said[i : i + size]) in runs for i in range(len(said) - size + 1))


def _mark(instruction: str) -> str:
    return content_id(instruction)[:8]
