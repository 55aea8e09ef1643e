"""Pairwise verdicts as matrices, one a prompt, prompts of the same graph together.

In: a run folder (iter-N/verdicts.jsonl), a folder that `windvane judge` wrote, or any JSON-lines file of pairwise verdicts: who was
compared (`a`, `b`; or `model_a`, `model_b`; or `model_1`, `model_2`), on what (`prompt_id`, `question_id`, `uid`, `instruction` or
`prompt`; without any, the file is one matrix), and the word: `p_ab` and `p_ba` (P(a wins) with a shown first, P(b wins) with b shown
first), or `p`, or `winner` ("model_a", "model_b", "tie"), or `g1_winner` and `g2_winner`. Out: `Block`s. What is unusable is counted.

Several verdicts on one pair are averaged in each order and weigh by their number. Verdicts without an order are put to the two readings
in turn, so that repeated votes measure noise as the two orders do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.errors import UserError
from windvane.evals.intransitivity.hodge import Basis, basis, graph_of
from windvane.runs.store import read_jsonl

PROMPTS = ("prompt_id", "question_id", "uid", "instruction", "prompt")
SIDES = (("a", "b"), ("model_a", "model_b"), ("model_1", "model_2"))
WINNERS = {"model_a": 1.0, "model_b": 0.0, "model_1": 1.0, "model_2": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}


@dataclass(slots=True)
class Table:
    """Verdicts of one source as they come. `told`: (part, prompt) -> pair (smaller name first) -> (P(first wins) in one reading, in the
    other, count)."""

    told: dict[tuple[int, str], dict[tuple[Any, Any], tuple[list[float], list[float]]]] = field(default_factory=dict)
    failed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any], part: int = 0) -> None:
        """Take one row; `part` keeps iterations apart, whose answers to one prompt are different ones."""
        sides = next(((row[x], row[y]) for x, y in SIDES if x in row and y in row), None)
        if sides is None or not all(isinstance(s, (str, int)) for s in sides) or sides[0] == sides[1]:
            self.left_out["no two sides"] += 1
            return
        prompt = next((row[key] for key in PROMPTS if isinstance(row.get(key), (str, int))), "")
        turn = (
            f" turn {row['turn']}" if isinstance(row.get("turn"), int) else ""
        )  # MT-Bench: two questions under one id
        swapped = (str(type(sides[0])), sides[0]) > (str(type(sides[1])), sides[1])
        one, other = _word(row)
        if one is None:
            self.failed += 1
            return
        pair = (sides[1], sides[0]) if swapped else sides
        first, second = self.told.setdefault((part, f"{prompt}{turn}"), {}).setdefault(pair, ([], []))
        if swapped:
            one, other = (1.0 - one, None) if other is None else (1.0 - other, 1.0 - one)
        if other is None:
            (first if len(first) <= len(second) else second).append(one)
        else:
            first.append(one)
            second.append(other)


def _word(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """(P(a wins) with a first, P(a wins) with b first); the second None where one probability is all there is; both None: no verdict."""
    if "g1_winner" in row:
        one, other = WINNERS.get(str(row["g1_winner"])), WINNERS.get(str(row.get("g2_winner")))
        return (one, other) if one is not None and other is not None else (None, None)
    if "winner" in row:
        return WINNERS.get(str(row["winner"])), None
    ab, ba = row.get("p_ab"), row.get("p_ba")
    if _rate(ab) and _rate(ba):
        return float(ab), 1.0 - float(ba)  # type: ignore[arg-type]
    if ab is None and ba is None and _rate(row.get("p")):
        return float(row["p"]), None
    return None, None


def _rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0


@dataclass(frozen=True, slots=True)
class Block:
    """Prompts whose answers were compared in the same pairs. `first`, `second` [n, E]: P(i wins) of edge (i, j) in the two readings,
    `second` NaN where there was one; `cluster` [n]: the prompt's number in its source."""

    base: Basis
    first: np.ndarray
    second: np.ndarray
    cluster: np.ndarray

    @property
    def p(self) -> np.ndarray:
        """P(i wins), symmetrised."""
        return np.where(np.isnan(self.second), self.first, (self.first + self.second) / 2.0)


@dataclass(frozen=True, slots=True)
class Source:
    """One seed's verdicts. `clusters`: prompts in `blocks`; `flat`: prompts without a cycle in their graph, which say nothing here."""

    name: str
    blocks: list[Block]
    clusters: int
    flat: int
    pairs: int
    failed: int
    left_out: dict[str, int]


def source(name: str, table: Table) -> Source:
    """Group a table's prompts by their graphs. A prompt that stands in several parts is one cluster."""
    groups: dict[Any, tuple[Basis, list[Any], list[Any], list[int]]] = {}
    number: dict[str, int] = {}
    flat = pairs = 0
    for (_, prompt), told in sorted(table.told.items()):
        names = sorted({side for pair in told for side in pair}, key=lambda s: (str(type(s)), s))
        place = {one: n for n, one in enumerate(names)}
        edges = [(place[x], place[y]) for x, y in told]
        graph = graph_of(len(names), edges, [max(map(len, readings)) for readings in told.values()])
        pairs += len(edges)
        if graph not in groups:
            groups[graph] = (basis(graph), [], [], [])
        base, first, second, cluster = groups[graph]
        if not base.cycles:
            flat += 1
            continue
        values = dict(zip(edges, told.values()))
        first.append([sum(values[e][0]) / len(values[e][0]) for e in graph.edges])
        second.append([sum(v) / len(v) if (v := values[e][1]) else math.nan for e in graph.edges])
        cluster.append(number.setdefault(prompt, len(number)))
    blocks = [Block(b, np.asarray(x), np.asarray(y), np.asarray(c)) for b, x, y, c in groups.values() if c]
    return Source(name, blocks, len(number), flat, pairs, table.failed, dict(table.left_out))


def table_of(parts: Iterable[tuple[int, Path]]) -> Table:
    """The verdicts of some files, each with its part's number."""
    table = Table()
    for part, path in parts:
        for number, row in read_jsonl(path):
            if not isinstance(row, dict):
                raise UserError(f"{path}: row {number}: expected a verdict, a table; name a file of pairwise verdicts")
            table.add(row, part)
    return table


def verdict_files(path: Path, iteration: int | None = None) -> list[tuple[int, Path]]:
    """(iteration, file) of a folder's verdicts, or (0, file)."""
    if path.is_file():
        return [(0, path)]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; name a run or a JSON-lines file of pairwise verdicts")
    names = {p.parent.name.removeprefix("iter-"): p for p in path.glob("iter-*/verdicts.jsonl")}
    found = sorted((int(n), p) for n, p in names.items() if n.isdigit() and iteration in (None, int(n)))
    if not found and (path / "verdicts.jsonl").is_file() and iteration is None:
        return [(0, path / "verdicts.jsonl")]
    if not found:
        which = "" if iteration is None else f" of iteration {iteration}"
        raise UserError(f"{path}: no verdicts{which} (iter-N/verdicts.jsonl); name a run that has judged")
    return found
