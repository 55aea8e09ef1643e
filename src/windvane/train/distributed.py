"""Training on several processes: who computes which trees, and what they tell one another.

In: the processes that torchrun started. Out: `Ranks`, which the loop asks. An optimizer batch is the same whatever the number of
processes: its trees are shared out by tokens, every loss is divided by the whole batch's count (as the objective declares), gradients
are summed; so W processes give one process's step, but for rounding. What is held where:

  data        every process holds the whole model; gradients are all-reduced once a step
  sharded     parameters, gradients and the optimizer's state in shards by FSDP2's `fully_shard`, a group a decoder layer (WINDVANE_SHARD=1)
  sequence    n neighbouring processes share the tokens of each row (models/trees/sequence_parallel.py; WINDVANE_SEQUENCE=n); with either
  of the two

A process that has no trees left takes empty turns where FSDP's collectives need it. All processes see one file system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from windvane.core.errors import UserError
from windvane.models.trees.architectures import base_of
from windvane.models.trees.logprobs import Scorer, Values
from windvane.models.trees.sequence_parallel import split_logps
from windvane.models.trees.tree import Tree
from windvane.train.batches import E, micro_batches
from windvane.train.checkpoint import is_shard, whole

BUCKET = 1 << 24  # gradient elements in one all-reduce: 64 MiB in float32
GRACE = 10.0  # seconds that a process leaves to another, to say what happened and to be ended by torchrun
Score = Callable[[Sequence[Tree]], Values]


class Ended(UserError):
    """Another process died."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world`. `sequence` neighbours share each row (`group` is theirs); `sharded`: FSDP2."""

    rank: int = 0
    world: int = 1
    sequence: int = 1
    sharded: bool = False
    group: Any = None

    @property
    def lead(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    @property
    def data(self) -> int:
        """How many shares a batch is dealt into."""
        return self.world // self.sequence

    def turns(self, found: Sequence[E], max_tokens: int) -> Iterator[tuple[list[E], bool]]:
        """This process's micro-batches, each True; then, where FSDP needs all to take equally many, the smallest example, False: to
        be computed and not counted."""
        parts = [list(micro_batches(share, max_tokens)) for share in shares(found, self.data)]
        own = parts[self.rank // self.sequence]
        yield from ((micro, True) for micro in own)
        if self.sharded:
            for _ in range(max(map(len, parts)) - len(own)):
                yield [min(found, key=lambda e: e.tokens)], False

    def gather(self, value: Any) -> list[Any]:
        """What each share's process has to say (a few numbers, pickled), in order."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found[:: self.sequence]

    def reduce(self, parameters: Sequence[Tensor]) -> None:
        """Sum the gradients over all processes. (FSDP has done so in the backward.)"""
        if self.world == 1 or self.sharded:
            return
        absent: list[Any] = [None] * self.world
        dist.all_gather_object(absent, [i for i, p in enumerate(parameters) if p.grad is None])
        nowhere = set.intersection(*map(set, absent))
        used = [p for i, p in enumerate(parameters) if i not in nowhere]
        for p in used:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        for bucket in _buckets([cast(Tensor, p.grad) for p in used]):
            flat = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(flat)
            for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket])):
                gradient.copy_(part.view_as(gradient))

    def spread(self, scorer: Scorer, trees: Sequence[Tree]) -> Score:
        """How this process scores trees; where sharded, the model's parameters become shards from here on (until `restore`). `trees`
        are for the scorer's self-check, which wants the model whole."""
        if self.world > 1:
            scorer.check(trees)

        def score(found: Sequence[Tree]) -> Values:
            return scorer.logps(found) if self.group is None else split_logps(scorer, found, self.group)

        if not self.sharded:
            return score
        root = _Root(scorer.model, score)
        device = next(scorer.model.parameters()).device.type
        mesh = init_device_mesh(device, (self.world,))
        decoder: Any = getattr(base_of(scorer.model), "model", None)
        # the last layer is the root's: it is stood in for where few of its outputs are read (models/trees/last_layer.py), which wants no
        # hooks
        for module in (*list(getattr(decoder, "layers", ()))[:-1], root):
            made = fully_shard(module, mesh=mesh)
            made.set_gradient_divide_factor(1.0)  # sums: the loop has divided by the whole batch's count
            made.set_force_sum_reduction_for_comms(True)
        return root.values_of

    def restore(self, model: nn.Module) -> None:
        """Undo `spread`: plain parameters, whole on every process, and plain modules."""
        if not self.sharded:
            return
        for module in list(model.modules()):
            for parameter in list(module.parameters(recurse=False)):
                if is_shard(parameter):
                    full = nn.Parameter(whole(parameter.detach()), requires_grad=parameter.requires_grad)
                    for owner, key in _owners(model, parameter):  # tied ones stay tied
                        setattr(owner, key, full)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                state = module._get_fsdp_state()
                state._pre_forward_hook_handle.remove()
                state._post_forward_hook_handle.remove()
                module.__class__ = type(module).__mro__[2]  # FSDP put (FSDPx, FSDPModule, x) there

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Where another process of the group ends, so does this one: with one line, said by the first to notice."""
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            if not may_speak():
                time.sleep(GRACE)
            raise self.ended() from None

    def ended(self) -> Ended:
        """The error to raise where another process is gone."""
        return Ended(
            f"process {self.rank} of {self.world}: another process of this training ended, so all do; the same command goes on from the "
            "last checkpoint"
        )


ALONE = Ranks()


class _Root(nn.Module):
    """A model with its scoring as one forward, which FSDP's hooks surround: the root group holds what no layer does."""

    def __init__(self, model: nn.Module, score: Score) -> None:
        super().__init__()
        self.model = model
        self.score = score

    def forward(self, trees: Sequence[Tree]) -> Tensor:
        return torch.cat([v for nodes in self.score(trees) for v in nodes if v is not None])

    def values_of(self, trees: Sequence[Tree]) -> Values:
        flat = self(trees)
        if not torch.is_grad_enabled():
            cast(FSDPModule, self).reshard()  # no backward does it, and the optimizer changes the shards
        read = [[len(n.token_ids) if n.read else None for n in tree.nodes] for tree in trees]
        parts = iter(flat.split([n for nodes in read for n in nodes if n is not None]))
        return [[None if n is None else next(parts) for n in nodes] for nodes in read]


def shares(found: Sequence[E], count: int) -> list[list[E]]:
    """`found` dealt into `count` shares of about equally many tokens, each in the order of `found`."""
    if count == 1:
        return [list(found)]
    load, parts = [0] * count, [list[int]() for _ in range(count)]
    for i in sorted(range(len(found)), key=lambda i: (-found[i].tokens, i)):
        least = min(range(count), key=lambda r: (load[r], r))
        load[least] += found[i].tokens
        parts[least].append(i)
    return [[found[i] for i in sorted(part)] for part in parts]


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of one dtype and at most BUCKET elements (one tensor at least)."""
    held: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if held and (size + gradient.numel() > BUCKET or gradient.dtype != held[0].dtype):
            yield held
            held, size = [], 0
        held.append(gradient)
        size += gradient.numel()
    if held:
        yield held


def _owners(model: nn.Module, parameter: nn.Parameter) -> list[tuple[nn.Module, str]]:
    """Every place that `parameter` has in the model."""
    return [(m, key) for m in model.modules() for key, p in m._parameters.items() if p is parameter]


def may_speak() -> bool:
    """Whether nobody has said yet why all end: torchrun's store outlives the processes."""
    return dist.distributed_c10d._get_default_store().add("windvane: ended", 1) == 1
