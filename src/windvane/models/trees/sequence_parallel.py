"""Sequence parallelism around the attention of trees: a row's tokens over several processes (Ulysses, Jacobs et al., arXiv 2309.14509).

In: a Scorer, trees, a process group; every process of the group is given the same trees. Each computes a contiguous slice of the packed
row; around the attention an all-to-all gives it the whole row for some of the heads, and another gives its slice back with all of
them. Out: all values on every process, as `Scorer.logps` gives them. A loss of these values is the same on every process, and the
gradients of the parameters there are parts that add up (by an all-reduce of sums) to one process's.

Departures from the paper: heads need not divide. Query heads are dealt in contiguous, nearly equal runs (28 over 8: 4, 4, 4, 4, 3, 3,
3, 3); a key head goes to each process that holds one of its queries, so key heads may be fewer than processes, and a process beyond
the heads has none. What crosses is q, k and v in one collective, not three. The last layer keeps the work on tokens nobody reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from windvane.core.errors import UserError
from windvane.models.trees.attention import attend, no_mask, prepare
from windvane.models.trees.lm_head import token_logps
from windvane.models.trees.logprobs import Scorer, Values
from windvane.models.trees.mlp import lean_mlps, tile_mlps
from windvane.models.trees.packing import Plan, pack
from windvane.models.trees.tree import Tree


def runs(count: int, parts: int) -> list[tuple[int, int]]:
    """[start, stop) of each of `parts` contiguous runs of `count` things; sizes differ by one at most, the larger first."""
    size, more = divmod(count, parts)
    starts = [r * size + min(r, more) for r in range(parts + 1)]
    return list(itertools.pairwise(starts))


@dataclass(frozen=True, slots=True)
class Split:
    """A plan whose row lies in slices over the processes of `group`: what travels as `tree_plan`."""

    plan: Plan
    group: Any

    @property
    def world(self) -> int:
        """Processes that share the row."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """This process's slice of it, 0 the first."""
        return dist.get_rank(self.group)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, softcap: float | None
    ) -> Tensor:
        """What `tree_attention` calls where the row is divided: `split_attention`, [1, H, s, D] -> [1, s, H, D]."""
        return split_attention(query, key, value, self, scale, window, softcap)


class _Exchange(torch.autograd.Function):
    """All-to-all of a flat buffer: send[r] elements go to process r, receive[r] come from it. The backward goes the other way."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, send: list[int], receive: list[int], group: Any) -> Tensor:
        ctx.sizes = send, receive, group
        out = flat.new_empty(sum(receive))
        dist.all_to_all_single(out, flat.contiguous(), receive, send, group=group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        send, receive, group = ctx.sizes
        return _Exchange.apply(grads[0], receive, send, group), None, None, None


class _Gather(torch.autograd.Function):
    """[n] of each process -> [sum n] on all, in their order. What follows is the same on every process, so the gradient of the own part
    is its slice, and nothing is added up."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], split: Split) -> Tensor:
        start = sum(sizes[: split.rank])
        ctx.slice = slice(start, start + len(own))
        out = own.new_empty(sum(sizes))
        dist.all_to_all_single(out, own.repeat(split.world), sizes, [len(own)] * split.world, group=split.group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0][ctx.slice].contiguous(), None, None


