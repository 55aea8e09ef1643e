"""Every loss worked by hand: log-ratios 0.3 and -0.2 (chosen, rejected), win probabilities 0.8 and 0.3, lengths 3 and 2; the slow
reference at -2.5 and -2.8; the chosen row's NLL 4.2 nats over 6 tokens, 8 on average in its batch."""

import dataclasses
import math

import pytest
import torch

from windvane.core.errors import UserError
from windvane.losses.batch import BEYOND_GROUPS, Batch, load_objective, names
from windvane.losses.orpo import log1mexp, odds_term


def batch(k=2, kl=0.1):
    return Batch(
        logps=torch.tensor([[-1.7, -3.2, -2.5]])[:, :k],
        reference=torch.tensor([[-2.0, -3.0, -2.5]])[:, :k],
        p_win=torch.tensor([[0.8, 0.3, 0.4]])[:, :k],
        lengths=torch.tensor([[3.0, 2.0, 4.0]])[:, :k],
        mask=torch.ones(1, k, dtype=torch.bool),
        nll=torch.tensor([4.2]),
        nll_tokens=torch.tensor([6.0]),
        nll_batch_tokens=torch.tensor(8.0),
        desirable=torch.tensor([[True, False, True]])[:, :k],
        kl=torch.tensor(kl),
        slow=torch.tensor([[-2.5, -2.8, -3.0]])[:, :k],
    )


def load(name, **arguments):
    return load_objective(name, arguments, gives=BEYOND_GROUPS)


def value(name, k=2, kl=0.1, **arguments):
    (loss,) = load(name, **arguments).loss(batch(k, kl)).tolist()
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


def test_answers_that_are_not_there_are_left_out():
    held = dataclasses.replace(batch(3), mask=torch.tensor([[True, True, False]]))
    assert load("sppo", eta=2.0).loss(held).item() == pytest.approx(0.065, abs=1e-6)
    assert load("kto").loss(held).item() == pytest.approx(value("kto"), abs=1e-6)


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


def test_inpo():
    # log pi: -1.7+3.2 = 1.5; slow: -2.5+2.8 = 0.3; pi_t: -2.0+3.0 = 1.0; tau/eta 0.4: h = 1.5 - 0.12 - 0.6 = 0.78; (0.78 - 1)^2
    assert value("inpo", eta=0.5, tau=0.2) == pytest.approx(0.0484, abs=1e-6)


def test_inpo_without_its_slow_reference_is_ipo():
    assert value("inpo", eta=0.5, tau=0.0) == pytest.approx(value("ipo", beta=0.5), abs=1e-6)
    # tau = eta forgets pi_t instead: h = 1.5 - 0.3, (1.2 - 1)^2
    assert value("inpo", eta=0.5, tau=0.5) == pytest.approx(0.04, abs=1e-6)


