"""A round's questions and answers -> the turns that are trained on -> examples for the arm.

In: prompts, both answers to each question. Out: iter-t/turns.jsonl (a line a document: its kept questions in order, the dropped ones with
their reasons) and, a document at a time, the training example: texts are tokenised again when they are asked for, sampled answers are
taken by id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from windvane.core.protocols import Runner
from windvane.core.records import Response
from windvane.core.schema import encode
from windvane.longpo.documents import Cut, document_units
from windvane.longpo.examples import Turn, aligned, conversation, questions, supervised
from windvane.longpo.filters import drop_reason
from windvane.longpo.responses import Prompts
from windvane.longpo.settings import LongPO
from windvane.train.batches import Example

USER, ANSWER = "Qwx user turn", "Qwx answer"  # probes: text no template writes by itself


@dataclass(frozen=True, slots=True)
class Drop:
    id: str  # the chunk's
    reason: str


@dataclass(frozen=True, slots=True)
class Turns:
    """`id` is the document's. A document with fewer than `filters.min_turns` left has none, each dropped for that reason."""

    id: str
    turns: tuple[str, ...]
    dropped: tuple[Drop, ...]


def run_turns(
    runner: Runner,
    stage: str,
    s: LongPO,
    prompts: Prompts,
    chosen: Mapping[str, Response],
    rejected: Mapping[str, Response],
    window: int,
) -> None:
    """Fill `stage` with a Turns record a document."""

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        return [encode(kept_turns(cut, s, prompts, chosen, rejected, window)) for cut in batch]

    runner.run(stage, document_units(list(prompts.cuts.values()), s.batch_documents), work)


def kept_turns(
    cut: Cut,
    s: LongPO,
    prompts: Prompts,
    chosen: Mapping[str, Response],
    rejected: Mapping[str, Response],
    window: int,
) -> Turns:
    kept, dropped = [], []
    for id, prompt in prompts.short(cut).items():
        if id not in chosen or id not in rejected:
            dropped.append(Drop(id, "over-long short row" if id not in chosen else "over-long row"))
            continue
        answers = chosen[id], rejected[id]
        tokens = len(prompt.token_ids) + max(len(a.token_ids) for a in answers)
        reason = drop_reason(*answers, tokens, window, s.filters)
        if reason is None:
            kept.append(id)
        else:
            dropped.append(Drop(id, reason))
    if kept and len(kept) < s.filters.min_turns:
        dropped += [Drop(id, "too few questions left of its document") for id in kept]
        kept = []
    return Turns(cut.id, tuple(kept), tuple(dropped))


class TurnsOf:
    """The `Turn`s of a document: what stands before each answer on the long and on the short side."""

    def __init__(
        self,
        s: LongPO,
        prompts: Prompts,
        stops: Collection[int],
        chosen: Mapping[str, Response],
        rejected: Mapping[str, Response],
    ) -> None:
        self.s, self.prompts, self.stops, self.chosen, self.rejected = s, prompts, frozenset(stops), chosen, rejected

    def __call__(self, row: Turns, history: bool) -> list[Turn]:
        """With `history` a turn's long prompt is what comes after the turn before; else each has the whole document."""
        cut = self.prompts.cuts[row.id]
        long = self.prompts.long(cut, row.turns[:1] if history else row.turns)
        short = self.prompts.short(cut)
        found = []
        for id in row.turns:
            question = self.prompts.questions[id].text
            assert question is not None
            closing: tuple[int, ...] = ()
            if id in long:
                before = long[id].token_ids
            else:
                closing, before = next_turn(self.prompts.tokenizer, question, self.stops)
            chosen, rejected = self.chosen[id], self.rejected[id]
            found.append(
                Turn(
                    prompt_ids=before,
                    short_ids=short[id].token_ids,
                    chosen_ids=chosen.token_ids,
                    rejected_ids=rejected.token_ids,
                    chosen=chosen.id,
                    rejected=rejected.id,
                    closing_ids=closing,
                    open=(chosen.finish != "stop", rejected.finish != "stop"),
                )
            )
        return found


def next_turn(tokenizer: Any, question: str, stops: Collection[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the template writes after an answer: (what closes the answer, up to the token that ends it), (the next user turn, up to
    where its answer begins). A sampled answer that ended by itself has its closing token already."""
    chat = [{"role": r, "content": c} for r, c in (("user", USER), ("assistant", ANSWER), ("user", question))]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    rest = text[text.rindex(ANSWER) + len(ANSWER) :]
    ids = tuple(tokenizer(rest, add_special_tokens=False)["input_ids"])
    ends = next((i + 1 for i, token in enumerate(ids) if token in stops), 0)
    return ids[:ends], ids[ends:]


class DocumentExamples(Sequence[Example]):
    """Examples made when they are asked for: a corpus of long documents as token ids does not fit in memory."""

    def __init__(self, rows: Sequence[Turns], build: Callable[[Turns], Example]) -> None:
        self.rows = rows
        self._built = lru_cache(maxsize=8)(lambda index: build(rows[index]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return DocumentExamples(self.rows[index], lambda row: self._built(self.rows.index(row)))
        return self._built(range(len(self.rows))[index])


def example_of(view: str, row: Turns, turns: TurnsOf, history: bool) -> Example:
    """A document's example as an arm sees it: "pair", "answers" or "whole" (SFT), "aligned" (SoLoPO)."""
    skip = frozenset(turns.prompts.tokenizer.all_special_ids) if turns.s.nll == "no-template" else frozenset()
    if view == "aligned":
        return aligned(row.id, turns(row, False))
    found = turns(row, history)
    if view == "pair":
        return conversation(row.id, found, skip) if history else questions(row.id, found, skip)
    return supervised(row.id, found, history, view == "whole", skip)


def on_the_long_input(example: Example) -> Example:
    """The same, its reference scored on what the policy reads."""
    return dataclasses.replace(example, turns=())
