"""Scored trees -> what the objectives read: sums over a row's tokens, each with its explicit weight.

In: examples and the per-node log-probs of their trees. Out: a `Batch`, one line a comparison. A document that four rows share is
computed once and counted in each of the four, as its rows would count it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from windvane.losses.batch import Batch
from windvane.models.trees.tree import Tree
from windvane.train.batches import Example

Nodes = Sequence[Tensor | None]  # per node of a tree: its tokens' log-probs, None where nothing reads it


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What a loss reads of the whole optimizer batch, whatever its micro-batches: see `Batch.kl` and `Batch.nll_batch_tokens`."""

    kl: float = 0.0
    nll_tokens: float = 1.0


def to_score(example: Example, reads: Collection[str]) -> Tree:
    """The example's tree with everything read that its losses read: for an NLL all of each chosen row, else the answers."""
    tree = example.tree
    if "nll" not in reads:
        return tree
    read = {n for which in range(len(example.losses)) for n in tree.path(tree.leaves[example.nll_row(which)])}
    if all(tree.nodes[n].read for n in read):
        return tree
    nodes = (replace(node, read=True) if n in read else node for n, node in enumerate(tree.nodes))
    return Tree(tuple(nodes), tree.leaves)


def weighted_sum(tree: Tree, nodes: Nodes, row: int, spans: Sequence[tuple[int, int, float]]) -> Tensor:
    """[] sum over a row's tokens of weight x log-prob (nats); `nodes` are [tokens] a node; `spans` are (start, stop, weight) in the row,
    tokens in none weigh nothing. Errors: assertion where a token that counts was not read, or none counts."""
    parts: list[Tensor] = []
    at = 0
    for n in tree.path(tree.leaves[row]):
        end = at + len(tree.nodes[n].token_ids)
        for start, stop, weight in spans:
            low, high = max(start, at), min(stop, end)
            if low < high:
                value = nodes[n]
                assert value is not None, f"node {n} is not read"
                part = value[low - at : high - at].sum()
                parts.append(part if weight == 1.0 else part * weight)
        at = end
    assert parts and all(stop <= at for _, stop, _ in spans), "no token of the row counts, or one beyond its end"
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def answer_sums(example: Example, nodes: Nodes) -> list[Tensor]:
    """Each answer's summed log-probability (nats), [] each, in the example's order."""
    return [weighted_sum(example.tree, nodes, k, example.answer_spans(k)) for k in range(len(example.lengths))]


def answer_tokens(example: Example, nodes: Nodes, k: int) -> Tensor:
    """[lengths[k]] the log-probabilities (nats) of answer k's tokens, in order: what `answer_sums` adds up."""
    parts: list[Tensor] = []
    at = 0
    for n in example.tree.path(example.tree.leaves[k]):
        end = at + len(example.tree.nodes[n].token_ids)
        for start, stop, _ in example.answer_spans(k):
            low, high = max(start, at), min(stop, end)
            if low < high:
                value = nodes[n]
                assert value is not None, f"node {n} is not read"
                parts.append(value[low - at : high - at])
        at = end
    return torch.cat(parts)


def batch_of(
    found: Sequence[Example],
    logps: Sequence[Nodes],
    reads: Collection[str] = (),
    statistics: BatchStatistics = BatchStatistics(),
    tokens: bool = False,
) -> Batch:
    """Sum each answer's token log-probs and line the comparisons up as [B, K]; `reads` are the objective's, `tokens` whether it reads each
    token's as well."""
    width = max(len(line) for e in found for line in e.losses)
    sums = [answer_sums(e, nodes) for e, nodes in zip(found, logps)]
    zero = sums[0][0].detach() * 0.0

    def table(rows: Sequence[Sequence[float]]) -> Tensor:
        """[B, K] of a value an answer, where an example without values has zeros."""
        lines = []
        for e, row in zip(found, rows):
            values = row or [0.0] * len(e.lengths)
            lines += [[*(values[k] for k in line), *[0.0] * (width - len(line))] for line in e.losses]
        return torch.tensor(lines, dtype=torch.float32, device=zero.device)

    lines = [[row[k] for k in line] for e, row in zip(found, sums) for line in e.losses]
    batch = Batch(
        logps=torch.stack([torch.stack([*line, *[zero] * (width - len(line))]) for line in lines]),
        reference=table([e.reference for e in found]),
        p_win=table([e.p_win for e in found]),
        lengths=table([e.lengths for e in found]),
        mask=table([[1.0] * len(e.lengths) for e in found]).bool(),
    )
    if "nll" in reads:
        places = [(e, nodes, i) for e, nodes in zip(found, logps) for i in range(len(e.losses))]
        batch = replace(
            batch,
            nll=torch.stack([-weighted_sum(e.tree, n, e.nll_row(i), e.nll_spans(i)) for e, n, i in places]),
            nll_tokens=zero.new_tensor([e.nll_tokens(i) for e, _, i in places]),
            nll_batch_tokens=zero.new_tensor(statistics.nll_tokens),
        )
    if "desirable" in reads:
        batch = replace(batch, desirable=table([[float(d) for d in e.desirable] for e in found]).bool())
    if "kl" in reads:
        batch = replace(batch, kl=zero.new_tensor(statistics.kl))
    if "slow" in reads:
        batch = replace(batch, slow=table([e.slow for e in found]))
    return _with_tokens(batch, found, logps) if tokens else batch


def _with_tokens(batch: Batch, found: Sequence[Example], logps: Sequence[Nodes]) -> Batch:
    """The three fields of [B, K, T]."""
    answers, width = batch.logps.shape
    own, reference = [], []
    for e, nodes in zip(found, logps):
        for line in e.losses:
            none = [batch.logps.new_zeros(0)] * (width - len(line))
            rows = [answer_tokens(e, nodes, k) for k in line]
            cached = [batch.reference.new_tensor(e.token_reference[k]) for k in line] if e.token_reference else None
            own += [*rows, *none]
            reference += [*(cached or [torch.zeros_like(r) for r in rows]), *none]

    def padded(rows: list[Tensor]) -> Tensor:
        return pad_sequence(rows, batch_first=True).view(answers, width, -1)

    return replace(
        batch,
        token_logps=padded(own),
        token_reference=padded(reference),
        token_mask=padded([torch.ones_like(r, dtype=torch.bool) for r in own]),
    )
