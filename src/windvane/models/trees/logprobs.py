"""Log-probabilities of the tokens that a loss reads, by trees where that is exact and by rows elsewhere.

In: a model and trees. Out, per tree and node: log p(token | its path's prefix), float32, in nats, differentiable. A token is computed once,
however many rows share it; logits exist only for read tokens, a chunk at a time.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from windvane.models.trees.architectures import base_of, cap_logits, unsupported
from windvane.models.trees.attention import no_mask, prepare
from windvane.models.trees.last_layer import keeping
from windvane.models.trees.lm_head import chunk_rows, token_logps
from windvane.models.trees.mlp import lean_mlps, tile_mlps
from windvane.models.trees.packing import Packing, pack
from windvane.models.trees.tree import Tree

Values = list[list[Tensor | None]]  # per tree, per node: [len(node)], None where the node is not read

PROBE_TOKENS = 8192  # of rows that the self-check computes, at most
PROBE_LOGITS = 64  # last tokens of each whose logits it compares: all of a vocabulary's would be gigabytes
# what layers raise that do not go through the attention interface as listed ones do
NOT_AS_LISTED = (AssertionError, AttributeError, TypeError)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6, torch.bfloat16: 5e-2, torch.float16: 1e-2}


class Scorer:
    """Scores trees with `model` (a transformers decoder, bare or wrapped by PEFT, in whatever mode, precision and place it is).

    `mode` is "trees" or "rows" (a row per leaf through the model's plain forward); `reason` says why it is rows. The model's layers
    must be on the list of models/trees/architectures.py, and at first use one batch is computed both ways:
    where the two differ, rows are used."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.base = base_of(model)
        self.reason = unsupported(model)
        self._checked = False
        if self.reason is not None:
            self._fall_back(self.reason)

    @property
    def mode(self) -> str:
        """How rows are computed now."""
        return "trees" if self.reason is None else "rows"

    def _fall_back(self, reason: str) -> None:
        self.reason = reason
        warnings.warn(f"computing rows instead of trees: {reason}", stacklevel=3)

    def logps(self, trees: Sequence[Tree]) -> Values:
        """All `trees` in one packed row, without padding. A row's very first token has nothing before it: its value is 0."""
        self.check(trees)
        if self.mode == "rows":
            return rows_logps(self.model, trees)
        packing = pack(trees, self._device)
        hidden = self.hidden(packing)
        rows = torch.cat([r for _, _, r in packing.reads]) if packing.reads else packing.targets
        values = token_logps(self.base.get_output_embeddings(), hidden, rows, packing.targets, self.base.config)
        found: Values = [[None] * len(tree.nodes) for tree in trees]
        for (t, n, _), value in zip(packing.reads, values.split([len(r) for _, _, r in packing.reads])):
            missing = len(trees[t].nodes[n].token_ids) - len(value)
            found[t][n] = torch.cat([value.new_zeros(missing), value]) if missing else value
        return found

    @torch.no_grad()
    def token_kl(self, other: Scorer, trees: Sequence[Tree]) -> Values:
        """KL(self || other) over the whole vocabulary where each read token is predicted, in nats (0 for a row's first token)."""
        self.check(trees)
        other.check(trees)
        found: Values = []
        for tree in trees:
            values: list[Tensor | None] = []
            for node, mine, theirs in zip(tree.nodes, self._states(tree), other._states(tree)):
                if mine is None or theirs is None:
                    values.append(None)
                    continue
                parts = [mine.new_zeros(len(node.token_ids) - len(mine), dtype=torch.float32)]
                size = chunk_rows(self.base.config.vocab_size, mine.device)
                for i in range(0, len(mine), size):
                    p = self._logits(mine[i : i + size]).float().log_softmax(-1)
                    q = other._logits(theirs[i : i + size]).float().log_softmax(-1)
                    assert p.shape == q.shape, "the two models have different vocabularies"
                    parts.append((p.exp() * (p - q.to(p.device))).sum(-1))
                values.append(torch.cat(parts))
            found.append(values)
        return found

    @property
    def _device(self) -> torch.device:
        return self.base.get_input_embeddings().weight.device

    def hidden(self, packing: Packing) -> Tensor:
        """[R, H]: the decoder's output (normed) where it predicts a read token."""
        prepare(self.base)
        tile_mlps(self.base.model)
        with lean_mlps(self.base.model), keeping(self.base.model, packing.plan, packing.runs) as kept:
            out = self.base.model(
                input_ids=packing.input_ids,
                position_ids=packing.position_ids,
                attention_mask=no_mask(packing.input_ids.device),
                use_cache=False,
                tree_plan=packing.plan,
            ).last_hidden_state[0]
        if kept or packing.plan.size == len(out) == sum(b - a for a, b in packing.runs):
            return out
        return torch.cat([out[a:b] for a, b in packing.runs]) if packing.runs else out[:0]

    def _states(self, tree: Tree) -> list[Tensor | None]:
        """What `_logits` turns into logits: hidden states [n, H] of each read node, or rows' logits [n, V] themselves."""
        if self.mode == "rows":
            return list(_row_logits(self.model, tree))
        packing = pack([tree], self._device)
        hidden = self.hidden(packing)
        found: list[Tensor | None] = [None] * len(tree.nodes)
        for _, n, rows in packing.reads:
            found[n] = hidden[rows]
        return found

    def _logits(self, states: Tensor) -> Tensor:
        if self.mode == "rows":
            return states
        return cap_logits(self.base.get_output_embeddings()(states), self.base.config)

    @torch.no_grad()
    def check(self, trees: Sequence[Tree]) -> None:
        """Once, at first use: hidden states and logits by trees against the plain forward's, in evaluation mode and the
        model's own precision."""
        if self._checked or self.reason is not None or not any(t.tokens for t in trees):
            return
        probe = _probe(trees)
        packing = pack(probe, self._device)
        with _evaluating(self.model), torch.autocast(self._device.type, enabled=False):
            try:
                ours = self.hidden(packing)
            except NOT_AS_LISTED as error:
                self._fall_back(f"{type(self.base).__name__} does not take a tree ({error})")
                return
            worst = 0.0
            for rows, plain, logits in self._plain(probe, packing):
                for mine, theirs in (
                    (ours[rows], plain),
                    (self._logits(ours[rows[len(rows) - len(logits) :]]), logits),
                ):
                    if len(theirs):
                        gap = (mine.float() - theirs.float()).norm() / theirs.float().norm()
                        worst = max(worst, float(gap)) if gap == gap else float("inf")
        allowed = TOLERANCE[ours.dtype]
        if not worst <= allowed:
            self._fall_back(
                f"trees and rows differ by {worst:.1e} of the hidden states or logits (allowed {allowed:.0e})"
            )
        self._checked = True

    def _plain(self, trees: Sequence[Tree], packing: Packing) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(rows of `hidden`, hidden states, logits of the last of them) by the plain forward of every row."""
        caught: list[Tensor] = []
        hook = self.base.model.register_forward_hook(
            lambda _module, _args, out: caught.append(out.last_hidden_state[0])
        )
        where = {(t, n): rows for t, n, rows in packing.reads}
        keep = {"logits_to_keep": PROBE_LOGITS} if _chooses_logits(self.base) else {}
        try:
            for t, tree in enumerate(trees):
                for leaf in tree.leaves:
                    if not (row := tree.row(leaf)):
                        continue
                    ids = torch.tensor([row], device=self._device)
                    logits = self.base(input_ids=ids, use_cache=False, **keep).logits[0]
                    hidden, at, skipped = caught.pop(), 0, len(row) - len(logits)
                    for n in tree.path(leaf):
                        length = len(tree.nodes[n].token_ids)
                        if (t, n) in where and len(where[t, n]):  # a row's first token alone is not predicted
                            first, last = max(at - 1, 0), at + length - 1
                            yield (
                                where[t, n],
                                hidden[first:last],
                                logits[max(first - skipped, 0) : max(last - skipped, 0)],
                            )
                        at += length
        finally:
            hook.remove()


def rows_logps(model: nn.Module, trees: Sequence[Tree]) -> Values:
    """The same values by a row per leaf through the model's plain forward: the oracle and the fall-back."""
    found: Values = []
    for tree in trees:
        values: list[Tensor | None] = []
        for node, logits in zip(tree.nodes, _row_logits(model, tree)):
            if logits is None:
                values.append(None)
                continue
            missing = len(node.token_ids) - len(logits)
            targets = torch.tensor(node.token_ids[missing:], device=logits.device, dtype=torch.long)
            logps = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
            values.append(torch.cat([logps.new_zeros(missing), logps]))
        found.append(values)
    return found


def _row_logits(model: nn.Module, tree: Tree) -> list[Tensor | None]:
    """Logits [n, V] that predict each read node's tokens, from the first row that contains it."""
    base = base_of(model)
    device = base.get_input_embeddings().weight.device
    sparse = _chooses_logits(base)
    found: list[Tensor | None] = [None] * len(tree.nodes)
    done: set[int] = set()
    for leaf in dict.fromkeys(tree.leaves):
        spans, at = [], 0
        for n in tree.path(leaf):
            length = len(tree.nodes[n].token_ids)
            if tree.nodes[n].read and n not in done:
                spans.append((n, max(at - 1, 0), max(at + length - 1, max(at - 1, 0))))
                done.add(n)
            at += length
        if not spans:
            continue
        ids = torch.tensor([tree.row(leaf)], device=device)
        low, high = spans[0][1], spans[-1][2]
        keep = {"logits_to_keep": torch.arange(low, high, device=device)} if sparse else {}
        logits = model(input_ids=ids, use_cache=False, **keep).logits[0]
        for n, a, b in spans:
            found[n] = logits[a - low : b - low] if sparse else logits[a:b]
    return found


def _chooses_logits(base: nn.Module) -> bool:
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def _probe(trees: Sequence[Tree]) -> list[Tree]:
    """What the self-check computes: the batch's first trees within the budget, cut short where one alone is over it; and a fork of
    the first row's tokens, so that branches are compared whatever the batch is."""
    found: list[Tree] = []
    left = PROBE_TOKENS
    for tree in trees:
        cost = sum(len(tree.row(leaf)) for leaf in tree.leaves)
        if cost > left:
            break
        found.append(tree)
        left -= cost
    row = next(ids for t in trees for leaf in t.leaves if (ids := t.row(leaf)))
    row = (row * 8)[-256:] if len(row) < 8 else row[-256:]
    third = len(row) // 3
    return [*found, Tree.of(row[:third], [row[third:], row[third // 2 : 2 * third]])]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, and every module's own mode restored."""
    training = [m for m in model.modules() if m.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
