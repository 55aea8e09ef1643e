"""What a model of the grades world can do: bands against the programme's and the lenient rater's, levels, features, transcripts it writes.

In: a model and its tokenizer. Out: shares, mean distances in bands. A band is the likeliest of the five labels where the answer goes
on "GV: ", then, that one written, "DM: ", and so on: what greedy decoding says where it says anything valid.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from windvane.core.records import Message, Prompt
from windvane.engines.local import LocalGenerator, Sampling
from windvane.evalyaks.prompts import compact
from windvane.evalyaks.transcripts.record import Transcript
from windvane.prompts.chat import render
from windvane.toy.grades import family as grades
from windvane.toy.grades.rubric import FEATURES, features, lenient, sentence_level
from windvane.toy.grades.words import LEVELS

SEED, EACH, LISTS, WRITTEN = 7, 50, 160, 80  # WRITTEN: sentences
MEASURED = (
    f"{EACH} conversations a part of the test family, seed {SEED}; {LISTS} lists of held-out words, {LISTS} sentences of the test family; "
    f"a transcript for each held-out plan and {WRITTEN} sentences written at temperature 1. dov_true, dov_lenient: mean distance in bands "
    "to the programme's and to a lenient rater's; aa: strict acceptable accuracy; feature: share of questions on features answered "
    "rightly, greedily; written_*: share that is a transcript, and mean distance of its bands from those asked for"
)


def answers(model: Any, tokenizer: Any, asked: Sequence[str], tokens: int = 12, temperature: float = 0.0) -> list[str]:
    """One answer to each prompt, greedy at temperature 0."""
    prompts = [Prompt.of((Message("user", text),)) for text in asked]
    rendered = [replace(p, token_ids=render(tokenizer, p.messages)) for p in prompts]
    generator = LocalGenerator(model, tokenizer, Sampling(1, temperature, 1.0, max_new_tokens=tokens))
    return [own[0].text for own in generator.generate(rendered, [0], SEED)]


@torch.no_grad()
def bands(model: Any, tokenizer: Any, records: Sequence[Transcript]) -> list[dict[str, float]]:
    """Bands 1 to 5 by criterion, by the likeliest label."""
    labels = [tokenizer(f"{b}").input_ids[-1] for b in range(1, 6)]
    rows = [list(render(tokenizer, (Message("user", grades.grading_prompt(r)),))) for r in records]
    found: list[dict[str, float]] = [{} for _ in records]
    for start in range(0, len(records), 32):
        at = range(start, min(start + 32, len(records)))
        for criterion in ("GV", "DM", "IC"):
            own = [i for i in at if criterion in records[i].scores]
            if not own:
                continue
            for i in own:
                rows[i] += tokenizer(f"{criterion}:").input_ids
            width = max(len(rows[i]) for i in own)
            ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in own])
            last = torch.tensor([len(rows[i]) - 1 for i in own])
            logits = model(input_ids=ids.to(model.device)).logits[torch.arange(len(own)), last].float()
            for i, best in zip(own, logits[:, labels].argmax(-1).tolist()):
                found[i][criterion] = float(best + 1)
                rows[i].append(labels[best])
    return found


def agreement(records: Sequence[Transcript], told: Sequence[dict[str, float]]) -> dict[str, float]:
    """dov_true, aa (strict) against the programme, dov_lenient against one lenient rater."""
    rng, off, milder, close = random.Random(SEED), list[float](), list[float](), 0
    for record, bands in zip(records, told):
        gaps = [bands[c] - record.scores[c] for c in record.scores]
        milder += [abs(bands[c] - band) for c, band in lenient(record, rng).items()]
        off += [abs(g) for g in gaps]
        close += max(map(abs, gaps)) <= 1 and not (min(gaps) < 0 < max(gaps))
    return {"dov_true": sum(off) / len(off), "aa": close / len(records), "dov_lenient": sum(milder) / len(milder)}


def measure(model: Any, tokenizer: Any) -> dict[str, float]:
    """The figures on a model's card (`MEASURED` says what they are)."""
    records = grades.transcripts(SEED, EACH, "test")
    figures = agreement(records, bands(model, tokenizer, records))
    rng, asked, right = random.Random(SEED), list[str](), list[str]()
    for record in records:
        name = rng.choice(list(FEATURES))
        asked.append(grades.grading_prompt(record).removesuffix(compact.GRADE) + name)
        right.append(features(record)[name])
    figures["feature"] = _share(answers(model, tokenizer, asked, 2), right)
    lists = grades.word_lists(SEED, LISTS, "held-out")
    told = answers(model, tokenizer, [compact.level_of_words(words) for words, _ in lists], 2)
    figures["word_level"] = _share(told, [level for _, level in lists])
    texts = grades.sentences(SEED, LISTS, "test")
    told = answers(model, tokenizer, [compact.level_of_sentence(text) for text, _ in texts], 2)
    figures["sentence_level"] = _share(told, [level for _, level in texts])
    figures |= writing(model, tokenizer)
    return {name: round(value, 4) for name, value in figures.items()}


def writing(model: Any, tokenizer: Any) -> dict[str, float]:
    """How well it writes: transcripts for bands, sentences for levels."""
    asked = grades.prompts(None, "held-out", SEED)
    texts = answers(model, tokenizer, [p.text for p in asked], 230, 1.0)
    gaps, whole = list[float](), 0
    for prompt, text in zip(asked, texts):
        part, wanted = grades.planned(prompt.text)
        record = grades.written(text, part)
        whole += record is not None and {r.role for r in record.turns} >= {"examiner", "candidate"}
        gaps += [abs(record.scores[c] - band) for c, band in wanted.items()] if record else [4.0]
    levels = [LEVELS[i % 4] for i in range(WRITTEN)]
    said = answers(model, tokenizer, [compact.sentence_of_level(level) for level in levels], 30, 1.0)
    return {
        "written_whole": whole / len(asked),
        "written_dov": sum(gaps) / len(gaps),
        "written_sentence_level": _share([sentence_level(text) for text in said], levels),
    }


def _share(told: Sequence[str], right: Sequence[str]) -> float:
    return sum(a.strip() == b for a, b in zip(told, right, strict=True)) / len(right)
