"""Every loss worked by hand: log-ratios 0.3 and -0.2 (chosen, rejected), win probabilities 0.8 and 0.3, lengths 3 and 2."""

import math

import pytest
import torch

from windvane.errors import UserError
from windvane.objectives.batch import Batch, load_objective, names


def batch(k=2):
    logps = torch.tensor([[-1.7, -3.2, -2.5]])[:, :k]
    reference = torch.tensor([[-2.0, -3.0, -2.5]])[:, :k]
    p_win = torch.tensor([[0.8, 0.3, 0.4]])[:, :k]
    lengths = torch.tensor([[3.0, 2.0, 4.0]])[:, :k]
    return Batch(logps, reference, p_win, lengths, torch.ones(1, k, dtype=torch.bool))


def value(name, k=2, **arguments):
    (loss,) = load_objective(name, arguments).loss(batch(k)).tolist()
    return loss


def test_sppo_pair():
    # eta 2: targets 2*(0.8-0.5) = 0.6 and 2*(0.3-0.5) = -0.4; errors 0.3-0.6 = -0.3 and -0.2+0.4 = 0.2; (0.09+0.04)/2
    assert value("sppo", eta=2.0) == pytest.approx(0.065, abs=1e-6)


def test_sppo_equals_the_released_trainers_half_sum():
    # 0.5*[(Lw-(Pw-.5)/beta)^2 + (Ll-(Pl-.5)/beta)^2] with beta = 0.001: (0.3-300)^2 and (-0.2+200)^2
    assert value("sppo") == pytest.approx(0.5 * ((0.3 - 300) ** 2 + (-0.2 + 200) ** 2), rel=1e-6)


def test_sppo_all_answers_is_their_mean():
    # third answer: log-ratio 0, target 2*(0.4-0.5) = -0.2, error 0.2: (0.09+0.04+0.04)/3
    assert value("sppo", k=3, eta=2.0) == pytest.approx(0.17 / 3, abs=1e-6)


def test_sppo_leaves_out_answers_that_are_not_there():
    full = batch(3)
    held = Batch(full.logps, full.reference, full.p_win, full.lengths, torch.tensor([[True, True, False]]))
    assert load_objective("sppo", {"eta": 2.0}).loss(held).item() == pytest.approx(0.065, abs=1e-6)


def test_sppo_baseline():
    # baseline 0.6: targets 0.4 and -0.6; errors -0.1 and 0.4; (0.01+0.16)/2
    assert value("sppo", eta=2.0, baseline=0.6) == pytest.approx(0.085, abs=1e-6)


def test_sppo_hard():
    # beta 2: (0.3-0.25)^2 + (-0.2+0.25)^2
    assert value("sppo_hard", beta=2.0) == pytest.approx(0.0025 + 0.0025, abs=1e-6)


def test_dpo():
    # h = 0.1*(0.3+0.2) = 0.05; -log sigmoid(0.05) = log(1+e^-0.05)
    plain, flipped = math.log(1 + math.exp(-0.05)), math.log(1 + math.exp(0.05))
    assert value("dpo", beta=0.1) == pytest.approx(plain, abs=1e-6)
    assert value("dpo", beta=0.1, label_smoothing=0.2) == pytest.approx(0.8 * plain + 0.2 * flipped, abs=1e-6)


def test_ipo():
    # beta 0.5: (0.5 - 1)^2; per token: 0.3/3 + 0.2/2 = 0.2, (0.2-1)^2
    assert value("ipo", beta=0.5) == pytest.approx(0.25, abs=1e-6)
    assert value("ipo_mean", beta=0.5) == pytest.approx(0.64, abs=1e-6)


def test_sft():
    assert value("sft", k=1) == pytest.approx(1.7, abs=1e-6)


def test_doubled_length_changes_what_is_declared():
    """The loop divides a "token" loss by tokens, an "example" loss by examples; only ipo_mean reads lengths itself."""
    assert {n: load_objective(n, {}).reduction for n in names()} == {
        n: "token" if n == "sft" else "example" for n in names()
    }
    longer = batch()
    doubled = Batch(longer.logps, longer.reference, longer.p_win, longer.lengths * 2, longer.mask)
    for name in ("sppo", "dpo", "ipo", "sppo_hard"):
        loss = load_objective(name, {}).loss
        assert torch.equal(loss(longer), loss(doubled))
    # 0.3/6 + 0.2/4 = 0.1: (0.1-1)^2
    assert load_objective("ipo_mean", {"beta": 0.5}).loss(doubled).item() == pytest.approx(0.81, abs=1e-6)


def test_unknown_setting_and_objective():
    with pytest.raises(UserError, match="no setting 'bta'; it has beta, label_smoothing"):
        load_objective("dpo", {"bta": 1.0})
    with pytest.raises(UserError, match="dppo: unknown; there are dpo, ipo"):
        load_objective("dppo", {})


def test_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "class hinge:\n    BRANCHES, REFERENCE, REDUCTION = 'pair', True, 'example'\n"
        "    @staticmethod\n    def loss(batch, *, margin=1.0):\n"
        "        return (margin - batch.margin(batch.logratio)).clamp(min=0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_objective("mine:hinge", {"margin": 2.0}).loss(batch()).item() == pytest.approx(1.5, abs=1e-6)
    with pytest.raises(UserError, match="cannot be imported"):
        load_objective("mine:other", {})
