"""Trees -> one packed row: token ids, positions that restart at each fork, and the plan of which queries meet which keys.

Nodes lie in depth-first order, the heaviest child first, so that a chain (a node, its first child, that one's first child, ...)
is contiguous in memory and in position: it needs one causal call. The other children of a node, with all that hangs from them,
are contiguous too: together they meet the node's prefix in one rectangular call. Nothing is gathered or copied per branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as concatenate
from typing import Any

import torch
from torch import Tensor

from windvane.models.trees.tree import Tree

BLOCK = 512  # queries per block under a sliding window: a triangle mask of 1 MiB, shared by all blocks


@dataclass(frozen=True, slots=True)
class Piece:
    """Queries [q0, q1) of the row of queries meet keys [k0, k1). `kind`: "causal" (square), "full", or "window": query i
    of the piece sees key j of the piece where j >= i - shift."""

    q0: int
    q1: int
    k0: int
    k1: int
    kind: str
    shift: int = 0


@dataclass(frozen=True, slots=True)
class _Chain:
    """Memory [start, end) holds positions [position, ...). `above`: the (memory start, position, length) it also sees."""

    start: int
    end: int
    position: int
    above: tuple[tuple[int, int, int], ...]


@dataclass(slots=True)
class Plan:
    """Which queries meet which keys. `runs`: the memory intervals whose queries are asked for, sorted; None: all."""

    chains: list[_Chain]
    forks: list[
        tuple[int, int, int, int]
    ]  # (q0, q1, k0, k1) in memory: later children's subtrees meet the node's chain prefix
    size: int
    longest: int  # positions
    runs: list[tuple[int, int]] | None = None
    masks: dict[Any, Any] = field(default_factory=dict)  # what a backend made of this plan, to be made once
    _pieces: dict[int | None, list[Piece]] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        """Tokens of the row that ask: all, or those of `runs`."""
        return self.size if self.runs is None else sum(b - a for a, b in self.runs)

    def pieces(self, window: int | None = None) -> list[Piece]:
        """The calls of one layer; causal pieces first: together they cover every query exactly once."""
        if window is not None and window >= self.longest:
            window = None
        if window not in self._pieces:
            self._pieces[window] = self._whole() if window is None else self._windowed(window)
        return self._pieces[window]

    def sight(self) -> tuple[Tensor, Tensor]:
        """(until, position) [S] of each token of the row: a query at i sees the key at j where j <= i < until[j], for what hangs from a
        node is contiguous and behind it."""
        until = torch.zeros(self.size, dtype=torch.long)
        position = torch.zeros(self.size, dtype=torch.long)
        for c in self.chains:
            until[c.start : c.end] = c.end
            position[c.start : c.end] = torch.arange(c.position, c.position + c.end - c.start)
        for _, q1, k0, k1 in self.forks:
            until[k0:k1].clamp_(min=q1)
        return until, position

    def asked(self) -> Tensor:
        """[queries] where in the row each asked-for query lies."""
        runs = [(0, self.size)] if self.runs is None else self.runs
        return torch.cat([torch.arange(a, b) for a, b in runs]) if runs else torch.zeros(0, dtype=torch.long)

    def kept(self, runs: list[tuple[int, int]]) -> Plan:
        """The same plan for the queries of `runs` alone."""
        return Plan(self.chains, self.forks, self.size, self.longest, runs)

    def _inside(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """(memory start, memory end, first query) of the asked-for runs inside [start, end)."""
        if self.runs is None:
            return [(start, end, start)] if end > start else []
        found, first = [], 0
        for a, b in self.runs:
            low, high = max(a, start), min(b, end)
            if low < high:
                found.append((low, high, first + low - a))
            first += b - a
        return found

    def _whole(self) -> list[Piece]:
        causal, full = [], []
        for c in self.chains:
            for a, b, q in self._inside(c.start, c.end):
                causal.append(Piece(q, q + b - a, a, b, "causal"))
                if a > c.start:
                    full.append(Piece(q, q + b - a, c.start, a, "full"))
        for q0, q1, k0, k1 in self.forks:
            inside = self._inside(q0, q1)
            if inside:
                a, b, last = inside[-1]
                full.append(Piece(inside[0][2], last + b - a, k0, k1, "full"))
        return causal + full

    def _windowed(self, window: int) -> list[Piece]:
        causal, rest = [], []
        size = min(BLOCK, window)
        for c in self.chains:
            below = (c.start, c.position, c.end - c.start)
            for low, high, first in self._inside(c.start, c.end):
                for a in range(low, high, size):
                    b = min(a + size, high)
                    q = first + a - low
                    causal.append(Piece(q, q + b - a, a, b, "causal"))
                    p0, p1 = c.position + a - c.start, c.position + b - c.start
                    for memory, position, length in (*c.above, below):
                        # seen by the whole block: (last query's window) up to the block itself
                        f0, f1 = max(position, p1 - window), min(position + length, p0)
                        if f0 < f1:
                            rest.append(Piece(q, q + b - a, memory + f0 - position, memory + f1 - position, "full"))
                        # seen by the block's first queries only: key p is in query p0 + i's window where p > p0 + i - window
                        edge = p0 - window + 1
                        t0, t1 = max(position, edge, 0), min(position + length, p1 - window, p0)
                        if t0 < t1:
                            rows = min(b - a, t1 - edge)
                            keys = (memory + t0 - position, memory + t1 - position)
                            rest.append(Piece(q, q + rows, *keys, "window", t0 - edge))
        return causal + rest


@dataclass(frozen=True, slots=True)
class Packing:
    """Trees in one row of S tokens. `input_ids`, `position_ids` [1, S]. `runs`: the memory intervals whose outputs predict a read
    token, R of them in all. `reads`: (tree, node, rows [n] among the R, n) for each read node; `targets` the token ids in that order.
    `starts`: where each node of each tree begins."""

    input_ids: Tensor
    position_ids: Tensor
    plan: Plan
    runs: list[tuple[int, int]]
    reads: list[tuple[int, int, Tensor]]
    targets: Tensor
    starts: list[list[int]]

    def reading(self, needed: Tensor) -> Packing:
        """The same row, with the outputs of other tokens asked for: needed [S] bool, on the CPU."""
        return replace(self, runs=_runs(needed), reads=[], targets=self.targets[:0])


def pack(trees: Sequence[Tree], device: torch.device | str = "cpu") -> Packing:
    """Lay trees one after another in one row."""
    chains: list[_Chain] = []
    forks: list[tuple[int, int, int, int]] = []
    ids: list[tuple[int, ...]] = []
    positions: list[Tensor] = []
    starts: list[list[int]] = []
    size = longest = 0
    for tree in trees:
        start, depth = _place(tree, size, chains, forks, ids, positions)
        starts.append(start)
        size += tree.tokens
        longest = max(longest, depth)
    plan = Plan(chains, forks, size, longest)
    needed = torch.zeros(size, dtype=torch.bool)
    sources: list[tuple[int, int, Tensor]] = []
    targets: list[int] = []
    for t, tree in enumerate(trees):
        for n, node in enumerate(tree.nodes):
            if not node.read:
                continue
            begin, length = starts[t][n], len(node.token_ids)
            before = _last_token(tree, starts[t], n) if length else None
            first = [] if before is None else [before]  # nothing comes before a row's first token: it is not predicted
            source = torch.tensor([*first, *range(begin, begin + length - 1)], dtype=torch.long)
            targets += node.token_ids[length - len(source) :]
            needed[source] = True
            sources.append((t, n, source))
    row_of = needed.cumsum(0) - 1
    return Packing(
        input_ids=torch.tensor([list(concatenate.from_iterable(ids))], dtype=torch.long, device=device),
        position_ids=torch.cat(positions)[None].to(device) if positions else torch.zeros(1, 0, dtype=torch.long),
        plan=plan,
        runs=_runs(needed),
        reads=[(t, n, row_of[source].to(device)) for t, n, source in sources],
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        starts=starts,
    )


def _runs(needed: Tensor) -> list[tuple[int, int]]:
    """The intervals in which `needed` [S] holds."""
    none = torch.zeros(1, dtype=torch.int8)
    edges = torch.diff(needed.to(torch.int8), prepend=none, append=none)
    return list(zip((edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist()))


def _last_token(tree: Tree, starts: list[int], node: int) -> int | None:
    """Where the token before node's first one lies."""
    above = tree.nodes[node].parent
    while above is not None:
        if tree.nodes[above].token_ids:
            return starts[above] + len(tree.nodes[above].token_ids) - 1
        above = tree.nodes[above].parent
    return None


