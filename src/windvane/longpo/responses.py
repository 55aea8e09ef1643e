"""Both sides' answers to a round's questions: from the chunk alone, and from the whole document read once for all its questions.

In: chunks, questions, a short and a long model. Out: iter-t/chosen.jsonl and iter-t/rejected.jsonl, a Response a question; its prompt
id is the chunk's. Same question, same decoding on both sides; a random number stream of its own for each answer. An answer's prompt is
never cut: a question that does not fit has no answer, and is counted among the dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from windvane.core.protocols import Runner
from windvane.core.records import Message, Prompt, Response, seed_of
from windvane.core.schema import encode
from windvane.engines.local import LocalGenerator
from windvane.longpo.decode import TrunkReader
from windvane.longpo.documents import Cut, Texts, document_units, long_text
from windvane.longpo.questions import Question
from windvane.longpo.settings import LongPO
from windvane.prompts.chat import render

CHOSEN, REJECTED = 0, 1  # indices of a question's two answers


class Prompts:
    """What each side reads of a question, as token ids through the model's template."""

    def __init__(
        self, s: LongPO, tokenizer: Any, texts: Texts, cuts: Sequence[Cut], questions: Sequence[Question]
    ) -> None:
        self.s, self.tokenizer, self.texts = s, tokenizer, texts
        self.cuts = {c.id: c for c in cuts}
        self.questions = {q.id: q for q in questions if q.text is not None}

    def asked(self, cut: Cut) -> list[Question]:
        """The questions of a document, in the order in which its chunks were drawn."""
        return [self.questions[c.id] for c in cut.chunks if c.id in self.questions]

    def short(self, cut: Cut) -> dict[str, Prompt]:
        """Each question after its own chunk."""
        text, places = self.texts.read(cut.id), {c.id: c for c in cut.chunks}
        return {q.id: self._prompt(q, text[places[q.id].start : places[q.id].stop]) for q in self.asked(cut)}

    def long(self, cut: Cut, only: Collection[str] | None = None) -> dict[str, Prompt]:
        """Each question (of `only`) after the document."""
        text = long_text(self.texts.read(cut.id), cut, self.s)
        return {q.id: self._prompt(q, text) for q in self.asked(cut) if only is None or q.id in only}

    def _prompt(self, question: Question, context: str) -> Prompt:
        assert question.text is not None
        turn = self.s.answer.layout.replace("{question}", question.text).replace("{context}", context)
        messages = (Message("user", turn),)
        return Prompt(question.id, messages, render(self.tokenizer, messages))


def run_short_answers(
    runner: Runner, stage: str, generator: LocalGenerator, s: LongPO, t: int, prompts: Prompts, index: int, window: int
) -> None:
    """Fill `stage` with the answers from chunks. A question that does not fit the window with its chunk has none."""
    seed, new = seed_of(s.seed, "answers", t), s.answer.max_new_tokens

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        asked = [p for cut in batch for p in prompts.short(cut).values() if len(p.token_ids) + new <= window]
        return [encode(r) for (r,) in generator.generate(asked, [index], seed)]

    runner.run(stage, document_units(list(prompts.cuts.values()), s.batch_documents), work)


def run_long_answers(
    runner: Runner, stage: str, generator: LocalGenerator, s: LongPO, t: int, prompts: Prompts, index: int
) -> None:
    """Fill `stage` with the answers from whole documents, each document's questions together."""
    reader = TrunkReader(generator.model, generator.stops, s.answer.sampling)
    seed = seed_of(s.seed, "answers", t)

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        return [
            encode(r)
            for cut in batch
            for r in long_answers(reader, generator.tokenizer, prompts.long(cut), index, seed, s.targets[t - 1])
        ]

    runner.run(stage, document_units(list(prompts.cuts.values()), s.batch_documents), work)


def long_answers(
    reader: TrunkReader, tokenizer: Any, asked: Mapping[str, Prompt], index: int, seed: int, target: int
) -> list[Response]:
    """One answer to each question on one document; a question whose row is longer than the round's length (a document at the limit, one
    of the longest questions, and the template's own tokens) has none."""
    new = reader.sampling.max_new_tokens
    asked = {id: p for id, p in asked.items() if len(p.token_ids) + new <= target}
    if not asked:
        return []
    sampled = reader.answer([p.token_ids for p in asked.values()], [seed_of(seed, id, index) for id in asked])
    found = []
    for id, one in zip(asked, sampled):
        said = one.token_ids[:-1] if one.stopped else one.token_ids
        text = tokenizer.decode(said, skip_special_tokens=True)
        finish = "stop" if one.stopped else "length"
        found.append(Response(f"{id}-{index}", id, index, text, one.token_ids, finish, one.logps))
    return found
