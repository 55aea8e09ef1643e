"""What test_parallel.py starts under torchrun: rows of trees split over W processes, attention alone and whole models. The first process
writes FOLDER/split.pt, by case."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tests.models.tiny import model, tokens
from windvane.models.trees.attention import attend
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.packing import pack
from windvane.models.trees.sequence_parallel import Split, runs, split_attention, split_logps
from windvane.models.trees.tree import Node, Tree

# query heads, key heads, window, softcap
HEADS = {
    "28 on 4": (28, 4, None, None),
    "6 on 1": (6, 1, 7, None),
    "5 on 5": (5, 5, None, 4.0),
    "2 on 1": (2, 1, None, None),
}
MODELS = ("mistral-window", "qwen3-window", "gemma2", "llama-tied")  # 4 heads on 2 keys, but for what each names


def trees():
    """A nested tree and a plain one; its first token is read too."""
    ids = tokens(3)
    nodes = [(21, None, False), (5, 0, False), (7, 1, True), (4, 1, True), (9, 0, True), (3, 4, True)]
    return [
        Tree(tuple(Node(tuple(ids(n)), parent, read) for n, parent, read in nodes)),
        Tree((Node(tuple(ids(6)), None, True),)),
    ]


def attention(case, split=None):
    """[1, S, H, D] and the gradients of q, k, v [1, H, S, D], of this process's tokens where the row is split."""
    heads, key_heads, window, softcap = HEADS[case]
    plan = pack(trees()).plan
    generator = torch.Generator().manual_seed(len(case))
    shapes = (heads, 8), (key_heads, 8), (key_heads, 8)
    whole = [torch.randn(1, h, plan.size, d, generator=generator) for h, d in shapes]
    weights = torch.randn(1, plan.size, heads, 8, generator=generator)
    if split is None:
        given = [x.requires_grad_() for x in whole]
        out = attend(*given, plan, 0.5, window, softcap)
    else:
        start, stop = runs(plan.size, split.world)[split.rank]
        given, weights = [x[:, :, start:stop].clone().requires_grad_() for x in whole], weights[:, start:stop]
        out = split_attention(*given, Split(plan, split.group), 0.5, window, softcap)
    return out.detach(), torch.autograd.grad((out * weights).sum(), given)


def scored(name, group=None):
    """Values and gradients of a whole model (of this process's part of the row where it is split)."""
    made = model(name, num_hidden_layers=2)
    if group is None:  # keep the last layer's unread work, as a split row does
        made.model.layers[-1].register_forward_hook(lambda module, given, out: None)
    scorer = Scorer(made)
    values = scorer.logps(trees()) if group is None else split_logps(scorer, trees(), group)
    flat = torch.cat([v for nodes in values for v in nodes if v is not None])
    (flat * torch.linspace(0.5, 1.5, len(flat))).sum().backward()
    return flat.detach(), {n: p.grad for n, p in made.named_parameters()}


def main(folder, world):
    dist.init_process_group("gloo")
    assert dist.get_world_size() == int(world), "torchrun made another world"
    group, found = dist.group.WORLD, {}
    plan = pack(trees()).plan
    for case in HEADS:
        out, grads = attention(case, Split(plan, group))
        every = [None] * int(world)
        dist.all_gather_object(every, (out, grads))
        found[case] = torch.cat([o for o, _ in every], 1), [torch.cat([g[i] for _, g in every], 2) for i in range(3)]
    for name in MODELS:
        values, grads = scored(name, group)
        every = [None] * int(world)
        dist.all_gather_object(every, values)
        assert all(torch.equal(v, values) for v in every), "every process has all values"
        for p in grads.values():
            dist.all_reduce(p)
        found[name] = values, grads
    if dist.get_rank() == 0:
        torch.save(found, Path(folder) / "split.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
