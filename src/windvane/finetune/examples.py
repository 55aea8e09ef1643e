"""Records of one's own rows -> training examples, whatever the objective reads, and some of the prompts kept out of training.

In: `own_rows.Made`'s prompts, responses, groups and spans, the objective's branches. Out: `Example`s. An unpaired objective reads a pair
as a desirable and an undesirable answer; a single one learns the chosen, best or desirable answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from windvane.core.errors import UserError
from windvane.core.records import Group, Prompt, Response, held_out_keys
from windvane.models.trees.tree import Tree
from windvane.train.batches import Example, Span, mismatched

NEEDS = {
    "pair": "pairs of a chosen and a rejected answer",
    "group": "pairs, or answers with scores or probabilities",
    "unpaired": "answers that are desirable or not (a column label), or pairs",
    "single": "an answer to learn: chats, prompts with their answers, or pairs",
}


def own_examples(
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    groups: Sequence[Group],
    spans: Mapping[str, Sequence[Span]],
    branches: str,
    answers: str = "best-worst",
    weights: Mapping[str, Sequence[float]] | None = None,
) -> list[Example]:
    """One example a usable group, in the order of ids; those without what the objective reads are left out."""
    found = []
    for group in sorted(groups, key=lambda g: g.id):
        order = _order(group, branches, answers)
        if not order:
            continue
        members = {m.index: m for m in group.members}
        kept = [responses[members[i].response_id] for i in order]
        head = len(prompts[group.id].token_ids)
        if branches == "unpaired" and any(r.id in spans for r in kept):
            raise UserError(
                f"row {group.id}: an objective on single answers reads one whole turn; make each turn a row"
            )
        turns = [spans.get(r.id, ((0, len(r.token_ids)),)) for r in kept]
        several = any(r.id in spans for r in kept)
        found.append(
            Example(
                id=group.id,
                tree=Tree.of(prompts[group.id].token_ids, [r.token_ids for r in kept]),
                response_ids=tuple(r.id for r in kept),
                # judged pair by pair: over all K, the answer itself at 1/2, as `run sppo` has it; given as probabilities: as given
                p_win=tuple(members[i].p_incl if group.judged_pairs else members[i].p_loo for i in order),
                lengths=tuple(sum(b - a for a, b in s) for s in turns),
                chosen=order.index(group.chosen) if group.chosen in order else None,
                rejected=order.index(group.rejected) if group.rejected in order else None,
                spans=tuple(tuple((head + a, head + b) for a, b in s) for s in turns) if several else (),
                weights=_weights(kept, turns, weights or {}),
                desirable=tuple(_desirable(group, i) for i in order) if branches == "unpaired" else (),
            )
        )
    return mismatched(found) if branches == "unpaired" else found


def _weights(
    kept: Sequence[Response], spans: Sequence[Sequence[Span]], weights: Mapping[str, Sequence[float]]
) -> tuple[tuple[float, ...], ...]:
    """The loss weight of each span of each answer; nothing where all are 1."""
    if not any(r.id in weights for r in kept):
        return ()
    return tuple(tuple(weights.get(r.id, [1.0] * len(s))) for r, s in zip(kept, spans))


def _order(group: Group, branches: str, answers: str) -> list[int]:
    """The answers of `group` that the objective reads."""
    pair = group.chosen is not None and group.rejected is not None
    if branches == "single":
        return [] if group.chosen is None else [group.chosen]
    if branches == "unpaired" and group.status == "single":
        return [i for i in (group.chosen, group.rejected) if i is not None]
    if branches in ("group", "unpaired") and answers == "all" and len(group.members) > 1:
        return [m.index for m in group.members if branches == "group" or m.p_loo != 0.5]
    return [group.chosen, group.rejected] if pair else []  # type: ignore[list-item]


def _desirable(group: Group, index: int) -> bool:
    if index in (group.chosen, group.rejected):
        return index == group.chosen
    return next(m.p_loo for m in group.members if m.index == index) > 0.5


def content_of(id: str) -> str:
    """The prompt's own id, of whichever of its rows."""
    return id.partition(".")[0]


def hold_out(found: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(training, held out): all rows of a fraction of the prompts; none where there are fewer than ten prompts."""
    held = held_out_keys((content_of(e.id) for e in found), fraction, seed)
    return [e for e in found if content_of(e.id) not in held], [e for e in found if content_of(e.id) in held]
