"""Combinatorial Hodge decomposition of pairwise preferences: what a scalar score explains, and what goes round in circles.

In: a graph of compared answers, an edge flow (P's log-odds) on it, and how often each pair was judged. Out: the flow's weighted energy in
three orthogonal parts: the gradient of the best scores, local cycles (sums around triangles, "curl"), and cycles that only run around
holes of the graph ("harmonic"; none where every pair was judged). Jiang, Lim, Yao, Ye, *Statistical ranking and combinatorial Hodge
theory*, Math. Programming 127 (2011), theorem 2 and section 4; norms are weighted by the number of verdicts, as their equation 3.

Departure: one decomposition a prompt, many prompts of one graph at once, instead of one for a whole data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

SPLIT_PAIRS = (
    1500  # pairs of an incomplete graph beyond which its cycles are not told apart (a dense eigenproblem of that size)
)
RANK = 1e-9  # singular values below this share of the largest are zero


@dataclass(frozen=True, slots=True)
class Graph:
    """`edges` (i, j), i < j, of `nodes` answers with `counts` verdicts each; a flow on an edge is i's advantage over j."""

    nodes: int
    edges: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]

    @property
    def complete(self) -> bool:
        return 2 * len(self.edges) == self.nodes * (self.nodes - 1)


@dataclass(frozen=True, slots=True)
class Basis:
    """What belongs to a graph. `root` [E]: square roots of the counts; `gradient` [E, r] and `curl` [E, c]: orthonormal bases in the
    scaled coordinates root * flow (`curl` None: everything else where the graph is complete, not told apart where it is too large);
    `incidence` [E, nodes]; `triangles` [T, 3]: edges ij, jk, ik of each triple with all three pairs judged."""

    graph: Graph
    root: np.ndarray
    gradient: np.ndarray
    curl: np.ndarray | None
    incidence: np.ndarray
    triangles: np.ndarray

    @property
    def cycles(self) -> int:
        """Independent cycles: dimensions that no score can reach."""
        return len(self.root) - self.gradient.shape[1]


def basis(graph: Graph) -> Basis:
    """Everything that a graph's flows are projected on."""
    place = {edge: n for n, edge in enumerate(graph.edges)}
    root = np.sqrt(np.asarray(graph.counts, dtype=float))
    incidence = np.zeros((len(place), graph.nodes))
    for n, (i, j) in enumerate(graph.edges):
        incidence[n, i], incidence[n, j] = 1.0, -1.0
    left, size, _ = np.linalg.svd(root[:, None] * incidence, full_matrices=False)
    gradient = left[:, size > RANK * max(size.max(initial=0.0), 1.0)]
    triangles = _triangles(graph, place)
    curl = None
    if not graph.complete and len(place) <= SPLIT_PAIRS:
        curl = _curl(triangles, root)
    return Basis(graph, root, gradient, curl, incidence, triangles)


def _triangles(graph: Graph, place: dict[tuple[int, int], int]) -> np.ndarray:
    after: dict[int, list[int]] = {}
    for i, j in graph.edges:
        after.setdefault(i, []).append(j)
    found = [
        (place[i, j], place[j, k], place[i, k])
        for i, more in after.items()
        for j, k in combinations(sorted(more), 2)
        if (j, k) in place
    ]
    return np.asarray(found, dtype=np.int64).reshape(-1, 3)


def _curl(triangles: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the range of curl's adjoint W^-1 C^T, scaled by W^1/2: eigenvectors of W^-1/2 C^T C W^-1/2."""
    square = np.zeros((len(root), len(root)))
    for row in range(3):
        for column in range(3):
            sign = -1.0 if (row == 2) != (column == 2) else 1.0  # around i, j, k the edge ik is walked backwards
            np.add.at(square, (triangles[:, row], triangles[:, column]), sign)
    values, vectors = np.linalg.eigh(square / root[:, None] / root[None, :])
    return vectors[:, values > RANK * max(values.max(initial=0.0), 1.0)]


@dataclass(frozen=True, slots=True)
class Energy:
    """Weighted energies of flows, each [n]: `total` = gradient + `cyclic`; `cyclic` = `curl` (NaN where not told apart) + harmonic."""

    total: np.ndarray
    cyclic: np.ndarray
    curl: np.ndarray


def energies(base: Basis, flows: np.ndarray) -> Energy:
    """`flows` [n, E]: sum over edges of count * flow^2, and its parts."""
    scaled = flows * base.root
    total = np.einsum("ne,ne->n", scaled, scaled)
    explained = scaled @ base.gradient
    cyclic = np.maximum(total - np.einsum("nr,nr->n", explained, explained), 0.0)
    cyclic[cyclic < 1e-12 * total] = 0.0  # what rounding leaves of an exact gradient
    if base.graph.complete:
        return Energy(total, cyclic, cyclic)
    if base.curl is None:
        return Energy(total, cyclic, np.full_like(total, np.nan))
    local = scaled @ base.curl
    return Energy(total, cyclic, np.einsum("nc,nc->n", local, local))


def scores(base: Basis, flows: np.ndarray) -> np.ndarray:
    """[n, nodes]: the least-squares potentials, mean 0 over each connected part (numpy's least squares, its minimum-norm solution)."""
    found, *_ = np.linalg.lstsq(base.root[:, None] * base.incidence, (flows * base.root).T, rcond=None)
    return found.T


def cyclic_triples(base: Basis, signs: np.ndarray) -> np.ndarray:
    """[n]: triples i > j > k > i, either way round; `signs` [n, E] are -1, 0 (a tie, in no cycle) or 1."""
    ij, jk, ik = (signs[:, base.triangles[:, n]] for n in range(3))
    return ((ij == jk) & (jk == -ik) & (ij != 0)).sum(axis=1)


def graph_of(nodes: int, pairs: Sequence[tuple[int, int]], counts: Sequence[int]) -> Graph:
    """A graph with its edges in order; each pair once, smaller index first."""
    assert all(i < j < nodes for i, j in pairs) and len(set(pairs)) == len(pairs) == len(counts)
    order = sorted(range(len(pairs)), key=lambda n: pairs[n])
    return Graph(nodes, tuple(pairs[n] for n in order), tuple(counts[n] for n in order))
