"""Equality before any timing: log-probs and gradients by trees against the plain Hugging Face forward of every row, on weights scaled up
so that attention matters; and three controls with one mistake each, which must fail by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
import tree_shapes as shapes

from windvane.models.trees import packing
from windvane.models.trees.logprobs import Scorer, rows_logps
from windvane.models.trees.tree import Tree

Values = list[list[torch.Tensor | None]]


def gap(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((mine - theirs).norm() / theirs.norm()).item()


def measure(model: Any, compute: Callable[[], Values]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """All log-probs, and the gradients of a loss in which every token has a weight of its own."""
    model.zero_grad()
    values = torch.cat([v for tree in compute() for v in tree if v is not None])
    (values * torch.linspace(0.5, 1.5, len(values), device=values.device)).sum().backward()
    grads = {n: p.grad.float().clone() for n, p in model.named_parameters() if p.grad is not None}
    return values.detach(), grads


@contextmanager
def mistake(kind: str) -> Any:
    """`position`: the last branch continues after the first one; `leak`: later branches see the first; `no_trunk`: they see
    no trunk."""
    place = packing._place

    def placed(tree: Tree, base: int, chains: Any, forks: Any, ids: Any, positions: Any) -> Any:
        first = len(forks)
        found = place(tree, base, chains, forks, ids, positions)
        if kind == "no_trunk":
            del forks[first:]
        if kind == "leak":
            forks[first:] = [(q0, q1, k0, q0) for q0, q1, k0, _ in forks[first:]]
        if kind == "position":
            positions[-1] += 20
        return found

    packing._place = placed
    try:
        yield
    finally:
        packing._place = place


def equality(shape: dict[str, int], trunk: int = 300, device: str = "cpu") -> dict[str, Any]:
    """{"logps_rel", "grad_rel": the worst parameter's, "controls": relative gradient differences}."""
    model = shapes.make_model(shape, scale=6.0).to(device)
    vocabulary = shape["vocab_size"]
    trees = shapes.flat(trunk, [64, 37, 5], vocabulary).trees + shapes.questions(trunk, vocabulary, count=2).trees
    scorer = Scorer(model)
    theirs, oracle = measure(model, lambda: rows_logps(model, trees))
    mine, grads = measure(model, lambda: scorer.logps(trees))
    assert scorer.mode == "trees", scorer.reason
    found: dict[str, Any] = {
        "logps_rel": gap(mine, theirs),
        "grad_rel": max(gap(grads[n], oracle[n]) for n in oracle),
        "controls": {},
    }
    flat = trees[:1]
    _, oracle = measure(model, lambda: rows_logps(model, flat))
    whole = torch.cat([g.flatten() for g in oracle.values()])
    for kind in ("position", "leak", "no_trunk"):
        with mistake(kind):
            _, grads = measure(model, lambda: scorer.logps(flat))
        found["controls"][kind] = gap(torch.cat([grads[n].flatten() for n in oracle]), whole)
    return found