def _place(
    tree: Tree,
    base: int,
    chains: list[_Chain],
    forks: list[tuple[int, int, int, int]],
    ids: list[tuple[int, ...]],
    positions: list[Tensor],
) -> tuple[list[int], int]:
    """Append the tree to the row from memory `base` on; where each node starts, and the longest path."""
    count = len(tree.nodes)
    weight = [len(n.token_ids) for n in tree.nodes]
    children: list[list[int]] = [[] for _ in range(count)]
    for i in range(count - 1, 0, -1):
        parent = tree.nodes[i].parent
        assert parent is not None
        weight[parent] += weight[i]
        children[parent].append(i)
    starts, at, longest = [0] * count, base, 0
    # (node, its first position, its chain's start in memory and position, what the chain sees above itself)
    stack: list[tuple[int, int, int, int, tuple[tuple[int, int, int], ...]]] = [(0, 0, base, 0, ())]
    while stack:
        n, depth, chain, chain_depth, above = stack.pop()
        if chain < 0:
            chain = at  # the head of a new chain, known only now that all before it is placed
        starts[n] = at
        length = len(tree.nodes[n].token_ids)
        ids.append(tree.nodes[n].token_ids)
        positions.append(torch.arange(depth, depth + length))
        at += length
        depth += length
        longest = max(longest, depth)
        heavy = sorted(children[n], key=lambda c: (-weight[c], c))
        if not heavy and at > chain:
            chains.append(_Chain(chain, at, chain_depth, above))
        if len(heavy) > 1:
            rest = sum(weight[c] for c in heavy[1:])
            if rest and at > chain:
                second = at + weight[heavy[0]]
                forks.append((second, second + rest, chain, at))
            seen = (*above, (chain, chain_depth, at - chain)) if at > chain else above
            stack += [(c, depth, -1, depth, seen) for c in reversed(heavy[1:])]
        if heavy:
            stack.append((heavy[0], depth, chain, chain_depth, above))
    return starts, longest