def test_inpos_minimum_is_the_mirror_descent_step():
    """On a cyclic game of three answers, all pairs weighted as the policy samples and the judge labels them: the loss is least at
    pi ~ pi_ref^(tau/eta) pi_t^(1-tau/eta) exp(P(y beats pi_t)/eta), the paper's online mirror descent step."""
    eta, tau = 0.5, 0.2
    game = torch.tensor([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]], dtype=torch.float64)
    now, slow = (torch.tensor(p, dtype=torch.float64) for p in ([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]))
    w, l = (i.flatten() for i in torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij"))
    weight = now[w] * now[l] * game[w, l]

    def gradient(logits):
        logits = logits.detach().requires_grad_()
        policy = logits.log_softmax(0)
        found = {"logps": policy, "reference": now.log(), "slow": slow.log()}
        pairs = dataclasses.replace(batch(), **{f: torch.stack([v[w], v[l]], 1) for f, v in found.items()})
        (weight * load("inpo", eta=eta, tau=tau).loss(pairs)).sum().backward()
        return logits.grad.abs().max().item()

    step = (tau / eta) * slow.log() + (1 - tau / eta) * now.log() + (game @ now) / eta
    assert gradient(step) < 1e-12
    assert gradient(now.log()) > 1e-2, "control"


def test_longpo():
    # h = 0.1*0.5 = 0.05; 0.01 log(1+e^-0.05) + 4.2/6
    preference = math.log(1 + math.exp(-0.05))
    assert value("longpo") == pytest.approx(0.01 * preference + 0.7, abs=1e-6)
    assert value("longpo", beta=0.01) == pytest.approx(0.01 * math.log(1 + math.exp(-0.005)) + 0.7, abs=1e-6)
    assert value("longpo", lam=1.0, nll=0.0) == pytest.approx(value("dpo"), abs=1e-6), (
        "without NLL: DPO, short reference"
    )
    assert value("longpo", lam=0.0) == pytest.approx(0.7, abs=1e-6), "lam 0: language modelling"


def odds(mean):
    return math.exp(mean) / (1 - math.exp(mean))


def test_orpo():
    # mean log-probs -1.7/3 and -1.6; odds p/(1-p) = 1.31157 and 0.25297; -log sigmoid(log(1.31157/0.25297)) = log(1 + 0.19288)
    term = math.log(1 + odds(-1.6) / odds(-1.7 / 3))
    assert term == pytest.approx(0.17636, abs=1e-4)
    assert value("orpo", lam=0.1) == pytest.approx(1.7 / 3 + 0.1 * term, abs=1e-6)
    assert value("orpo_trl", lam=0.1) == pytest.approx(4.2 / 8 + 0.1 * term, abs=1e-6)


@pytest.mark.parametrize("x", [-1e-6, -1e-3, -0.5, -0.6931, -0.6932, -2.0, -20.0, -80.0])
def test_log1mexp_keeps_its_digits(x):
    x = torch.tensor(x).item()  # the float32 nearest
    exact = math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x))
    assert log1mexp(torch.tensor(x)).item() == pytest.approx(exact, rel=1e-6)


def test_log1mexp_where_the_plain_form_and_bfloat16_fail():
    x = torch.tensor(-1e-6)
    assert abs(torch.log(1 - x.exp()).item() - math.log(1e-6)) > 1e-2, "control: cancellation"
    assert log1mexp(x.bfloat16()).dtype == torch.float32
    sure = torch.zeros(1, requires_grad=True)  # p = 1 in float32
    log1mexp(sure).backward()
    assert math.isfinite(log1mexp(sure).item()) and torch.isfinite(sure.grad).all()


def test_orpos_odds_are_float32_whatever_the_log_probs_are():
    coarse = dataclasses.replace(batch(), logps=batch().logps.bfloat16(), lengths=batch().lengths.bfloat16())
    fine = dataclasses.replace(coarse, logps=coarse.logps.float(), lengths=coarse.lengths.float())
    found, exact = odds_term(coarse), odds_term(fine)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(exact.item(), rel=1e-6)


def test_simpo():
    # means -0.56667 and -1.6; 2*(1.03333) - 0.5 = 1.56667; log(1+e^-1.56667)
    h = 2 * (1.6 - 1.7 / 3) - 0.5
    plain, flipped = math.log(1 + math.exp(-h)), math.log(1 + math.exp(h))
    assert value("simpo", beta=2.0, gamma=0.5) == pytest.approx(plain, abs=1e-6)
    smooth = value("simpo", beta=2.0, gamma=0.5, label_smoothing=0.1)
    assert smooth == pytest.approx(0.9 * plain + 0.1 * flipped, abs=1e-6)


def test_kto():
    # z0 = 0.1; desirable 1 - sigmoid(0.3-0.1) = 1/(1+e^0.2); undesirable 1 - sigmoid(0.1+0.2) = 1/(1+e^0.3)
    good, bad = 1 / (1 + math.exp(0.2)), 1 / (1 + math.exp(0.3))
    assert value("kto", beta=1.0) == pytest.approx(good + bad, abs=1e-6)
    assert value("kto", beta=1.0, desirable=2.0, undesirable=0.5) == pytest.approx(2 * good + 0.5 * bad, abs=1e-6)
    # below zero the reference point is zero: 1/(1+e^0.3) + 1/(1+e^0.2)
    assert value("kto", beta=1.0, kl=-3.0) == pytest.approx(good + bad, abs=1e-6)
    assert value("kto", beta=1.0, kl=2.0) == pytest.approx(1 / (1 + math.exp(-1.7)) + 1 / (1 + math.exp(2.2)), abs=1e-6)


