"""What a model of the facts world can do: right answers by length, lists reversed, grounded questions, nats a token of documents.

In: a model and its tokenizer. Out: shares in [0, 1] (and nats). Everything is greedy but the questions, which are sampled. A share of 240
has a standard error of at most .032.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from windvane.core.records import Message, Prompt
from windvane.engines.local import LocalGenerator, Sampling
from windvane.prompts.chat import render
from windvane.toy.facts import family as facts
from windvane.toy.facts.documents import facts_of

SEED, EACH = 7, 240
LENGTHS = (64, 128, 256, 512, 1024)  # tokens of a document
RAISED, RAISED_LENGTHS = (2.5, 6.25), (128, 512, 1024)  # RoPE bases times the model's own, without training
CHUNK_LENGTH, CHUNK_PARAGRAPHS = (
    512,
    2,
)  # questions are asked about this many paragraphs out of documents of this length
MEASURED = (
    f"{EACH} held-out documents, lists or chunks each, seed {SEED}: greedy answers to one question about a document of so many tokens "
    f"(right_LENGTH; _theta_X: RoPE base X times its own, no training); lists reversed; share of sampled questions about "
    f"{CHUNK_PARAGRAPHS} paragraphs that are about a fact in them (grounded_TEMPERATURE); nats a token of {facts.LENGTH}-token documents"
)


def replies(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """One reply to each prompt."""
    rendered = [replace(p, token_ids=render(tokenizer, p.messages)) for p in prompts]
    generator = LocalGenerator(model, tokenizer, Sampling(1, temperature, 1.0, max_new_tokens=12))
    return [answers[0].text for answers in generator.generate(rendered, [0], seed)]


def right(model: Any, tokenizer: Any, cases: Sequence[facts.Case]) -> float:
    """Share of cases answered rightly, greedily."""
    told = replies(model, tokenizer, [case.prompt for case in cases])
    return sum(facts.check(c.question, reply, c.document) == "right" for c, reply in zip(cases, told)) / len(cases)


def reversed_rightly(model: Any, tokenizer: Any, prompts: Sequence[Prompt]) -> float:
    """Share of lists said backwards without a mistake, greedily."""
    told = replies(model, tokenizer, prompts)
    return sum(reply.strip() == facts.reversed_words(p.text) for p, reply in zip(prompts, told)) / len(prompts)


def grounded(model: Any, tokenizer: Any, chunks: Sequence[str], temperature: float, seed: int = SEED) -> float:
    """Share of chunks about which the model, asked once, asks a question that the chunk answers."""
    asking = [Prompt.of((Message("user", facts.ASK_PROMPT.format(chunk=chunk)),)) for chunk in chunks]
    told = replies(model, tokenizer, asking, temperature, seed)
    return sum(facts.grounded(question, chunk) for question, chunk in zip(told, chunks)) / len(chunks)


@torch.no_grad()
def nats_per_token(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Mean negative log-likelihood of the texts' tokens after the first, each text alone after BOS; exp of it is the perplexity."""
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]])
        logits = model(input_ids=ids.to(model.device)).logits[0, :-1].float()
        total += F.cross_entropy(logits, ids[0, 1:].to(logits.device), reduction="sum").item()
        count += ids.shape[1] - 1
    return total / count


def chunks(seed: int, count: int, length: int = CHUNK_LENGTH, paragraphs: int = CHUNK_PARAGRAPHS) -> list[str]:
    """Neighbouring paragraphs out of held-out documents of `length` tokens, at least one fact among them."""
    found = []
    for number, text in enumerate(facts.documents(seed, (length,), count, "held-out")):
        parts = text.split("\n\n")
        starts = range(max(1, len(parts) - paragraphs + 1))
        pieces = ["\n\n".join(parts[start : start + paragraphs]) for start in starts]
        found.append(random.Random(number).choice([piece for piece in pieces if facts_of(piece)]))
    return found


def raised(model: Any, factor: float) -> Any:
    """A copy of the model with its RoPE base times `factor`, the weights untouched."""
    other = copy.deepcopy(model)
    other.config.rope_parameters["rope_theta"] *= factor
    other.model.rotary_emb = type(other.model.rotary_emb)(config=other.config).to(other.device)
    return other


def measure(model: Any, tokenizer: Any) -> dict[str, float]:
    """The figures on a model's card (`MEASURED` says what they are)."""
    cases = {length: facts.cases(SEED, length, EACH) for length in LENGTHS}
    figures = {f"right_{length}": right(model, tokenizer, cases[length]) for length in LENGTHS}
    for factor in RAISED:
        other = raised(model, factor)
        for length in RAISED_LENGTHS:
            figures[f"right_{length}_theta_{factor:g}"] = right(other, tokenizer, cases[length])
    figures["reversed"] = reversed_rightly(model, tokenizer, facts.reversals(EACH, SEED))
    pieces = chunks(SEED, EACH)
    for temperature in (0.7, 1.0):
        figures[f"grounded_{temperature:g}"] = grounded(model, tokenizer, pieces, temperature)
    figures["document_nats"] = nats_per_token(model, tokenizer, [case.document for case in cases[facts.LENGTH]])
    return {name: round(value, 4) for name, value in figures.items()}
