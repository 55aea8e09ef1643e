"""LongPO's training examples: questions on one long document, each with an answer from its short chunk and one from the whole.

In: the turns of one document as token ids. Out: one Example, its document computed once: `conversation` (the turns follow each other, the
chosen ones on chosen history, the rejected ones on rejected history, as the released code has it: one preference a document) or
`questions` (each question on its own: one preference a question, and the document's NLL counts once in each, as in rows of their
own). `short_contexts` are the examples that the frozen reference scores instead; `with_reference` puts its sums together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from windvane.models.trees.tree import Tree
from windvane.train.batches import Example, Span


@dataclass(frozen=True, slots=True)
class Turn:
    """`prompt_ids`: what stands before the answers in the long row: in a conversation what has come since the turn before
    (the first turn: template, document and question), else all of it. `short_ids`: the whole prompt with the question's own chunk in
    the document's place. `chosen`, `rejected`: the ids of the two responses. `closing_ids`: what the template ends an answer with, put
    before `prompt_ids` where the answer of the turn before is `open`: cut at its longest, it has no closing token of its own."""

    prompt_ids: tuple[int, ...]
    short_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    chosen: str
    rejected: str
    closing_ids: tuple[int, ...] = ()
    open: tuple[bool, bool] = (False, False)  # chosen, rejected


def conversation(id: str, turns: Sequence[Turn], skip: Collection[int] = ()) -> Example:
    """All turns as one comparison: the two conversations are the rows, an answer is what was said in all its turns. The NLL leaves out
    the tokens `skip` (a template's own) outside of answers."""
    (chosen, chosen_spans), (rejected, rejected_spans) = (_row(turns, side) for side in (0, 1))
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
        nll=(_counted(chosen, chosen_spans, skip),) if skip else (),
    )


def questions(id: str, turns: Sequence[Turn], skip: Collection[int] = ()) -> Example:
    """Each turn as a comparison of its own, under one trunk: the rows' common prefix, the document. `skip` as in `conversation`."""
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
        nll=tuple(_counted(ids, [(start, len(ids))], skip) for ids, start in rows[::2]) if skip else (),
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


def supervised(id: str, turns: Sequence[Turn], history: bool, whole: bool, skip: Collection[int] = ()) -> Example:
    """The chosen answers alone, for SFT: one conversation with `history`, else each question on its own. `whole`: every token counts that
    something comes before, document and questions too, but for `skip` outside of answers."""
    parts = [turns] if history else [[t] for t in turns]
    rows = [_row(part, 0) for part in parts]
    spans = tuple(tuple((a, b) for a, b, _ in _counted(ids, where, skip)) if whole else where for ids, where in rows)
    return Example(
        id=id,
        tree=Tree.of_rows([(ids, where[0][0]) for (ids, _), where in zip(rows, spans)]),
        response_ids=tuple(f"{id}:{part[0].chosen}" for part in parts),
        p_win=(1.0,) * len(rows),
        lengths=tuple(sum(stop - start for start, stop in where) for where in spans),
        chosen=0,
        rejected=None,
        comparisons=tuple((i,) for i in range(len(rows))),
        spans=spans,
    )


def aligned(id: str, turns: Sequence[Turn]) -> Example:
    """For SoLoPO, a comparison a question: chosen and rejected after the short prompt, and the chosen one after the long prompt."""
    rows = []
    for t in turns:
        for before, answer in (
            (t.short_ids, t.chosen_ids),
            (t.short_ids, t.rejected_ids),
            (t.prompt_ids, t.chosen_ids),
        ):
            rows.append((before + answer, len(before)))
    return Example(
        id=id,
        tree=Tree.of_rows(rows),
        response_ids=tuple(r for t in turns for r in (t.chosen, t.rejected, f"{t.chosen}@long")),
        p_win=(1.0, 0.0, 1.0) * len(turns),
        lengths=tuple(len(ids) - start for ids, start in rows),
        chosen=0,
        rejected=1,
        comparisons=tuple((3 * i, 3 * i + 1, 3 * i + 2) for i in range(len(turns))),
    )


def _counted(ids: Sequence[int], answers: Sequence[Span], skip: Collection[int]) -> tuple[tuple[int, int, float], ...]:
    """(start, stop, weight 1) of all tokens but the first, without those of `skip` that are in no answer."""
    out = {i for i, token in enumerate(ids) if token in skip} - {i for a, b in answers for i in range(a, b)}
    edges = sorted({*out, 0, len(ids)})
    return tuple((a + 1, b, 1.0) for a, b in pairwise(edges) if a + 1 < b)


def _row(turns: Sequence[Turn], side: int) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """The tokens of a conversation, chosen (0) or rejected (1), and where its answers lie in them."""
    ids: tuple[int, ...] = ()
    spans = []
    unclosed = False
    for turn in turns:
        answer = turn.rejected_ids if side else turn.chosen_ids
        ids += (turn.closing_ids if unclosed else ()) + turn.prompt_ids
        spans.append((len(ids), len(ids) + len(answer)))
        ids += answer
        unclosed = turn.open[side]
    return ids, tuple(spans)
