"""What long rows need: MLPs in tiles, and layers' inputs out of the GPU's memory. The numbers stay what they were."""

import contextlib
import copy
import weakref

import peft
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests import tiny as small
from tests.models import tiny
from tests.models.test_logprobs import batch
from tests.train.test_loop import make_examples
from windvane.core.errors import UserError
from windvane.losses.batch import load_objective
from windvane.models import offload
from windvane.models.offload import offloaded
from windvane.models.trees import mlp
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.train import policy
from windvane.train.loop import Trainer
from windvane.train.policy import PolicyTask
from windvane.train.settings import Train


def checkpointed(name, reentrant=False, lora=False, **changes):
    made = tiny.model(name, **changes)
    if lora:
        made = peft.get_peft_model(made, peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj", "down_proj"]))
        with torch.no_grad():
            for key, parameter in made.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(std=0.2)
    made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    made.enable_input_require_grads()
    return made.train()


def scored(model, trees):
    scorer = Scorer(model)
    values = scorer.logps(trees)
    found = tiny.flat(values).detach(), tiny.gradients(model, values)
    assert scorer.mode == "trees", scorer.reason
    return found


@pytest.mark.parametrize(
    "name, reentrant, lora", [("mistral", False, True), ("mistral", True, True), ("gemma2", False, False)]
)
def test_mlps_in_tiles(name, reentrant, lora, monkeypatch):
    model, trees = checkpointed(name, reentrant, lora), batch()[1:]
    plain = scored(copy.deepcopy(model), trees)
    monkeypatch.setattr(mlp, "TILE", 13)  # of 96 tokens
    seen = []
    layer = (model.get_base_model() if lora else model).model.layers[0]
    layer.mlp.gate_proj.register_forward_hook(lambda module, given, out: seen.append(out.shape[-2]))
    tiles = scored(model, trees)
    assert max(seen) == 13
    assert tiny.gap(tiles[0], plain[0]) < 1e-6
    assert tiny.worst(tiles[1], plain[1]) < 1e-5
    with torch.no_grad():
        assert tiny.gap(tiny.flat(Scorer(model).logps(trees)), plain[0]) < 1e-6
    monkeypatch.setattr(mlp, "TILE", 1 << 14)  # what is swapped in stays, and does nothing to shorter rows
    again = scored(model, trees)
    assert torch.equal(again[0], plain[0]) and all(torch.equal(again[1][n], g) for n, g in plain[1].items())


class Alive(TorchDispatchMode):
    """The most bytes of wide tensors, [1, tokens, 1024] in float32, that live at a time."""

    def __init__(self):
        super().__init__()
        self.most, self.held = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.ndim == 3 and t.shape[-1] == 1024:
                storage = t.untyped_storage()
                self.held[storage.data_ptr()] = weakref.ref(t), storage.nbytes()
        self.most = max(self.most, sum(n for seen, n in self.held.values() if seen() is not None))
        return out


def test_the_wide_tensors_of_a_long_row_never_exist_whole(monkeypatch):
    """Intermediate size 1,024 of 400 tokens, under gradient checkpointing, in tiles of 50: one tile's tensors at a time, of what the whole
    row takes an eighth."""
    r = tiny.tokens(0)
    trees = [Tree.of(r(300), [r(50), r(50)])]
    most = {}
    for tile in (1 << 14, 50):
        monkeypatch.setattr(mlp, "TILE", tile)
        model = checkpointed("mistral", intermediate_size=1024)
        scorer = Scorer(model)
        scorer.check(trees)
        with Alive() as seen:
            tiny.gradients(model, scorer.logps(trees))
        most[tile] = seen.most
    assert most[1 << 14] >= 4 * 400 * 1024 * 4
    assert most[50] < most[1 << 14] / 4


@pytest.mark.parametrize("name, reentrant", [("mistral", False), ("mistral", True), ("gemma2", False)])
def test_layers_inputs_go_and_come_back(name, reentrant, monkeypatch):
    """On a CPU there is nowhere to go, so the test sends them all the same: bit for bit the same, and each layer's input is among them."""
    model = checkpointed(name, reentrant)
    plain = scored(model, batch())
    gone, back = [], []
    monkeypatch.setattr(offload, "SMALLEST", 1)
    monkeypatch.setattr(offload, "_away", lambda tensor: True)
    out, fetch = offload._out, offload._back

    def leaving(tensor):
        kept = out(tensor)
        if isinstance(kept, tuple):
            gone.append((tuple(tensor.shape), kept[1].data_ptr() != tensor.data_ptr()))
        return kept

    def coming(kept):
        if isinstance(kept, tuple):
            back.append(tuple(kept[1].shape))
        return fetch(kept)

    monkeypatch.setattr(offload, "_out", leaving)
    monkeypatch.setattr(offload, "_back", coming)
    scorer = Scorer(model)
    scorer.check(batch())
    with offloaded():
        values = scorer.logps(batch())
    assert not back, "nothing comes back before the backward asks"
    grads = tiny.gradients(model, values)
    assert torch.equal(tiny.flat(values), plain[0]) and all(torch.equal(grads[n], g) for n, g in plain[1].items())
    tokens = sum(tree.tokens for tree in batch())
    assert sum(shape == (1, tokens, 64) for shape, _ in gone) >= 3, "one a layer"
    assert all(apart for _, apart in gone) and {shape for shape, _ in gone} >= set(back)
    assert not any(p.shape in {shape for shape, _ in gone} for p in model.parameters()), "no weight travels"
    count = len(gone)
    with offloaded(False):
        scorer.logps(batch())
    assert len(gone) == count


def test_small_tensors_and_those_of_the_cpu_stay():
    kept = torch.zeros(1, 2048, 1024)
    assert offload._out(kept) is kept and offload._back(kept) is kept


def test_offload_without_checkpointing_is_refused():
    with pytest.raises(UserError, match=r"train\.offload: .* gradient_checkpointing keeps; switch that on too"):
        Train(offload=True)


def test_the_trainer_offloads_where_it_trains(monkeypatch):
    asked = []

    def noting(enabled):
        asked.append(enabled)
        return contextlib.nullcontext()

    monkeypatch.setattr(policy, "offloaded", noting)
    net = small.model(scale=2.0)
    found = make_examples(2)
    settings = Train(objective="simpo", gradient_checkpointing=True, offload=True)
    trainer = Trainer(PolicyTask(Scorer(net), load_objective("simpo", {}), settings), None, 0)
    trainer.measure(found)
    trainer.step(found, torch.optim.SGD(net.parameters(), lr=0.0), 0.0, 0)
    assert asked == [False, True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: that memory shrinks is unproven here")
def test_a_gpu_holds_less():
    r, peaks, found = tiny.tokens(0), [], []
    model = checkpointed("mistral", num_hidden_layers=24, hidden_size=512).cuda()
    trees = [Tree.of(r(8000), [r(64), r(64)])]
    scorer = Scorer(model)
    scorer.check(trees)
    for away in (False, True):
        torch.cuda.reset_peak_memory_stats()
        with offloaded(away):
            values = scorer.logps(trees)
        found.append(tiny.gradients(model, [[None if v is None else v.cpu() for v in t] for t in values]))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < peaks[0] - 15 * 8000 * 512 * 4
    assert all(torch.equal(found[0][n], g) for n, g in found[1].items())
