"""Hidden states at chosen tokens by trees against the plain forward of every row: values and every gradient."""

import pytest
import torch
import transformers as hf

from tests.models import tiny
from windvane.models.trees import packing
from windvane.models.trees.hidden_states import Pooler, ends
from windvane.models.trees.tree import Tree


def batch(seed=1):
    """A pair, five answers, a prompt row that is a prefix of the others, rows that part at once."""
    r = tiny.tokens(seed)
    trunk, prompt = r(30), r(11)
    group = Tree.of_rows([(prompt + r(n), 0) for n in (4, 9, 1, 6, 2)])
    prefix = Tree.of_rows([(trunk + r(7), 0), (trunk + r(3), 0), (trunk, 0)])
    return [Tree.of(r(40), [r(12), r(5)]), group, prefix, Tree.of_rows([([5, *r(6)], 0), ([6, *r(4)], 0)])]


def gradients(model, states):
    model.zero_grad()
    (states * torch.linspace(0.5, 1.5, states.numel()).view_as(states).cos()).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equal_to_rows(name):
    model, trees = tiny.model(name), batch()
    places = [[*last, (0, 0), (1, 2)] for last in ends(trees)]  # and tokens inside, in a trunk too
    pooler = Pooler(model)
    mine = pooler.states(trees, places)
    assert pooler.mode == "trees" and mine.shape == (sum(map(len, places)), 64)
    plain = []
    for tree, wanted in zip(trees, places):
        for row, index in wanted:
            ids = torch.tensor([tree.row(tree.leaves[row])])
            plain.append(model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, index])
    theirs = torch.stack(plain)
    assert tiny.gap(mine, theirs) < 1e-5
    assert tiny.worst(gradients(model, mine), gradients(model, theirs)) < 1e-5


def test_order_of_places_and_a_place_twice():
    model, trees = tiny.model("mistral"), batch()[:1]
    pooler = Pooler(model)
    one, two = pooler.states(trees, [[(0, 3), (1, 44)]])
    again = pooler.states(trees, [[(1, 44), (0, 3), (0, 3)]])
    assert torch.equal(again, torch.stack([two, one, one]))


@pytest.mark.parametrize("first", [0, 2])
def test_almost_every_place_read(first):
    """The last layer is not cut then, and gives all tokens in the order of memory."""
    tree = batch()[0]
    places = [[(r, i) for r, leaf in enumerate(tree.leaves) for i in range(first, len(tree.row(leaf)))]]
    model = tiny.model("mistral")
    pooler = Pooler(model)
    assert tiny.gap(pooler.states([tree], places), pooler._by_rows([tree], places)) < 1e-5


def test_a_broken_plan_falls_back_to_rows(monkeypatch):
    trees = batch()
    wanted = Pooler(tiny.model("mistral"))._by_rows(trees, ends(trees)).detach()
    place = packing._place

    def no_trunk(tree, base, chains, forks, ids, positions):
        first = len(forks)
        found = place(tree, base, chains, forks, ids, positions)
        del forks[first:]
        return found

    monkeypatch.setattr(packing, "_place", no_trunk)
    pooler = Pooler(tiny.model("mistral"))
    pooler._checked = True
    assert tiny.gap(pooler.states(trees, ends(trees)).detach(), wanted) > 1e-3, "control: the mistake shows"
    careful = Pooler(tiny.model("mistral"))
    with pytest.warns(UserWarning, match="computing rows instead of trees: trees and rows differ by"):
        found = careful.states(trees, ends(trees))
    assert careful.mode == "rows" and tiny.gap(found.detach(), wanted) < 1e-6


def test_a_model_that_is_not_listed_uses_rows():
    torch.manual_seed(0)
    config = hf.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=128)
    with pytest.warns(UserWarning, match="computing rows instead of trees: GPT2LMHeadModel is not a plain decoder"):
        pooler = Pooler(hf.GPT2Model(config).eval())
    tree = Tree.of([3, 4, 5], [[6, 7], [8]])
    found = pooler.states([tree], ends([tree]))
    assert torch.equal(found[1], pooler.decoder(torch.tensor([[3, 4, 5, 8]])).last_hidden_state[0, -1])