def test_sft():
    assert value("sft", k=1) == pytest.approx(1.7, abs=1e-6)


@pytest.mark.parametrize("name", names())
def test_doubled_length_changes_what_is_declared(name):
    """Every token twice: a "mean" objective gives the same, and so does a "sum" that the loop divides by tokens; any other sum gives what
    the doubled log-probs give, whatever the lengths."""
    found = load(name)
    held = batch({"sft": 1, "solopo": 3}.get(name, 2))
    summed = {f: getattr(held, f) * 2 for f in ("logps", "reference", "slow", "nll", "nll_tokens", "nll_batch_tokens")}
    doubled = dataclasses.replace(held, **summed, lengths=held.lengths * 2)
    divisors = {"example": (1, 1), "answer": (2, 2), "token": (held.lengths.sum().item(), doubled.lengths.sum().item())}
    before, after = (found.loss(b).item() / d for b, d in zip((held, doubled), divisors[found.reduction]))
    if found.sequence == "mean" or found.reduction == "token":
        assert after == pytest.approx(before, rel=1e-5)
    else:
        assert abs(after / before - 1) > 1e-4
        assert found.loss(dataclasses.replace(doubled, lengths=held.lengths)).item() == found.loss(doubled).item()


def test_what_each_declares():
    """Those shipped; another file in the folder needs no line here."""
    assert {n: (o.branches, o.reduction, o.sequence) for n in names() for o in [load(n)]}.items() >= {
        "dpo": ("pair", "example", "sum"),
        "inpo": ("pair", "example", "sum"),
        "ipo": ("pair", "example", "sum"),
        "ipo_mean": ("pair", "example", "mean"),
        "kto": ("unpaired", "answer", "sum"),
        "longpo": ("pair", "example", "sum"),
        "orpo": ("pair", "example", "mean"),
        "orpo_trl": ("pair", "example", "mean"),
        "sft": ("single", "token", "sum"),
        "simpo": ("pair", "example", "mean"),
        "solopo": ("group", "example", "sum"),
        "sppo": ("group", "example", "sum"),
        "sppo_hard": ("pair", "example", "sum"),
    }.items()


def test_unknown_setting_and_objective():
    with pytest.raises(UserError, match="no setting 'bta'; it has beta, label_smoothing"):
        load_objective("dpo", {"bta": 1.0})
    with pytest.raises(UserError, match=r"dppo: unknown; there are .*dpo, .*inpo, ipo"):
        load_objective("dppo", {})


def test_what_judged_groups_do_not_hold_is_refused_at_once():
    with pytest.raises(UserError, match=r"objective inpo: it reads a slow reference's log-probs .* not make"):
        load_objective("inpo", {})
    with pytest.raises(
        UserError, match="objective longpo: it reads reference log-probs on each answer's short context"
    ):
        load_objective("longpo", {}, gives=("slow",))
    assert load_objective("inpo", {}, gives=("slow",)).reads == ("slow",)


OWN = """class hinge:
    BRANCHES, REFERENCE, REDUCTION = 'pair', True, 'example'
    @staticmethod
    def loss(batch, *, margin=1.0):
        return (margin - batch.margin(batch.logratio)).clamp(min=0)
class odd(hinge):
    REDUCTION = 'rows'
class odder(hinge):
    READS = ('nlls',)
"""


def test_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_hinges.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_objective("own_hinges:hinge", {"margin": 2.0}).loss(batch()).item() == pytest.approx(1.5, abs=1e-6)
    with pytest.raises(
        UserError, match=r"objective own_hinges:other: .*own_hinges.py has no 'other'; name what is there"
    ):
        load_objective("own_hinges:other", {})
    with pytest.raises(UserError, match="own_hinges:odd: REDUCTION is 'rows'; must be one of example, answer, token"):
        load_objective("own_hinges:odd", {})
    with pytest.raises(UserError, match="own_hinges:odder: READS has 'nlls'; must be of nll, desirable"):
        load_objective("own_hinges:odder", {})
