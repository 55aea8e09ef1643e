"""LongPO's training examples: questions on one long document, each with an answer from its short chunk and one from the whole.

In: the turns of one document as token ids. Out: one Example, its document computed once: `conversation` (the turns follow each other, the
chosen ones on chosen history, the rejected ones on rejected history, as the released code has it: one preference a document) or
`questions` (each question on its own: one preference a question, and the document's NLL counts once in each, as in rows of their
own). `short_contexts` are the examples that the frozen reference scores instead; `with_reference` puts its sums together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.modeling.tree import Tree
from windvane.train.batches import Example, Span


@dataclass(frozen=True, slots=True)
class Turn:
    """`prompt_ids`: what stands before the answers in the long row: in a conversation what has come since the turn before
    (the first turn: template, document and question), else all of it. `short_ids`: the whole prompt with the question's own chunk in
    the document's place. `chosen`, `rejected`: the ids of the two responses."""

    prompt_ids: tuple[int, ...]
    short_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    chosen: str
    rejected: str


def conversation(id: str, turns: Sequence[Turn]) -> Example:
    """All turns as one comparison: the two conversations are the rows, an answer is what was said in all its turns."""
    chosen, chosen_spans = _row([(t.prompt_ids, t.chosen_ids) for t in turns])
    rejected, rejected_spans = _row([(t.prompt_ids, t.rejected_ids) for t in turns])
    start = len(turns[0].prompt_ids)
    return Example(
        id=id,
        tree=Tree.of_rows([(chosen, start), (rejected, start)]),
        response_ids=(f"{id}:chosen", f"{id}:rejected"),
        p_win=(1.0, 0.0),
        lengths=tuple(sum(stop - start for start, stop in spans) for spans in (chosen_spans, rejected_spans)),
        chosen=0,
        rejected=1,
        spans=(chosen_spans, rejected_spans),
        turns=(tuple(t.chosen for t in turns), tuple(t.rejected for t in turns)),
    )


def questions(id: str, turns: Sequence[Turn]) -> Example:
    """Each turn as a comparison of its own, under one trunk: the rows' common prefix, the document."""
    rows = [(t.prompt_ids + a, len(t.prompt_ids)) for t in turns for a in (t.chosen_ids, t.rejected_ids)]
    responses = tuple(r for t in turns for r in (t.chosen, t.rejected))
    return Example(
        id=id,
        tree=Tree.of_rows(rows),
        response_ids=responses,
        p_win=(1.0, 0.0) * len(turns),
        lengths=tuple(len(a) for t in turns for a in (t.chosen_ids, t.rejected_ids)),
        chosen=0,
        rejected=1,
        comparisons=tuple((2 * i, 2 * i + 1) for i in range(len(turns))),
        turns=tuple((r,) for r in responses),
    )


def short_contexts(turns: Sequence[Turn]) -> list[Example]:
    """What the reference scores: each question's two answers after its short prompt, without history."""
    return [
        Example(
            id=t.chosen,
            tree=Tree.of(t.short_ids, [t.chosen_ids, t.rejected_ids]),
            response_ids=(t.chosen, t.rejected),
            p_win=(1.0, 0.0),
            lengths=(len(t.chosen_ids), len(t.rejected_ids)),
            chosen=0,
            rejected=1,
        )
        for t in turns
    ]


def _row(parts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """The tokens of a conversation, and where its answers lie in them."""
    ids: tuple[int, ...] = ()
    spans = []
    for prompt, answer in parts:
        ids += prompt
        spans.append((len(ids), len(ids) + len(answer)))
        ids += answer
    return ids, tuple(spans)
