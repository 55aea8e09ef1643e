"""The vocabulary and sentence adapters of EvalYaks: lists with CEFR levels -> items in both directions; and how well they are answered.

In: a list of words or sentences with levels (CSV, JSONL, JSON, Parquet with columns word or sentence, and level) or `world:grades`.
Out: `Item`s (arXiv 2408.12226, section 4.2): the level of a list of words, words of a level; the level of a sentence, a sentence of a
level. What is held out is a word or a sentence, so no held-out one stands in a list that is trained on.

A level is told as the likeliest of the four answers A1 to B2 (valid by construction). What is written the other way round is kept as text;
words are looked up in the user's own list.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.backends.closed_answers import ClosedAnswers, distribution
from windvane.backends.local import LocalGenerator, Sampling
from windvane.data.transcripts import LEVELS
from windvane.data.transcripts_read import read_rows
from windvane.errors import UserError
from windvane.modeling.load import load_model, load_tokenizer
from windvane.prompts import cefr_compact
from windvane.prompts.chat import render
from windvane.recipes.speech_items import HELD, TRAIN, Item, identified
from windvane.records import Message, Prompt, content_id, seed_of
from windvane.runners.here import HereRunner

ASKED = LEVELS[:4]  # the lists go to B2, the level of the exam
LIST, PASSES = (
    4,
    3,
)  # words a list (what is left over: a shorter one); how often each word is asked about, in other company
WRITTEN = 10  # texts a level and adapter that are written for the evaluation
BATCH = 16
TELL, WRITE = "tell", "write"
Listed = Mapping[str, list[str]]  # level -> words or sentences


def level_items(words: str | None, sentences: str | None, share: float, seed: int) -> list[Item]:
    """Items of both adapters; an adapter without a list has none."""
    found: list[Item] = []
    for adapter, source in (("vocabulary", words), ("sentences", sentences)):
        if source:
            for split, listed in _lists(source, adapter, share, seed).items():
                found += _items(adapter, split, listed, seed)
    return found


def _items(adapter: str, split: str, listed: Listed, seed: int) -> list[Item]:
    rng = random.Random(seed_of(seed, adapter, split))
    found = []
    for level in ASKED:
        own = list(listed.get(level, ()))
        if adapter == "vocabulary":
            texts = []
            for _ in range(PASSES):
                rng.shuffle(own)
                texts += [own[i : i + LIST] for i in range(0, len(own), LIST)]
            asked = [
                (cefr_compact.level_of_words(t), cefr_compact.words_of_level(level), ", ".join(t) + ".") for t in texts
            ]
        else:
            asked = [(cefr_compact.level_of_sentence(t), cefr_compact.sentence_of_level(level), t) for t in own]
        for tell, write, text in asked:
            found.append(_item(adapter, TELL, split, tell, level, level))
            if split == TRAIN:
                found.append(_item(adapter, WRITE, split, write, text, level))
    return found


def _item(adapter: str, kind: str, split: str, asked: str, answer: str, level: str) -> Item:
    return identified(Item("", adapter, kind, split, content_id([asked]), (Message("user", asked),), answer, level))


def _lists(source: str, adapter: str, share: float, seed: int) -> dict[str, Listed]:
    """By split."""
    if source.startswith("world:"):
        return _world(source, adapter, seed)
    column = {"vocabulary": "word", "sentences": "sentence"}[adapter]
    found: dict[str, str] = {}
    for line, _, value in read_rows(Path(source)):
        place = f"{source}: row {line}"
        if not isinstance(value, Mapping):
            raise UserError(f"{place}: is no table; give columns {column} and level")
        low = {str(k).strip().casefold(): str(v or "").strip() for k, v in value.items()}
        text, level = low.get(column) or (low.get("text") if column == "sentence" else ""), low.get("level", "").upper()
        if not text or level not in LEVELS:
            raise UserError(
                f"{place}: field '{'level' if text else column}': {level or 'empty'}; give a {column} and one of {', '.join(LEVELS)}"
            )
        if found.setdefault(text, level) != level:
            raise UserError(f"{place}: {text[:40]!r} has two levels, {found[text]} and {level}; keep one")
    splits: dict[str, dict[str, list[str]]] = {TRAIN: {}, HELD: {}}
    for level in ASKED:
        own = sorted((t for t, told in found.items() if told == level), key=lambda t: seed_of(seed, "held-out", t))
        held = max(1, round(share * len(own))) if len(own) > 1 else 0
        splits[HELD][level], splits[TRAIN][level] = own[:held], own[held:]
    if not any(splits[TRAIN].values()):
        raise UserError(f"{source}: no {column} of the levels {', '.join(ASKED)}")
    return splits


def _world(source: str, adapter: str, seed: int) -> dict[str, Listed]:
    from windvane.world import grades

    if source.split(":")[1] != grades.NAME:
        raise UserError(f"{source}: the embedded world has no such lists; give world:{grades.NAME}")
    if adapter == "vocabulary":
        return {TRAIN: grades.words("train"), HELD: grades.words("held-out")}
    found: dict[str, Listed] = {}
    for split, family, count in ((TRAIN, "train", 400), (HELD, "test", 160)):
        own: dict[str, list[str]] = {level: [] for level in ASKED}
        for text, level in grades.sentences(seed, count, family):
            own[level].append(text)
        found[split] = own
    return found


def answer_levels(
    runner: HereRunner, stage: str, items: Sequence[Item], specs: Mapping[str, str], dtype: str, device: str
) -> None:
    """RUN/`stage`.jsonl: of every held-out item the level told, and `WRITTEN` texts a level as written (temperature 1), by adapter."""
    units: list[tuple[str, tuple[str, list[Any]]]] = []
    for adapter in sorted(specs):
        own = sorted((i for i in items if i.adapter == adapter), key=lambda i: i.id)
        batches = [own[i : i + BATCH] for i in range(0, len(own), BATCH)]
        units += [(content_id([i.id for i in b]), (adapter, b)) for b in batches]
        units.append((f"{adapter}-written", (adapter, [])))
    held: dict[str, tuple[Any, Any]] = {}

    def work(payload: tuple[str, list[Item]]) -> Iterable[dict[str, Any]]:
        adapter, batch = payload
        if adapter not in held:
            held.clear()
            held[adapter] = load_model(specs[adapter], dtype, device), load_tokenizer(specs[adapter])
        return _told(batch, *held[adapter]) if batch else _written(adapter, *held[adapter])

    runner.run(stage, units, work)


def _told(batch: Sequence[Item], model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    closed, rows = ClosedAnswers(model, tokenizer), []
    for item in batch:
        logps = closed.logps(render(tokenizer, item.messages), ASKED)
        row = {"id": item.id, "adapter": item.adapter, "kind": TELL, "expected": item.expected}
        if isinstance(logps, str):
            rows.append({**row, "level": None, "reason": logps})
            continue
        chance = distribution(logps)
        rows.append({**row, "level": ASKED[int(chance.argmax())], "probability": round(float(chance.max()), 6)})
    return rows


def _written(adapter: str, model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    asks = {"vocabulary": cefr_compact.words_of_level, "sentences": cefr_compact.sentence_of_level}[adapter]
    generator = LocalGenerator(model, tokenizer, Sampling(WRITTEN, 1.0, 1.0, 48))
    rows = []
    for level in ASKED:
        messages = (Message("user", asks(level)),)
        prompt = replace(Prompt.of(messages), token_ids=render(tokenizer, messages))
        for answer in generator.generate([prompt], range(WRITTEN), 0)[0]:
            rows.append(
                {
                    "id": f"{adapter}-{level}-{answer.index}",
                    "adapter": adapter,
                    "kind": WRITE,
                    "expected": level,
                    "text": answer.text,
                }
            )
    return rows


def looked_up(text: str, listed: Listed) -> list[str | None]:
    """The level of each written word by the user's own list; None for words that it does not hold."""
    of = {w.casefold(): level for level, words in listed.items() for w in words}
    return [of.get(w.strip().casefold()) for w in re.split(r"[,\n;.]+", text) if w.strip()]
