"""The processes that torchrun started: who they are, and how the first of them calls the others to training.

In: torchrun's environment. Out: `here()`, this process's `Ranks`. Of a whole run the first process does everything (sampling, judging,
reference, files, what is said) but the training, to which it calls the others. When one ends, all do, with one line.
"""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from windvane.core.errors import UserError
from windvane.train.distributed import ALONE, GRACE, Ended, Ranks, may_speak

PATIENCE = timedelta(days=14)  # for the first process, which may be sampling; one that dies is noticed at once


@cache
def here() -> Ranks:
    """This process as torchrun started it, alone where it did not; joins the others at the first call. Errors: `UserError` where
    WINDVANE_SEQUENCE does not divide the processes."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return ALONE
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    assert dist.get_world_size() == world, "torchrun's count and the group's"
    text = os.environ.get("WINDVANE_SEQUENCE", "1")
    if not text.isdecimal() or not int(text) or world % int(text):
        raise UserError(f"WINDVANE_SEQUENCE={text}: must be a number that divides the {world} processes")
    sequence, group = int(text), None
    if sequence > 1:
        mesh = init_device_mesh(
            "cuda" if on_gpu else "cpu", (world // sequence, sequence), mesh_dim_names=("data", "sequence")
        )
        group = mesh.get_group("sequence")
    return Ranks(dist.get_rank(), world, sequence, os.environ.get("WINDVANE_SHARD", "0") not in ("", "0"), group)


def lead(work: Callable[[], int]) -> int:
    """`work()` in the first process, while the others wait to be called; its exit code. What goes wrong ends all: torchrun sees to it."""
    ranks = here()
    if ranks.world == 1:
        return work()
    code = 0

    def stopped(*_: object) -> None:  # torchrun may have seen it before a collective did
        if may_speak():
            raise ranks.ended()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stopped)
    with ranks.watched():
        try:
            if ranks.lead:
                code = work()
                _tell(None)
            else:
                _serve()
        except UserError as error:
            if not isinstance(error, Ended):
                may_speak()  # what ends this process says more than that it ended
            raise
    dist.destroy_process_group()
    return code


def call(target: str, **arguments: Any) -> None:
    """Let the other processes run `target` ("module:function") with the arguments (pickled), as this one, the first, is about to."""
    if here().world > 1:
        assert here().lead, "the first process calls"
        _tell((target, arguments))


def _tell(job: tuple[str, dict[str, Any]] | None) -> None:
    dist.broadcast_object_list([job], src=0)


def _serve() -> None:
    """Run what the first process calls, until there is no more. What it too finds wrong, it says."""
    while True:
        held: list[Any] = [None]
        dist.broadcast_object_list(held, src=0)
        if held[0] is None:
            return
        target, arguments = held[0]
        module, _, function = target.partition(":")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first process warns
            try:
                getattr(import_module(module), function)(**arguments)
            except UserError as error:
                if not isinstance(error, Ended):
                    time.sleep(GRACE)
                raise
