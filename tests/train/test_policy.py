"""Readable units: how much of its target log-ratio each side has reached, by hand."""

import pytest
import torch

from windvane.losses.batch import Batch, load_objective
from windvane.models.trees.tree import Tree
from windvane.train.batches import Example
from windvane.train.metrics import Means
from windvane.train.policy import policy_metrics, with_reached


def followed(name, arguments, logratio, p_win):
    """Means over pairs whose reference log-probs are 0."""
    logps = torch.tensor(logratio)
    ones = torch.ones_like(logps)
    batch = Batch(logps, 0 * logps, torch.tensor(p_win), ones, ones.bool())
    tree = Tree.of((1,), ((2,), (3,)))
    found = [Example(f"e{i}", tree, ("a", "b"), tuple(p), (1, 1), 0, 1) for i, p in enumerate(p_win)]
    means = Means()
    means.add(policy_metrics(found, batch, load_objective(name, arguments)))
    return with_reached(means.by_name())


def test_sppo():
    """eta 10: targets 10 (.9 - .5) = 4 and 10 (.3 - .5) = -2; 10 (.7 - .5) = 2 and 10 (.1 - .5) = -4.
    Reached: chosen (1 + 2)/(4 + 2), rejected (-.5 + .2)/(-2 - 4)."""
    row = followed("sppo", {"eta": 10.0}, [[1.0, -0.5], [2.0, 0.2]], [[0.9, 0.3], [0.7, 0.1]])
    assert (row["chosen_target"], row["rejected_target"]) == pytest.approx((3.0, -3.0))
    assert (row["chosen_logratio"], row["rejected_logratio"]) == pytest.approx((1.5, -0.15))
    assert (row["chosen_reached"], row["rejected_reached"]) == pytest.approx((0.5, 0.05))


def test_sppo_at_the_papers_eta():
    """K = 5, P = .9 and .1: targets of 400 nats; the loss at the start is 160,000, what is reached is 0."""
    row = followed("sppo", {}, [[0.0, 0.0]], [[0.9, 0.1]])
    assert row["chosen_target"] == pytest.approx(400, rel=1e-6) and row["chosen_reached"] == 0.0


def test_hard_labels():
    row = followed("sppo_hard", {"beta": 0.1}, [[1.0, 1.0]], [[0.9, 0.3]])
    assert (row["chosen_target"], row["rejected_target"]) == pytest.approx((5.0, -5.0))
    assert (row["chosen_reached"], row["rejected_reached"]) == pytest.approx((0.2, -0.2)), "the wrong way is negative"


def test_losses_of_differences_have_no_target():
    row = followed("ipo", {}, [[1.0, 0.0]], [[0.9, 0.3]])
    assert not [name for name in row if name.endswith(("target", "reached"))]


def test_a_target_of_zero_has_no_share():
    row = followed("sppo", {}, [[1.0, 0.0]], [[0.5, 0.25]])
    assert "chosen_reached" not in row and row["chosen_target"] == 0.0 and row["rejected_reached"] == 0.0
