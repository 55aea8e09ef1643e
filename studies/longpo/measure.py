"""What the LongPO claim measures of a model: right answers by length, the short skills, drift on short inputs, held-out perplexity.

In: a model of the facts world, a fresh seed. Out: shares, case by case where they are compared; KL(model || start) in nats on replies that
the model samples to short prompts, over the whole vocabulary at each token; nats a token of short documents. Documents, questions and lists
are held out and the same for every arm of a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.launch import world_digest
from windvane.core.records import Response, seed_of
from windvane.engines.local import LocalGenerator, Sampling
from windvane.evals.perplexity import document_nats, summarise
from windvane.longpo.documents import read_cuts
from windvane.longpo.questions import Question
from windvane.longpo.turns import Turns
from windvane.models.load import load_model, load_tokenizer
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.prompts.chat import render
from windvane.runs.store import read_records
from windvane.toy.facts import family as facts
from windvane.toy.facts.skill import chunks, replies

NEW_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Sizes:
    """`lengths`: tokens of the documents asked about, the last one never trained on; `cases` a length, and lists; `along`: how many of
    them (and how many prompts of the KL) at a point along a run."""

    lengths: tuple[int, ...]
    cases: int
    along: int


class Probe:
    """The questions of one seed and the start that drift is measured from."""

    def __init__(self, sizes: Sizes, target: int, seed: int, start: str = "world:facts") -> None:
        """`target`: the longest length trained on."""
        self.sizes, self.target = sizes, target
        self.tokenizer = load_tokenizer(start)
        self.start = Scorer(load_model(start, "float32", "cpu"))
        self.cases = {n: facts.cases(seed_of("claim", seed), n, sizes.cases) for n in sizes.lengths}
        self.lists = facts.reversals(sizes.cases, seed_of("claim", seed))
        half = sizes.along // 2
        short = [c.prompt for c in self.cases[facts.LENGTH][:half]] + self.lists[:half]
        self.short = [replace(p, token_ids=render(self.tokenizer, p.messages)) for p in short]

    def right_each(self, model: Any, length: int, count: int | None = None) -> list[float]:
        """1 for each case of `length` that is answered rightly, greedily; else 0."""
        cases = self.cases[length][:count]
        told = replies(model, self.tokenizer, [c.prompt for c in cases])
        return [float(facts.check(c.question, t, c.document) == "right") for c, t in zip(cases, told)]

    def reversed_each(self, model: Any, count: int | None = None) -> list[float]:
        lists = self.lists[:count]
        told = replies(model, self.tokenizer, lists)
        return [float(t.strip() == facts.reversed_words(p.text)) for p, t in zip(lists, told)]

    def point(self, model: Any) -> dict[str, float]:
        """A point along a run: `long` and `short` shares (the latter the mean of `known` and `reversed`), `kl` a sequence and a token."""
        was = model.training
        model.eval()
        count = self.sizes.along
        known, back = mean(self.right_each(model, facts.LENGTH, count)), mean(self.reversed_each(model, count))
        long = mean(self.right_each(model, self.target, count))
        kl, token = self.drift(model)
        model.train(was)
        return {
            "long": long,
            "short": (known + back) / 2,
            "known": known,
            "reversed": back,
            "kl": kl,
            "kl_token": token,
        }

    def drift(self, model: Any) -> tuple[float, float]:
        """KL(model || start) on short prompts, nats (a sequence, a token)."""
        generator = LocalGenerator(model, self.tokenizer, Sampling(1, 1.0, 1.0, NEW_TOKENS))
        told = [answers[0] for answers in generator.generate(self.short, [0], 0)]
        trees = [Tree.of(p.token_ids, [r.token_ids]) for p, r in zip(self.short, told)]
        values = Scorer(model).token_kl(self.start, trees)
        total = sum(float(v[1].double().sum()) for v in values if v[1] is not None)
        return total / len(told), total / sum(len(r.token_ids) for r in told)

    def whole(self, model: Any) -> dict[str, Any]:
        """The end of a run: shares by length, lists, nats a token and drift; `each`: case by case at the longest length trained on."""
        by_length = {n: self.right_each(model, n) for n in self.sizes.lengths}
        kl, token = self.drift(model)
        return {
            "right": [mean(by_length[n]) for n in self.sizes.lengths],
            "reversed": mean(self.reversed_each(model)),
            "nats": self.nats(model),
            "kl": kl,
            "kl_token": token,
            "each": by_length[self.target],
        }

    def nats(self, model: Any) -> float:
        """Held-out nats a token of documents of the length that the start was taught on."""
        documents = [case.document for case in self.cases[facts.LENGTH]]
        rows = [(str(i), self._ids(text)) for i, text in enumerate(documents)]
        return float(summarise(document_nats(Scorer(model), rows))["nats_per_token"])

    def _ids(self, text: str) -> list[int]:
        return [self.tokenizer.bos_token_id, *self.tokenizer(text, add_special_tokens=False).input_ids]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def data_of(run: Path, rounds: int) -> list[dict[str, float]]:
    """A round each: `asked`: share of replies to the self-instruct prompt that are about their chunk; `yield`: chunks that got a
    question; `pairs` trained on; and the shares of chosen and rejected answers that are right. The label is by construction: nobody
    looked at these figures to choose the pairs."""
    found = []
    for t in range(1, rounds + 1):
        folder = run / f"iter-{t}"
        questions = {q.id: q for q in read_records(folder / "questions.jsonl", Question)}
        tries = [r for q in questions.values() for r in q.replies]
        kept = [(row.id, id) for row in read_records(folder / "turns.jsonl", Turns) for id in row.turns]
        told = {
            name: {r.prompt_id: r for r in read_records(folder / f"{name}.jsonl", Response)}
            for name in ("chosen", "rejected")
        }
        row: dict[str, float] = {
            "chunks": float(sum(len(c.chunks) for c in read_cuts(folder / "documents.jsonl"))),
            "asked": mean([float(r.reason is None) for r in tries]) if tries else 0.0,
            "yield": mean([float(q.text is not None) for q in questions.values()]) if questions else 0.0,
            "pairs": float(len(kept)),
        }
        for name, answers in told.items():
            marks = []
            for document, id in kept:
                question = questions[id].text
                assert question is not None, "a kept question has a text"
                text = (run / "documents" / f"{document}.txt").read_text(encoding="utf-8")
                marks.append(float(facts.check(question, answers[id].text, text) == "right"))
            row[f"right_{name}"] = mean(marks) if marks else 0.0
        found.append(row)
    return found


def world_sha256() -> str:
    """The world by what it does: the start's weights and tokenizer, documents to train on, held-out questions with their answers, lists,
    and what the two checks say of them."""
    cases = facts.cases(0, 256, 8)
    told = [
        list(facts.documents(0, (208, 976), 4)),
        [[c.document, c.question, c.answer, facts.check(c.question, c.answer, c.document)] for c in cases],
        [p.text for p in facts.reversals(8, 0)],
        [facts.grounded(c.question, piece) for c in cases for piece in chunks(0, 4)],
    ]
    return world_digest(facts.model_folder(), ("model.safetensors", "tokenizer.json", "config.json"), told)
