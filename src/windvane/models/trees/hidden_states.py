"""Hidden states at chosen tokens of rows, by trees where that is exact and by rows elsewhere: what a reward head reads.

In: a transformers decoder (bare, inside a causal model or a classifier, or wrapped by PEFT), trees, and places (row, token) in them. Out:
the decoder's normed output there, differentiable. A token is computed once, however many rows share it; the last layer computes
queries for the chosen tokens alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from windvane.models.trees.architectures import base_of, unsupported
from windvane.models.trees.attention import no_mask, prepare
from windvane.models.trees.last_layer import keeping
from windvane.models.trees.logprobs import NOT_AS_LISTED, TOLERANCE, _evaluating, _probe
from windvane.models.trees.mlp import lean_mlps, tile_mlps
from windvane.models.trees.packing import pack
from windvane.models.trees.tree import Tree

Places = Sequence[tuple[int, int]]  # of one tree: (row r, index of a token in the row that ends at leaves[r])


def decoder_of(model: nn.Module) -> nn.Module:
    """The stack of layers inside PEFT's wrapper (its LoRA layers stay in place), a causal model or a classifier."""
    base = base_of(model)
    inner = getattr(base, "model", None)
    return inner if isinstance(inner, nn.Module) and hasattr(inner, "layers") else base


def ends(trees: Sequence[Tree]) -> list[list[tuple[int, int]]]:
    """The last token of every row."""
    return [[(r, len(tree.row(leaf)) - 1) for r, leaf in enumerate(tree.leaves)] for tree in trees]


class Pooler:
    """`mode` is "trees" or "rows" (each row through the decoder's plain forward); `reason` says why it is rows. The layers must be on
    the list of models/trees/architectures.py, and at first use one batch is computed both ways: where the two differ, rows are used."""

    def __init__(self, model: nn.Module) -> None:
        self.decoder = decoder_of(model)
        self.reason = _unsupported(self.decoder)
        self._checked = False
        if self.reason is not None:
            self._fall_back(self.reason)

    @property
    def mode(self) -> str:
        """How rows are computed now."""
        return "trees" if self.reason is None else "rows"

    def states(self, trees: Sequence[Tree], places: Sequence[Places]) -> Tensor:
        """[N, H]: the states at all `places`, tree after tree, in the order given."""
        self.check(trees)
        return self._by_trees(trees, places) if self.mode == "trees" else self._by_rows(trees, places)

    def _fall_back(self, reason: str) -> None:
        self.reason = reason
        warnings.warn(f"computing rows instead of trees: {reason}", stacklevel=3)

    def _by_trees(self, trees: Sequence[Tree], places: Sequence[Places]) -> Tensor:
        device = self._device
        packing = pack(trees, device)
        at = []
        for tree, starts, wanted in zip(trees, packing.starts, places, strict=True):
            for row, index in wanted:
                node, offset = _locate(tree, row, index)
                at.append(starts[node] + offset)
        memory = torch.tensor(at, dtype=torch.long)
        needed = torch.zeros(packing.plan.size, dtype=torch.bool)
        needed[memory] = True
        packing = packing.reading(needed)
        prepare(self.decoder)
        tile_mlps(self.decoder)
        with lean_mlps(self.decoder), keeping(self.decoder, packing.plan, packing.runs) as kept:
            out = self.decoder(
                input_ids=packing.input_ids,
                position_ids=packing.position_ids,
                attention_mask=no_mask(device),
                use_cache=False,
                tree_plan=packing.plan,
            ).last_hidden_state[0]
        rows = needed.cumsum(0)[memory] - 1 if kept else memory
        return out[rows.to(device)]

    def _by_rows(self, trees: Sequence[Tree], places: Sequence[Places]) -> Tensor:
        found = []
        for tree, wanted in zip(trees, places, strict=True):
            states: dict[int, Tensor] = {}
            for row, index in wanted:
                if row not in states:
                    ids = torch.tensor([tree.row(tree.leaves[row])], device=self._device)
                    states[row] = self.decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
                found.append(states[row][index])
        return torch.stack(found)

    @property
    def _device(self) -> torch.device:
        return next(self.decoder.parameters()).device

    @torch.no_grad()
    def check(self, trees: Sequence[Tree]) -> None:
        """Once, at first use: the last state of each row by trees against the plain forward's, in evaluation mode and the model's own
        precision."""
        if self._checked or self.reason is not None or not any(t.tokens for t in trees):
            return
        probe = _probe(trees)
        last = ends(probe)
        with _evaluating(self.decoder), torch.autocast(self._device.type, enabled=False):
            try:
                ours = self._by_trees(probe, last)
            except NOT_AS_LISTED as error:
                self._fall_back(f"{type(self.decoder).__name__} does not take a tree ({error})")
                return
            theirs = self._by_rows(probe, last)
        gap = ((ours.float() - theirs.float()).norm(dim=-1) / theirs.float().norm(dim=-1)).max().item()
        allowed = TOLERANCE[ours.dtype]
        if not gap <= allowed:
            self._fall_back(f"trees and rows differ by {gap:.1e} of the last hidden states (allowed {allowed:.0e})")
        self._checked = True


def _locate(tree: Tree, row: int, index: int) -> tuple[int, int]:
    """(node, offset in it) of token `index` of a row."""
    for node in tree.path(tree.leaves[row]):
        length = len(tree.nodes[node].token_ids)
        if index < length:
            return node, index
        index -= length
    raise AssertionError(f"row {row} is {index + 1} tokens too short")


def _unsupported(decoder: nn.Module) -> str | None:
    """support.py's answer for a causal model of this configuration, built without memory; its layers are this decoder's."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(decoder.config)
    except ValueError:
        return f"{type(decoder).__name__} is not a plain decoder"
    return unsupported(model)
