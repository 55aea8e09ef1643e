"""Groups -> training examples -> optimizer batches -> micro-batches of whole trees.

An example is one tree: the prompt's ids as trunk, the answers' sampled ids as branches, by id and never re-tokenised. What each
token counts for is explicit (spans of a row with weights), so that a tree's loss is its rows' loss. Order is a function of (seed, epoch)
alone; a micro-batch is filled in that order up to a number of tokens and changes nothing but memory.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from windvane.core.errors import UserError
from windvane.core.records import Group, Prompt, Response, held_out_keys, seed_of
from windvane.models.trees.tree import Tree

Span = tuple[int, int]  # [start, stop) in a row's tokens


class Packed(Protocol):
    """What micro-batches and shares are made of: an `Example`, a `RewardExample`."""

    @property
    def id(self) -> str: ...

    @property
    def tree(self) -> Tree: ...

    @property
    def tokens(self) -> int: ...


E = TypeVar("E", bound=Packed)


@dataclass(frozen=True, slots=True)
class Example:
    """One tree with what the objectives read of each of its rows; row k, which ends at the tree's leaf k, holds answer k.

    For pairs: chosen, then rejected. `reference` is filled from the cached stage; `chosen`/`rejected` are the branches whose log-probs
    are followed in the metrics. The rest may stay empty: `comparisons` groups the answers into losses (several questions on one
    document; empty: one of all answers), with `chosen`/`rejected` counted inside each; `spans` says where each answer's tokens lie in its
    row (several turns of a conversation; empty: its last `lengths[k]` tokens), and `weights` how much each of them counts (empty: 1); `nll`
    weights the tokens of each comparison's chosen row for its NLL (empty: 1 on all but the first, which nothing predicts); `turns` names
    the responses whose reference log-probs add up to each answer's, where the reference read other, short contexts; `slow` is a second
    reference's; `desirable` and `mismatch` (other prompts' answers after this prompt) are KTO's; `token_reference` is the reference's
    log-prob of each token of each answer.
    """

    id: str
    tree: Tree
    response_ids: tuple[str, ...]
    p_win: tuple[float, ...]
    lengths: tuple[int, ...]
    chosen: int | None
    rejected: int | None
    reference: tuple[float, ...] = ()
    comparisons: tuple[tuple[int, ...], ...] = ()
    spans: tuple[tuple[Span, ...], ...] = ()
    nll: tuple[tuple[tuple[int, int, float], ...], ...] = ()
    turns: tuple[tuple[str, ...], ...] = ()
    slow: tuple[float, ...] = ()
    desirable: tuple[bool, ...] = ()
    mismatch: Example | None = None
    token_reference: tuple[tuple[float, ...], ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of the tree, the trunk once: what a forward computes."""
        return self.tree.tokens

    @property
    def losses(self) -> tuple[tuple[int, ...], ...]:
        """The answers of each comparison: each is one value of the objective."""
        return self.comparisons or (tuple(range(len(self.lengths))),)

    def row_length(self, k: int) -> int:
        """Tokens of answer k's whole row, its prompt included."""
        return sum(len(self.tree.nodes[n].token_ids) for n in self.tree.path(self.tree.leaves[k]))

    def answer_spans(self, k: int) -> tuple[tuple[int, int, float], ...]:
        """(start, stop, weight) of answer k in its row."""
        if self.spans:
            weights = self.weights[k] if self.weights else (1.0,) * len(self.spans[k])
            return tuple((start, stop, weight) for (start, stop), weight in zip(self.spans[k], weights))
        end = self.row_length(k)
        return ((end - self.lengths[k], end, 1.0),)

    def nll_row(self, which: int) -> int:
        """The answer whose row comparison `which` takes its NLL over: the chosen one."""
        assert self.chosen is not None, "no chosen answer"
        return self.losses[which][self.chosen]

    def nll_spans(self, which: int) -> tuple[tuple[int, int, float], ...]:
        """(start, stop, weight) of comparison `which`'s chosen row."""
        return self.nll[which] if self.nll else ((1, self.row_length(self.nll_row(which)), 1.0),)

    def nll_tokens(self, which: int) -> float:
        """Tokens of comparison `which`'s NLL, each by its weight."""
        return sum((stop - start) * weight for start, stop, weight in self.nll_spans(which))


