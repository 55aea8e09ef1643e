"""The vocabulary and sentence adapters of EvalYaks: lists with CEFR levels -> what is trained and tested on; and which levels are told.

In: a user's list of words or sentences with levels (evalyaks/levels.py), or `toy:grades`. Out: `Item`s of the instruction sets
(evalyaks/instructions.py; arXiv 2408.12226, section 4.2), in both directions to train on, the telling one to test on. What is held out is
a word or a sentence, so no held-out one stands in a list that is trained on.

A level is told as the likeliest of those that the lists hold (valid by construction). How well the adapters write to order is measured by
`windvane eval cefr-levels`, whose graders are not the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.records import content_id, seed_of
from windvane.evalyaks.instructions import Instruction, sentence_instructions, vocabulary_instructions
from windvane.evalyaks.label_likelihood import ClosedAnswers, distribution
from windvane.evalyaks.levels import Listed, read_levels
from windvane.evalyaks.splits import HELD, TRAIN, Item
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import render
from windvane.runs.local_runner import LocalRunner

TELL = ("level of words", "level of a sentence")
PASSES = 3  # how often each word is asked about, in other company
BATCH = 16
Splits = dict[str, list[Listed]]


def level_items(words: str | None, sentences: str | None, form: str, share: float, seed: int) -> list[Item]:
    """Items of both adapters; one without a list has none. `form`: full or compact; `share` of each level is held out."""
    found: list[Item] = []
    for split, listed in (_words(words, share, seed) if words else {}).items():
        for n in range(PASSES):
            found += _kept(split, vocabulary_instructions(listed, form, seed_of(seed, "pass", n)))
    for split, listed in (_sentences(sentences, share, seed) if sentences else {}).items():
        found += _kept(split, sentence_instructions(listed, form, seed))
    return list({item.instruction.id: item for item in found}.values())


def _kept(split: str, made: Sequence[Instruction]) -> list[Item]:
    """Both directions to train on, the telling one to test on."""
    return [Item(split, i) for i in made if split == TRAIN or i.task in TELL]


def _words(source: str, share: float, seed: int) -> Splits:
    if not is_family(source):
        return _split(source, share, seed)
    words, _ = offer(source, "words")
    return {k: [Listed(w, level) for level, own in words(k).items() for w in own] for k in (TRAIN, HELD)}


def _sentences(source: str, share: float, seed: int) -> Splits:
    if not is_family(source):
        return _split(source, share, seed)
    sentences, _ = offer(source, "sentences")
    of = {TRAIN: ("train", 400), HELD: ("test", 160)}
    return {k: [Listed(*pair) for pair in sentences(seed, n, family)] for k, (family, n) in of.items()}


def _split(source: str, share: float, seed: int) -> Splits:
    """`share` of each level, drawn by the text itself, at least one where there are two."""
    found: dict[str, Listed] = {}
    for item in read_levels([source]):
        before = found.setdefault(item.text, item)
        if before.level != item.level:
            raise UserError(
                f"{source}: {item.text[:40]!r} has two levels, {before.level} and {item.level}; keep one of them"
            )
    splits: Splits = {TRAIN: [], HELD: []}
    for level in sorted({item.level for item in found.values()}):
        own = sorted((i for i in found.values() if i.level == level), key=lambda i: seed_of(seed, "held-out", i.text))
        held = max(1, round(share * len(own))) if len(own) > 1 else 0
        splits[HELD] += own[:held]
        splits[TRAIN] += own[held:]
    return splits


def answer_levels(
    runner: LocalRunner, stage: str, items: Sequence[Item], specs: Mapping[str, str], dtype: str, device: str
) -> None:
    """RUN/`stage`.jsonl: the level told for every held-out item, by adapter. `items`: those trained on too, for the levels there are."""
    units: list[tuple[str, list[Instruction]]] = []
    levels = {a: sorted({i.instruction.level or "" for i in items if i.instruction.adapter == a}) for a in specs}
    for adapter in sorted(specs):
        held = (i.instruction for i in items if i.split == HELD and i.instruction.adapter == adapter)
        own = sorted(held, key=lambda i: i.id)
        batches = [own[i : i + BATCH] for i in range(0, len(own), BATCH)]
        units += [(content_id([i.id for i in b]), b) for b in batches]
    opened: dict[str, tuple[ClosedAnswers, Any]] = {}

    def work(batch: list[Instruction]) -> Iterable[dict[str, Any]]:
        adapter = batch[0].adapter
        if adapter not in opened:
            opened.clear()
            tokenizer = load_tokenizer(specs[adapter])
            opened[adapter] = ClosedAnswers(load_model(specs[adapter], dtype, device), tokenizer), tokenizer
        return [_told(i, *opened[adapter], levels[adapter]) for i in batch]

    runner.run(stage, units, work)


def _told(item: Instruction, closed: ClosedAnswers, tokenizer: Any, levels: Sequence[str]) -> dict[str, Any]:
    row = {"id": item.id, "adapter": item.adapter, "expected": item.level}
    logps = closed.logps(render(tokenizer, item.messages), levels)
    if isinstance(logps, str):
        return {**row, "level": None, "reason": logps}
    chance = distribution(logps)
    return {**row, "level": levels[int(chance.argmax())], "probability": round(float(chance.max()), 6)}