def key_run(queries: tuple[int, int], groups: int) -> tuple[int, int]:
    """The key heads that the query heads [start, stop) read, `groups` queries to a key."""
    start, stop = queries
    return (start // groups, (stop - 1) // groups + 1) if stop > start else (0, 0)


def even_parts(queries: tuple[int, int], groups: int) -> list[tuple[int, int, int]]:
    """(first key, last key + 1, queries to each) of the query heads [start, stop): runs of keys with equally many queries, which is
    what one call of the attention takes; the keys at both ends may have fewer than the others."""
    found: list[tuple[int, int, int]] = []
    for key in range(*key_run(queries, groups)):
        size = min(queries[1], (key + 1) * groups) - max(queries[0], key * groups)
        if found and found[-1][2] == size:
            found[-1] = (found[-1][0], key + 1, size)
        else:
            found.append((key, key + 1, size))
    return found


def split_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    split: Split,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """query [1, H, s, D], key and value [1, Hk, s, D] of this process's s tokens -> [1, s, H, D]; the slices in order are the row."""
    device, (heads, key_heads) = query.device.type, (query.shape[1], key.shape[1])
    if torch.is_autocast_enabled(device):  # cast before they cross, as `attend` would after
        query, key, value = (x.to(torch.get_autocast_dtype(device)) for x in (query, key, value))
    groups, world, size = heads // key_heads, split.world, query.shape[-1]
    wide = value.shape[-1]
    slices, shares = runs(split.plan.size, world), runs(heads, world)
    keys = [key_run(share, groups) for share in shares]
    lengths = [b - a for a, b in slices]
    mine, my_keys, length = shares[split.rank], keys[split.rank], lengths[split.rank]
    assert query.shape[2] == length, "not this process's slice"
    parts = [
        torch.cat([query[0, a:b].flatten(), key[0, c:d].flatten(), value[0, c:d].flatten()])
        for (a, b), (c, d) in zip(shares, keys)
    ]
    own, own_keys = mine[1] - mine[0], my_keys[1] - my_keys[0]
    token = own * size + own_keys * (size + wide)
    received = _Exchange.apply(torch.cat(parts), [len(p) for p in parts], [n * token for n in lengths], split.group)
    rows: list[list[Tensor]] = [[], [], []]
    for n, block in zip(lengths, received.split([n * token for n in lengths])):
        counts = (own, size), (own_keys, size), (own_keys, wide)
        for row, flat, (count, width) in zip(rows, block.split([h * n * w for h, w in counts]), counts):
            row.append(flat.view(count, n, width))
    q, k, v = (torch.cat(row, 1)[None] for row in rows)
    outs, at = [], 0
    for first, last, each in even_parts(mine, groups):
        a, b = first - my_keys[0], last - my_keys[0]
        queries = q[:, at : at + (b - a) * each]
        outs.append(attend(queries, k[:, a:b], v[:, a:b], split.plan, scale, window, softcap)[0])
        at += (b - a) * each
    # a process without heads still takes part in the backward's collectives
    whole = torch.cat(outs, 1) if outs else received.new_zeros(split.plan.size, 0, wide) + received.sum()
    sent, come = [n * own * wide for n in lengths], [length * (b - a) * wide for a, b in shares]
    back = _Exchange.apply(whole.flatten(), sent, come, split.group)
    columns = [flat.view(length, b - a, wide) for flat, (a, b) in zip(back.split(come), shares)]
    return torch.cat(columns, 1)[None]


def split_logps(scorer: Scorer, trees: Sequence[Tree], group: Any) -> Values:
    """`scorer.logps(trees)`, computed by all of `group` together. Errors: `UserError` where trees are not exact for this model."""
    scorer.check(trees)
    if scorer.reason is not None:
        raise UserError(f"sequence parallelism needs trees, and this model is computed by rows: {scorer.reason}")
    base = scorer.base
    prepare(base)
    tile_mlps(base.model)
    packing = pack(trees, base.get_input_embeddings().weight.device)
    split = Split(packing.plan, group)
    slices = runs(packing.plan.size, split.world)
    start, stop = slices[split.rank]
    if packing.plan.size < split.world:
        raise UserError(
            f"a row of {packing.plan.size} tokens over {split.world} processes: take fewer (WINDVANE_SEQUENCE)"
        )
    with lean_mlps(base.model):
        hidden = base.model(
            input_ids=packing.input_ids[:, start:stop],
            position_ids=packing.position_ids[:, start:stop],
            attention_mask=no_mask(packing.input_ids.device),
            use_cache=False,
            tree_plan=split,
        ).last_hidden_state[0]
    lengths = [len(rows) for _, _, rows in packing.reads]
    rows = torch.cat([rows for _, _, rows in packing.reads]) if lengths else packing.targets
    places = (
        packing.plan.kept(packing.runs).asked().to(rows.device)[rows]
    )  # where in the row each target is predicted from
    owners = torch.bucketize(places, torch.tensor([b for _, b in slices], device=rows.device), right=True)
    own = owners == split.rank
    asked, targets = places[own] - start, packing.targets[own]
    idle = not len(asked)
    if idle:  # nothing is read here, and the backward passes through the head and the model all the same
        asked, targets = places.new_zeros(1), places.new_zeros(1)
    values = token_logps(base.get_output_embeddings(), hidden, asked, targets, base.config)[int(idle) :]
    every = _Gather.apply(values, torch.bincount(owners, minlength=split.world).tolist(), split)
    every = every[owners.argsort(stable=True).argsort()]
    found: Values = [[None] * len(tree.nodes) for tree in trees]
    for (t, n, _), value in zip(packing.reads, every.split(lengths)):
        missing = len(trees[t].nodes[n].token_ids) - len(value)
        found[t][n] = torch.cat([value.new_zeros(missing), value]) if missing else value
    return found
