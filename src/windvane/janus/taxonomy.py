"""The taxonomy of values: dimension -> subdimension -> value, read strictly; and sets of values drawn from it.

In: JSON lines, one node each: `id`, `name`, `description`, and `parent` (another node's id; dimensions have none). The file that ships
(values/taxonomy.jsonl, our own) has 4 dimensions, 22 subdimensions and 132 values; the four dimensions are the paper's (arXiv 2405.17977).
Out: `Taxonomy`. A cycle, a duplicate, a parent that is not there or a branch of another depth is a `UserError` naming file and row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.core.schema import decode
from windvane.core.text import normalize
from windvane.janus.value_prompts import Value
from windvane.runs.store import read_jsonl

SHIPPED = Path(__file__).parent / "values" / "taxonomy.jsonl"
DEPTHS = ("dimension", "subdimension", "value")


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the file. A leaf is a value: its `name` is the preference."""

    id: str
    name: str
    description: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Dimension:
    """`values` in the order of the file."""

    name: str
    description: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    dimensions: tuple[Dimension, ...]

    def examples(self, dimension: str, count: int, *key: object) -> list[Value]:
        """`count` values of `dimension` from different subdimensions as far as there are, a function of `key` alone."""
        values = next(d.values for d in self.dimensions if d.name == dimension)
        rng = random.Random(seed_of("examples", dimension, *key))
        order = rng.sample(values, len(values))
        first: dict[str, Value] = {}
        for value in order:
            first.setdefault(value.subdimension, value)
        return [*first.values(), *(v for v in order if first[v.subdimension] is not v)][:count]

    def draw(self, sets: int, *key: object) -> list[tuple[Value, ...]]:
        """`sets` sets of one value a dimension, no value in two of them: a function of `key` alone."""
        columns = [self.examples(d.name, sets, "draw", *key) for d in self.dimensions]
        return [tuple(column[i] for column in columns) for i in range(sets)]


def read_taxonomy(path: Path | None = None) -> Taxonomy:
    """The taxonomy in `path` (None: the one that ships)."""
    path = path or SHIPPED
    if not path.is_file():
        raise UserError(f"{path}: no such file; a taxonomy is JSON lines with id, name, description and parent")
    rows: dict[str, tuple[int, Node]] = {}
    for number, value in read_jsonl(path):
        where = f"{path}: row {number}"
        node = decode(Node, value, where)
        for field in ("id", "name", "description"):
            if not getattr(node, field).strip():
                raise UserError(f"{where}: field '{field}': empty; write the text")
        if node.id in rows:
            raise UserError(f"{where}: field 'id': '{node.id}' stands in row {rows[node.id][0]} too; rename one")
        rows[node.id] = (number, node)
    children: dict[str | None, list[Node]] = {}
    for number, node in rows.values():  # of all, before any is climbed from: a child may stand above its parent
        if node.parent is not None and node.parent not in rows:
            raise UserError(f"{path}: row {number}: field 'parent': no node '{node.parent}'; add it or mend the name")
    for node_id, (_, node) in rows.items():
        _climb(path, rows, node_id)
        children.setdefault(node.parent, []).append(node)
    _unique(path, rows, children)
    return Taxonomy(tuple(_dimension(path, rows, d, children) for d in _below(path, rows, None, children, 0)))


def _climb(path: Path, rows: dict[str, tuple[int, Node]], start: str) -> None:
    """From a node to its dimension; meeting a node twice is a cycle."""
    seen = [start]
    while (parent := rows[seen[-1]][1].parent) is not None:
        if parent in seen:
            ring = " -> ".join([*seen[seen.index(parent) :], parent])
            raise UserError(f"{path}: row {rows[start][0]}: field 'parent': a cycle ({ring}); mend one of the parents")
        seen.append(parent)


def _unique(path: Path, rows: dict[str, tuple[int, Node]], children: dict[str | None, list[Node]]) -> None:
    """No two branches of one node, and no two values anywhere in one dimension, have the same name."""
    roots = {}
    for node_id in rows:
        top = node_id
        while (parent := rows[top][1].parent) is not None:
            top = parent
        roots[node_id] = top
    seen: dict[tuple[str | None, str], int] = {}
    for node_id, (number, node) in rows.items():
        places = [(node.parent, normalize(node.name))]
        if node_id not in children:
            places.append((f"leaf of {roots[node_id]}", normalize(node.name)))
        for place in places:
            if place in seen and seen[place] != number:
                raise UserError(
                    f"{path}: row {number}: field 'name': '{node.name}' stands in row {seen[place]} too; rename or remove one"
                )
            seen[place] = number


def _below(
    path: Path, rows: dict[str, tuple[int, Node]], node: Node | None, children: dict[str | None, list[Node]], depth: int
) -> Sequence[Node]:
    """A node's branches, which must exist down to the values and not below them."""
    found = children.get(node.id if node else None, [])
    if not found and depth < len(DEPTHS):
        where = f"{path}: row {rows[node.id][0]}: '{node.name}'" if node else f"{path}: the file"
        raise UserError(f"{where}: has no {DEPTHS[depth]} below it; add one or remove it")
    if found and depth == len(DEPTHS):
        number = rows[found[0].id][0]
        raise UserError(f"{path}: row {number}: field 'parent': below a value; dimension, subdimension, value is all")
    return found


def _dimension(
    path: Path, rows: dict[str, tuple[int, Node]], top: Node, children: dict[str | None, list[Node]]
) -> Dimension:
    values = []
    for middle in _below(path, rows, top, children, 1):
        for leaf in _below(path, rows, middle, children, 2):
            _below(path, rows, leaf, children, 3)
            values.append(Value(top.name, middle.name, leaf.name, leaf.description))
    return Dimension(top.name, top.description, tuple(values))
