"""Groups -> training examples -> optimizer batches -> micro-batches of whole trees.

An example is one tree: the prompt's ids as trunk, the answers' sampled ids as branches, by id and never re-tokenised. Order is a
function of (seed, epoch) alone; a micro-batch is filled in that order up to a number of tokens and changes nothing but memory.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from windvane.modeling.tree import Tree
from windvane.records import Group, Prompt, Response, seed_of


@dataclass(frozen=True, slots=True)
class Example:
    """One tree with what the objectives read of each branch. For pairs: chosen, then rejected. `reference` is filled from the
    cached stage; `chosen`/`rejected` are the branches whose log-probs are followed in the metrics."""

    id: str
    tree: Tree
    response_ids: tuple[str, ...]
    p_win: tuple[float, ...]
    lengths: tuple[int, ...]
    chosen: int | None
    rejected: int | None
    reference: tuple[float, ...] = ()

    @property
    def tokens(self) -> int:
        return self.tree.tokens


def examples(
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    groups: Sequence[Group],
    branches: str,
    answers: str = "best-worst",
    self_term: bool = True,
) -> list[Example]:
    """One example a usable group, sorted by id. `branches` is the objective's; `answers` "best-worst" or "all" says which
    answers a "group" objective sees. Groups without a pair are left out of pair training, and are counted by their status."""
    found = []
    for group in sorted(groups, key=lambda g: g.id):
        members = {m.index: m for m in group.members}
        if branches == "group" and answers == "all" and len(members) > 1:
            order = sorted(members)
        elif group.chosen is not None and group.rejected is not None:
            order = [group.chosen] if branches == "single" else [group.chosen, group.rejected]
        else:
            continue
        kept = [members[i] for i in order]
        tokens = [responses[m.response_id].token_ids for m in kept]
        found.append(
            Example(
                id=group.id,
                tree=Tree.of(prompts[group.id].token_ids, tokens),
                response_ids=tuple(m.response_id for m in kept),
                p_win=tuple(m.p_incl if self_term else m.p_loo for m in kept),
                lengths=tuple(map(len, tokens)),
                chosen=order.index(group.chosen) if group.chosen is not None else None,
                rejected=order.index(group.rejected) if group.rejected in order else None,
            )
        )
    return found


def with_reference(found: Sequence[Example], logps: Mapping[str, float]) -> list[Example]:
    """The same examples with the reference's summed log-probs (nats) of their answers."""
    return [replace(e, reference=tuple(logps[r] for r in e.response_ids)) for e in found]


def set_aside(found: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(training, held out): a fraction of the prompts, chosen by (seed, id); at least one where there are ten or more."""
    count = max(1, round(fraction * len(found))) if fraction and len(found) >= 10 else 0
    ranked = sorted(found, key=lambda e: seed_of(seed, "held-out", e.id))
    held = {e.id for e in ranked[:count]}
    return [e for e in found if e.id not in held], [e for e in found if e.id in held]


def order(count: int, seed: int, epoch: int) -> list[int]:
    """The permutation of `count` examples in one epoch."""
    indices = list(range(count))
    random.Random(seed_of(seed, "order", epoch)).shuffle(indices)
    return indices


def micro_batches(batch: Sequence[Example], max_tokens: int) -> Iterator[list[Example]]:
    """Cut an optimizer batch, in order, into runs of at most `max_tokens` tree tokens (one example at least)."""
    held: list[Example] = []
    tokens = 0
    for example in batch:
        if held and tokens + example.tokens > max_tokens:
            yield held
            held, tokens = [], 0
        held.append(example)
        tokens += example.tokens
    if held:
        yield held
