"""SoLoPO's loss by hand, and by the plain forward on its trees."""

import math

import pytest
import torch

from tests.longpo.test_examples import apart, plain, step_gradient, turns_of
from tests.tiny import model
from windvane.longpo.examples import aligned
from windvane.losses.batch import Batch, load_objective
from windvane.models.trees.logprobs import Scorer
from windvane.train.batches import with_reference
from windvane.train.reference import reference_logps


def solopo(**arguments):
    return load_objective("solopo", arguments, gives=("short",))


def test_by_hand():
    # log-ratios .5, -1, 2: preference on the short pair, h = .2 (.5 + 1) = .3; alignment .2 |.5 - 2| = .3
    ones = torch.ones(1, 3)
    batch = Batch(torch.tensor([[-1.0, -3.0, -2.0]]), torch.tensor([[-1.5, -2.0, -4.0]]), ones, ones, ones.bool())
    expected = math.log(1 + math.exp(-0.3)) + 3 * 0.3
    assert solopo(beta=0.2, alpha=3.0).loss(batch).item() == pytest.approx(expected, abs=1e-6)


def test_a_documents_questions_by_the_plain_forward():
    net, reference = model(scale=2.0), model(seed=3, scale=2.0)
    turns = turns_of("doc", history=False, count=2)
    example = aligned("doc", turns)
    (ready,) = with_reference([example], {r.id: r.logps for r in reference_logps(Scorer(reference), [example])})

    def ratio(before, answer):
        row = before + answer
        ours, theirs = (plain(n, row)[len(before) - 1 :].sum() for n in (net, reference))
        return 0.1 * (ours - theirs.detach())

    losses = []
    for t in turns:
        short_w, short_l = ratio(t.short_ids, t.chosen_ids), ratio(t.short_ids, t.rejected_ids)
        long_w = ratio(t.prompt_ids, t.chosen_ids)
        losses.append(-torch.nn.functional.logsigmoid(short_w - short_l) + 0.5 * (short_w - long_w).abs())
    loss = torch.stack(losses).mean()
    ours, gradient = step_gradient(net, solopo(alpha=0.5), [ready])
    assert ours == pytest.approx(loss.item(), rel=1e-5)
    theirs = dict(zip(gradient, torch.autograd.grad(loss, [p for _, p in net.named_parameters()])))
    assert apart(gradient, theirs) < 1e-5
    other, _ = step_gradient(net, solopo(alpha=0.0), [ready])
    assert abs(other / ours - 1) > 1e-4, "control: without the alignment it is another loss"