def examples(
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    groups: Sequence[Group],
    branches: str,
    answers: str = "best-worst",
    self_term: bool = True,
) -> list[Example]:
    """One example a usable group, sorted by id. `branches` is the objective's; `answers` "best-worst" or "all" says which
    answers a "group" or "unpaired" objective sees. Groups without a pair are left out of pair training, and are counted by their status.
    Unpaired, the best is desirable and the worst is not; of all, those that win more often than not are, and even ones are left out."""
    found = []
    unpaired = branches == "unpaired"
    for group in sorted(groups, key=lambda g: g.id):
        members = {m.index: m for m in group.members}
        p_win = {i: m.p_incl if self_term else m.p_loo for i, m in members.items()}
        if branches in ("group", "unpaired") and answers == "all" and len(members) > 1:
            order = [i for i in sorted(members) if not unpaired or p_win[i] != 0.5]
            if not order:
                continue
        elif group.chosen is not None and group.rejected is not None:
            order = [group.chosen] if branches == "single" else [group.chosen, group.rejected]
        else:
            continue
        kept = [members[i] for i in order]
        tokens = [responses[m.response_id].token_ids for m in kept]
        if not all(tokens):
            bare = next(m.response_id for m, ids in zip(kept, tokens) if not ids)
            raise UserError(
                f"answer {bare}: has no token ids (a server gave its text alone); training goes by the sampled ids"
            )
        found.append(
            Example(
                id=group.id,
                tree=Tree.of(prompts[group.id].token_ids, tokens),
                response_ids=tuple(m.response_id for m in kept),
                p_win=tuple(p_win[i] for i in order),
                lengths=tuple(map(len, tokens)),
                chosen=order.index(group.chosen) if group.chosen in order else None,
                rejected=order.index(group.rejected) if group.rejected in order else None,
                desirable=_desirable(order, group, p_win, answers) if unpaired else (),
            )
        )
    return mismatched(found) if unpaired else found


def _desirable(order: list[int], group: Group, p_win: Mapping[int, float], answers: str) -> tuple[bool, ...]:
    return tuple(p_win[i] > 0.5 if answers == "all" else i == group.chosen for i in order)


def mismatched(found: Sequence[Example]) -> list[Example]:
    """The same examples, each with the answers of the one before it (the first: of the last) after its own prompt: the pairs by which
    KTO estimates how far the policy has moved. Fixed once, so that the reference's log-probs of them are cached like all others."""
    if len(found) < 2:
        return list(found)
    made = []
    for e, other in zip(found, [found[-1], *found[:-1]]):
        assert not e.spans and not other.spans, "one prompt and its answers"
        answers = [other.tree.nodes[leaf].token_ids for leaf in other.tree.leaves]
        tree = Tree.of(e.tree.nodes[0].token_ids, answers)
        ids = tuple(f"{r}@{e.id}" for r in other.response_ids)
        zeros = tuple(0.0 for _ in answers)
        made.append(replace(e, mismatch=Example(e.id, tree, ids, zeros, other.lengths, None, None)))
    return made


def with_reference(
    found: Sequence[Example],
    logps: Mapping[str, float],
    slow: Mapping[str, float] | None = None,
    tokens: Mapping[str, tuple[float, ...]] | None = None,
) -> list[Example]:
    """The same examples with the reference's summed log-probs (nats) of their answers by response id, those of a `slow` second
    reference, and the reference's of each of the answers' `tokens`."""

    def summed(e: Example, of: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(sum(of[r] for r in ids) for ids in e.turns or [(r,) for r in e.response_ids])

    def joined(e: Example, of: Mapping[str, tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
        rows = tuple(tuple(p for r in ids for p in of[r]) for ids in e.turns or [(r,) for r in e.response_ids])
        assert tuple(map(len, rows)) == e.lengths, f"{e.id}: the reference has other tokens"
        return rows

    made = []
    for e in found:
        mismatch = e.mismatch and replace(e.mismatch, reference=summed(e.mismatch, logps))
        slowly = e.slow if slow is None else summed(e, slow)
        each = e.token_reference if tokens is None else joined(e, tokens)
        made.append(replace(e, reference=summed(e, logps), slow=slowly, mismatch=mismatch, token_reference=each))
    return made


def set_aside(found: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(training, held out): a fraction of the prompts, chosen by (seed, id); at least one where there are ten or more."""
    held = held_out_keys((e.id for e in found), fraction, seed)
    return [e for e in found if e.id not in held], [e for e in found if e.id in held]


def order(count: int, seed: int, epoch: int) -> list[int]:
    """The permutation of `count` examples in one epoch."""
    indices = list(range(count))
    random.Random(seed_of(seed, "order", epoch)).shuffle(indices)
    return indices


def micro_batches(batch: Sequence[E], max_tokens: int) -> Iterator[list[E]]:
    """Cut an optimizer batch, in order, into runs of at most `max_tokens` tree tokens (one example at least)."""
    held: list[E] = []
    tokens = 0
    for example in batch:
        if held and tokens + example.tokens > max_tokens:
            yield held
            held, tokens = [], 0
        held.append(example)
        tokens += example.tokens
    if held:
        yield held
