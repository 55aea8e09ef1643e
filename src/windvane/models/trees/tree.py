"""Trees of tokens: a trunk that rows share and the branches in which they differ.

In: token ids. Out: `Tree`, which the scorer packs so that every token is computed once. A preference example is a trunk (the
prompt) and its branches (the responses); a branch may branch again (document -> question -> chosen, rejected).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, cat


@dataclass(frozen=True, slots=True)
class Node:
    """A stretch of tokens. `parent`: index of the node it continues, None for the trunk. `read`: a loss reads the
    log-probabilities of its tokens."""

    token_ids: tuple[int, ...]
    parent: int | None
    read: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """`nodes[0]` is the trunk, parents precede children. `leaves[r]` is the node at which row r ends; left out, it is every
    node without children, in order. (Rows that are equal, or a prefix of another, end at one node or at an inner one.)"""

    nodes: tuple[Node, ...]
    leaves: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert self.nodes and self.nodes[0].parent is None, "nodes[0] is the trunk"
        parents = [n.parent for n in self.nodes[1:]]
        assert all(p is not None and 0 <= p <= i for i, p in enumerate(parents)), "parents precede children"
        if not self.leaves:
            inner = set(parents)
            object.__setattr__(self, "leaves", tuple(i for i in range(len(self.nodes)) if i not in inner))

    @staticmethod
    def of(trunk: Sequence[int], branches: Sequence[Sequence[int]]) -> Tree:
        """A trunk nobody reads and its branches, all read: branch i is node i + 1 and row i."""
        leaves = (Node(tuple(b), 0, True) for b in branches)
        return Tree((Node(tuple(trunk), None, False), *leaves))

    @staticmethod
    def of_rows(rows: Sequence[tuple[Sequence[int], int]]) -> Tree:
        """The trie of tokenised rows (token ids, start): row r ends at `leaves[r]` and its tokens from `start` on are read.

        A node ends where rows part, where a row ends and where a row begins to be read; it is read if any of its rows reads it, so
        a row's own tokens are the last len(ids) - start ones of its path (`tail`)."""
        assert rows, "a tree has at least one row"
        nodes: list[Node] = []
        leaves = [0] * len(rows)

        def grow(members: list[int], depth: int, parent: int | None) -> None:
            first = rows[members[0]][0]
            stops = [len(rows[m][0]) for m in members] + [s for m in members if (s := rows[m][1]) > depth]
            end = min(stops)
            for m in members[1:]:
                end = _part(first, rows[m][0], depth, end)
            index = len(nodes)
            nodes.append(Node(tuple(first[depth:end]), parent, any(rows[m][1] <= depth for m in members)))
            groups: dict[int, list[int]] = {}
            for m in members:
                ids = rows[m][0]
                if len(ids) == end:
                    leaves[m] = index
                else:
                    groups.setdefault(ids[end], []).append(m)
            for group in groups.values():
                grow(group, end, index)

        grow(list(range(len(rows))), 0, None)
        return Tree(tuple(nodes), tuple(leaves))

    def path(self, leaf: int) -> tuple[int, ...]:
        """Node indices from the trunk to node `leaf`."""
        found, node = [leaf], self.nodes[leaf].parent
        while node is not None:
            found.append(node)
            node = self.nodes[node].parent
        return tuple(reversed(found))

    def row(self, leaf: int) -> tuple[int, ...]:
        """The token ids of the row that ends at node `leaf`."""
        return tuple(t for n in self.path(leaf) for t in self.nodes[n].token_ids)

    def tail(self, values: Sequence[Tensor | None], leaf: int, length: int) -> Tensor:
        """The last `length` values of the row that ends at node `leaf`, from per-node values [len(node)] such as log-probs."""
        found: list[Tensor] = []
        missing = length
        for n in reversed(self.path(leaf)):
            if missing <= 0:
                break
            value = values[n]
            assert value is not None, f"node {n} is not read"
            found.append(value[max(0, len(value) - missing) :])
            missing -= len(value)
        assert missing <= 0, f"the row is {missing} tokens shorter than {length}"
        return cat(found[::-1]) if len(found) > 1 else found[0]

    def spread(self, rows: Sequence[Tensor]) -> list[Tensor | None]:
        """Weights of rows -> weights of nodes: rows[r] [len(row r)] is what each token of the row that ends at `leaves[r]` counts;
        a node's token counts as much as it does in all its rows together, so that sum(weight * logp) over the tree is the sum
        over its rows. None for nodes that are not read."""
        assert len(rows) == len(self.leaves), "one row of weights per leaf"
        found: list[Tensor | None] = [None] * len(self.nodes)
        for leaf, weights in zip(self.leaves, rows):
            at = 0
            for n in self.path(leaf):
                length = len(self.nodes[n].token_ids)
                part, so_far = weights[at : at + length], found[n]
                if self.nodes[n].read:
                    found[n] = part if so_far is None else so_far + part
                else:
                    assert not part.any(), f"node {n} has weights but is not read"
                at += length
            assert at == len(weights), f"a row of {at} tokens has {len(weights)} weights"
        return found

    @property
    def tokens(self) -> int:
        """Tokens computed once each: the tree's size."""
        return sum(len(n.token_ids) for n in self.nodes)


def _part(a: Sequence[int], b: Sequence[int], start: int, end: int) -> int:
    """The first index in [start, end] at which a and b differ, or end (bisection over slices: rows may be very long)."""
    if a[start:end] == b[start:end]:
        return end
    low, high = start, end
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low if a[low] != b[low] else low + 1
