"""Generators of InfiniteBench's six synthetic tasks, at the published size or any other.

In: a task's name, a size, how many examples, a seed. Out: `Example`s in the published form; the same arguments give the same
examples, each drawn from its own seed. Rules from the released construction script (retrieval) and from the published labels and the
paper's description (code, math): what the released files do not say, and is chosen here, is marked "ours".

| task | size means | published |
|---|---|---|
| passkey, number_string | noise lines | 5,220 (about 122K tokens) |
| kv_retrieval | key-value pairs | 2,500 |
| code_run | functions | 550 |
| math_calc | operands | 15,000 |
| math_find | numbers in the list | 60,000 |
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable

from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.evals.infinitebench.tasks import TASKS, Example

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
SIZES = {
    "passkey": 5220,
    "number_string": 5220,
    "kv_retrieval": 2500,
    "code_run": 550,
    "math_calc": 15000,
    "math_find": 60000,
}
CALL_DEPTHS = (2, 4, 6, 8, 10)
RANKS = (
    "largest number", "second largest number", "third largest number",
    "smallest number", "second smallest number", "third smallest number", "median",
)  # fmt: skip


def _hidden(rng: random.Random, size: int, depth: float, key: str, line: str, question: str) -> tuple[str, str, str]:
    before = round(depth * size)
    return NOISE * before + line.replace("{key}", key) + NOISE * (size - before), question, key


def _passkey(rng: random.Random, size: int, depth: float) -> tuple[str, str, str]:
    key = "".join(rng.choices("0123456789", k=5))
    line = "The pass key is {key}. Remember it. {key} is the pass key.\n"
    return _hidden(rng, size, depth, key, line, "What is the pass key?")


def _number_string(rng: random.Random, size: int, depth: float) -> tuple[str, str, str]:
    digits = rng.choices("0123456789", k=5)
    for _ in range(5):  # five of them doubled in place, so that digits come in runs
        at = rng.randrange(len(digits))
        digits.insert(at, digits[at])
    line = "The sequence of digits is {key}. Remember it. {key} is the sequence of digits.\n"
    return _hidden(rng, size, depth, "".join(digits), line, "What is the sequence of digits?")


def _kv_retrieval(rng: random.Random, size: int, depth: float) -> tuple[str, str, str]:
    pairs = [[str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(2)] for _ in range(size)]
    key, value = pairs[min(size - 1, int(depth * size))]
    body = ", ".join(f'"{k}": "{v}"' for k, v in pairs)
    return "JSON data:\n{" + body + "}", f'Key: "{key}"\nThe value associated with the specified key is: ', value


def _code_run(rng: random.Random, size: int, depth: float) -> tuple[str, str, int]:
    """A chain of calls among `size` functions; each adds a constant in -12..17 to what it calls (published label ranges)."""
    calls = CALL_DEPTHS[min(len(CALL_DEPTHS) - 1, int(depth * len(CALL_DEPTHS)))]
    if size < calls:
        raise UserError(
            f"code_run: {size} functions hold no chain of {calls} calls; take a size of {CALL_DEPTHS[-1]} or more"
        )
    names = [f"func_{i}" for i in rng.sample(range(10_000), size)]
    chain, rest = names[:calls], names[calls:]
    constants = {name: rng.randint(-12, 17) for name in names}
    calls_of = dict(itertools.pairwise(chain))
    # Ours: distractors call distractors further on (or nothing), so that no other call enters the chain and none loops.
    for i, name in enumerate(rest[:-1]):
        if rng.random() < 0.5:
            calls_of[name] = rng.choice(rest[i + 1 :])
    rng.shuffle(names)
    lines = []
    for name in names:
        inner = f"{calls_of[name]}(x)" if name in calls_of else "x"
        sign = "+" if constants[name] >= 0 else "-"
        lines.append(f"def {name}(x):\n    return {inner} {sign} {abs(constants[name])}\n")
    x = rng.randint(-10, 10)
    question = f"Please give me the exact number of the return value of {chain[0]}({x}). Be concise."
    return "\n".join(lines), question, x + sum(constants[name] for name in chain)


def _math_calc(rng: random.Random, size: int, depth: float) -> tuple[str, str, list[int]]:
    """Running sums that stay in 0..99, as all published labels do; the label leaves out the first operand."""
    value = rng.randint(0, 99)
    parts, values = [str(value)], []
    for _ in range(size - 1):
        following = rng.randint(0, 99)
        parts += ["+" if following >= value else "-", str(abs(following - value))]
        value = following
        values.append(value)
    return " ".join(parts), "", values


def _math_find(rng: random.Random, size: int, depth: float) -> tuple[str, str, int | float]:
    """Numbers between a lowest in 0..19 and a highest in 79..99 (published label ranges); ranks over distinct values (ours)."""
    low, high = rng.randint(0, 19), rng.randint(79, 99)
    numbers = [rng.randint(low, high) for _ in range(size)]
    ranked, order = sorted(set(numbers)), sorted(numbers)
    if len(ranked) < 3:
        raise UserError(f"math_find: a list of {size} numbers has no third smallest; take a size of 50 or more")
    rank = RANKS[min(len(RANKS) - 1, int(depth * len(RANKS)))]
    median = (order[(size - 1) // 2] + order[size // 2]) / 2
    answer: int | float = dict(zip(RANKS, [*ranked[:-4:-1], *ranked[:3], median]))[rank]
    question = f"You should answer with only one number, no other words. The {rank} of the list is: "
    return str(numbers), question, answer


MAKERS: dict[str, Callable[[random.Random, int, float], tuple[str, str, object]]] = {
    "passkey": _passkey,
    "number_string": _number_string,
    "kv_retrieval": _kv_retrieval,
    "code_run": _code_run,
    "math_calc": _math_calc,
    "math_find": _math_find,
}


def generate_examples(task: str, n: int | None = None, size: int | None = None, seed: int = 42) -> list[Example]:
    """`n` examples (default: as many as published), the needle's depth (or the kind of question) going evenly over them.

    Raises `UserError` for a task that has no generator or a size that cannot hold the question.
    """
    if task not in MAKERS:
        made = ", ".join(MAKERS)
        raise UserError(f"{task}: needs its published file (--data FILE); only these can be generated: {made}")
    n, size = n or TASKS[task].rows, size or SIZES[task]
    if size < 2:
        raise UserError(f"{task}: size {size} is too small; take 2 or more")
    examples = []
    for i in range(n):
        # Depth 0..1 over the retrieval tasks (59 depths published); the same sweep picks call depth and rank, in equal blocks.
        depth = i / max(1, n - 1) if task in ("passkey", "number_string") else i / n
        context, question, answer = MAKERS[task](random.Random(seed_of(seed, task, size, i)), size, depth)
        examples.append(Example(str(i), context, question, answer, (), content_id(context)))
    return examples
