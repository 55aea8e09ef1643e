"""Training sets out of instructions with several system messages and an answer to each, as the paper builds them (arXiv 2405.17977).

In: `Sample`s. Out: instructions for training and for testing; SFT rows (all, or one an instruction); pairs for DPO, ORPO and the reward
model: one system message of the instruction is drawn, chosen is the answer written for it, rejected an answer written for another of the
same instruction. Which are drawn is a function of (seed, instruction): the paper does not say.

Every row has system, prompt and answers apart: the tokenizer's one chat template (`prompts/system_role.py`) makes them training text,
prompts and the reward model's input alike. The released models mixed two templates.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import held_out_keys, seed_of
from windvane.core.schema import encode
from windvane.janus.collection_rows import Preference, Sample, instruction_id

SEVERAL, FEW, SAME = "pair", "one answer alone", "all answers the same"


def by_instruction(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each instruction, in order."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(instruction_id(sample.prompt), []).append(sample)
    return found


def held_out(instructions: Iterable[str], test: float, seed: int) -> set[str]:
    """The instructions that are for testing: the share `test`, drawn by (seed, instruction); none where it is 0."""
    if not 0 <= test < 1:
        raise UserError(f"test: {test}; the share of instructions for testing must be in [0, 1)")
    return held_out_keys(instructions, test, seed, fewest=2, stream="test")


def one_each(groups: dict[str, list[Sample]], seed: int) -> list[Sample]:
    """One sample an instruction: what Janus* is trained on."""
    return [random.Random(seed_of(seed, "one", key)).choice(group) for key, group in groups.items()]


def preferences(groups: dict[str, list[Sample]], seed: int) -> tuple[list[Preference], Counter[str]]:
    """(one pair an instruction, how many instructions gave a pair or why not). The two answers are of different system messages and
    differ in their text."""
    found, counts = [], Counter[str]()
    for key, group in groups.items():
        rng = random.Random(seed_of(seed, "pair", key))
        order = rng.sample(group, len(group))
        pair = next(
            ((a, b) for a in order for b in order if a.system != b.system and a.output != b.output),
            None,
        )
        if pair is None:
            counts[FEW if len({s.system for s in group}) < 2 else SAME] += 1
            continue
        a, b = pair
        counts[SEVERAL] += 1
        found.append(Preference(a.main_source, a.original_source, a.system, a.prompt, a.output, b.output))
    return found, counts


def sft_row(sample: Sample) -> dict[str, Any]:
    """The published layout."""
    row = encode(sample)
    row.pop("place")
    return row


def preference_row(pair: Preference) -> dict[str, Any]:
    """The published layout of DPO and ORPO: answers as a list of one turn."""
    row = encode(pair)
    row.pop("place")
    for side in ("chosen", "rejected"):
        row[side] = [{"content": row[side], "role": "assistant"}]
    return row


def reward_row(pair: Preference) -> dict[str, Any]:
    """What `windvane train reward --data` reads. The published `input`, system message and prompt in one, would keep the system message
    from the template."""
    return {"system": pair.system, "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
