"""What test_distributed.py starts: `torchrun --nproc-per-node W -m tests.train.several_job FOLDER WORLD CASE...`. Every case trains a
tiny model and the first process writes FOLDER/CASE.pt: metrics, weights, gradients of one step, and what wraps the model."""

import dataclasses
import os
import signal
import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from tests.tiny import model
from tests.train.test_loop import SETTINGS, make_examples, with_cached
from windvane.core.errors import UserError
from windvane.losses.batch import load_objective
from windvane.models.lora import add_lora
from windvane.models.trees.logprobs import Scorer
from windvane.train import checkpoint
from windvane.train.batches import mismatched
from windvane.train.distributed import Ranks
from windvane.train.loop import Trainer
from windvane.train.policy import PolicyTask
from windvane.train.processes import call, here, lead

TOKEN_DPO, RAISES = (str(Path(__file__).parent / name) for name in ("token_dpo.py", "raises_once.py"))
# case -> (objective and its settings, changed settings, examples); names say what is varied
CASES = {
    "sppo": ("sppo", {"eta": 5.0}, {"evaluate_every": 2, "keep": "best"}, 20),
    "accumulated": ("sppo", {"eta": 5.0}, {"micro_tokens": 30, "batch": 7, "weight_decay": 0.1}, 16),
    "few": ("dpo", {}, {"batch": 4, "epochs": 1}, 5),  # the last batch has one example
    "tokens": ("sft", {}, {"optimizer": "rmsprop", "lr": 1e-4}, 9),
    "kto": ("kto", {}, {"epochs": 1, "micro_tokens": 40}, 9),
    "given": (TOKEN_DPO, {"beta": 0.3}, {"evaluate_every": 2, "micro_tokens": 40}, 14),  # a user's own file
    "raises": (RAISES, {}, {}, 8),
    "lora": ("sppo", {"eta": 5.0}, {"lora_rank": 4, "gradient_checkpointing": True}, 12),
}


def made(case, plain=False):
    """(model, examples, held-out examples, objective, settings) of a case, the same in every process. `plain`: with the last layer's work
    on tokens that nobody reads, as where a row is split: sums of log-probs differ by float32 rounding, 1e-6 of the gradients."""
    name, arguments, changes, count = CASES[case]
    net = model(scale=2.0)
    if changes.get("lora_rank"):
        net = add_lora(net, 4, 8, seed=1)
        with torch.no_grad():
            for key, p in net.named_parameters():
                if "lora_B" in key:
                    p.copy_(torch.sin(torch.arange(p.numel(), dtype=torch.float32)).view_as(p) * 0.1)
    if plain:
        net.get_decoder().layers[-1].register_forward_hook(lambda module, given, out: None)
    found, held = make_examples(count), make_examples(4, seed=9)
    if name == "kto":
        found, held = (
            mismatched([dataclasses.replace(e, desirable=(True, False)) for e in part]) for part in (found, held)
        )
    settings = dataclasses.replace(SETTINGS, objective=name, objective_args=arguments, **changes)
    objective = load_objective(name, arguments)
    tokens = objective.level == "token"
    return net, with_cached(net, found, tokens), with_cached(net, held, tokens), objective, settings


class Recorder:
    """In the optimizer's place: keeps the gradients, whole, and moves nothing."""

    def __init__(self, net):
        self.net, self.param_groups, self.gradients = net, [], {}

    def step(self):
        self.gradients = {
            n: checkpoint.whole(p.grad).clone() for n, p in checkpoint.trainable(self.net).items() if p.grad is not None
        }

    def zero_grad(self, set_to_none):
        for p in self.net.parameters():
            p.grad = None


def gradients(case, ranks, plain=False):
    """(loss and what is followed, gradients) of one step, and the names of what wraps the model."""
    net, found, _, objective, settings = made(case, plain)
    trainer = Trainer(PolicyTask(Scorer(net), objective, settings), None, 7, ranks=ranks)
    trainer.task.prepare(ranks, found[:1])
    wrapped = sum(isinstance(m, FSDPModule) for m in net.modules())
    shards = all(isinstance(p, DTensor) for p in net.parameters())
    recorder = Recorder(net)
    row = trainer.step(found[: settings.batch], recorder, 0.0, 0)
    return row, recorder.gradients, (wrapped, shards)


def trained(case, ranks, folder, stop=None, kill=None, plain=False):
    """(metrics, weights) of a whole training; `stop`: raise after that step, `kill`: this rank kills itself there."""
    net, found, held, objective, settings = made(case, plain)

    def report(step, total, row):
        if step == stop:
            raise InterruptedError
        if kill is not None and step == 3 and ranks.rank == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = Trainer(PolicyTask(Scorer(net), objective, settings), folder, 7, report, ranks)
    metrics = trainer.fit(found, held if settings.evaluate_every else ())
    assert not any(isinstance(m, FSDPModule) or isinstance(p, DTensor) for m in net.modules() for p in m.parameters())
    return metrics, {k: v.detach().clone() for k, v in net.state_dict().items()}


def leading(name, how, folder, case):
    """What the first process does of a run; the others wait until it calls."""
    call("tests.train.several_job:beside", name=name, how=how, folder=folder, case=case)
    beside(name, how, folder, case)
    return 0


def beside(name, how, folder, case):
    ranks = dataclasses.replace(here(), sharded=how.startswith("fsdp"))
    if how.endswith("wrong") and ranks.rank == 1:
        raise UserError("what one process alone finds wrong")
    trained(name, ranks, Path(folder) / case, kill=int(how[-1]) if how[-1].isdecimal() else None)


def main(folder, world, *cases):
    alone = here()
    assert dist.get_world_size() == alone.world == int(world), "torchrun made another world"
    for case in cases:
        name, _, how = case.partition(":")
        sequence = int(how.partition("sequence")[2] or 1)
        assert sequence in (1, alone.world), "one row over all processes"
        ranks = Ranks(
            alone.rank, alone.world, sequence, how.startswith("fsdp"), dist.group.WORLD if sequence > 1 else None
        )
        if "-kill" in how:  # as a run does it: the first process leads
            lead(partial(leading, name, how, folder, case))
        if how.endswith(("-resume", "-stop")):
            try:
                trained(name, ranks, Path(folder) / case, stop=5)
            except InterruptedError:
                dist.barrier()
        if how.endswith("-stop"):
            continue
        one = gradients(name, ranks)
        metrics, weights = trained(name, ranks, Path(folder) / case)
        if ranks.lead:
            torch.save({"step": one, "metrics": metrics, "weights": weights}, Path(folder) / f"{case}.pt")
        states = ranks.gather({k: v.double().sum().item() for k, v in weights.items()})
        assert all(s == states[0] for s in states), "the processes ended with different weights"
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"windvane: {error}", file=sys.stderr)
        sys.exit(2)
