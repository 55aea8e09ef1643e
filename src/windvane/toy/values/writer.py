"""The writer of the values world, a programme: what `windvane run janus` asks of a language model, answered from this world's tables.

In: the chats of `windvane.janus.value_prompts`. Out: three values of a dimension as JSON; a system message that holds the values it is
given;
the reply that shows every value of its system message. An instruction's three sets are trained combinations, never unseen ones; values
and wordings held out of training do not occur. A chat of another kind has no answer, and `reasons` says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response, seed_of
from windvane.janus.value_prompts import ITEM, Value
from windvane.toy.values import replies
from windvane.toy.values.messages import VALUES, asked, combinations, message, value

SETS = 3
_INSTRUCTION = re.compile(r"<<< request \w+\n(.*?)\n>>> end of request", re.DOTALL)
_VALUES = re.compile(r"<<< values \w+\n(.*?)\n>>> end of values", re.DOTALL)
_COUNT = re.compile(r"Think of (\d+) people")
_DIMENSION = re.compile(r"in one respect only: ([a-z ]+) \(")


class ValueWriter:
    """A `Generator` without a model; what it says is a function of (seed, prompt, index)."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        return [[r for index in indices if (r := self._response(p, index, seed))] for p in prompts]

    def _response(self, prompt: Prompt, index: int, seed: int) -> Response | None:
        id = f"{prompt.id}-{index}"
        try:
            text = write(prompt, random.Random(seed_of(seed, prompt.id, index)))
        except UserError as error:
            self.reasons[id] = str(error)
            return None
        return Response(id, prompt.id, index, text, (), "stop")


def write(prompt: Prompt, rng: random.Random) -> str:
    """The answer to one chat; `UserError` where it is not one of the three that are known."""
    text = prompt.messages[-1].content
    if len(prompt.messages) == 1 and (found := _DIMENSION.search(text)) and (count := _COUNT.search(text)):
        return json.dumps(_items(_instruction(text), found[1].strip().replace(" ", "_"), int(count[1])))
    if len(prompt.messages) == 1 and (listed := _VALUES.search(text)):
        return message(rng, [_key(line) for line in listed[1].splitlines()])
    if prompt.messages[0].role == "system":
        return answer(rng, prompt.messages[0].content, text)
    raise UserError(f"world:values: the writer knows no answer to {' '.join(text.split())[:60]!r}")


def answer(rng: random.Random, system: str, instruction: str) -> str:
    """The reply of an ideal assistant: on topic, with every value that the system message asks for."""
    topic = replies.topic_of(instruction)
    if topic is None:
        raise UserError(f"world:values: the instruction names nothing of this world: {instruction[:60]!r}")
    marks = {value(k).dimension: value(k).mark for k in asked(system)}
    return replies.write(rng, topic, marks)


def sets_of(instruction: str) -> list[tuple[str, ...]]:
    """Three trained combinations of keys that differ in all four values, a function of the instruction alone."""
    rng, trained = random.Random(seed_of("values", "sets", instruction)), set(combinations("trained"))
    while True:
        columns = [rng.sample(marks[:SETS], SETS) for marks in replies.DIMENSIONS.values()]
        found = [tuple(f"{d}/{m}" for d, m in zip(replies.DIMENSIONS, row)) for row in zip(*columns)]
        if trained.issuperset(found):
            return found


def _items(instruction: str, dimension: str, count: int) -> list[dict[str, str]]:
    if dimension not in replies.DIMENSIONS or not 1 <= count <= SETS:
        raise UserError(
            f"world:values: the writer knows {SETS} values of {', '.join(replies.DIMENSIONS)}; not {count} of {dimension}"
        )
    place = list(replies.DIMENSIONS).index(dimension)
    told = [value(keys[place]).told for keys in sets_of(instruction)[:count]]
    return [{name: getattr(v, name) for name in ITEM} for v in told]


def _instruction(text: str) -> str:
    found = _INSTRUCTION.search(text)
    return found[1] if found else ""


def _key(line: str) -> str:
    """The value of a line "dimension: preference. description"."""

    def shown(v: Value) -> str:
        return f"{v.dimension.replace('_', ' ')}: {v.preference}. {v.description}"

    for key, v in VALUES.items():
        if shown(v.told) == line:
            return key
    raise UserError(f"world:values: the writer knows no value {line[:60]!r}; take the values that it wrote itself")
