"""Tabular games: the matrices, the updates against other ways to compute them, and the theorem's bound."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from studies.games import exact
from studies.games.game import (
    CYCLE,
    TRANSITIVE_SCORES,
    bradley_terry,
    check_game,
    duality_gap,
    named_game,
    random_game,
    regret_bound,
)
from studies.games.sampled import Budget, Method, draw, play_sampled

GAMES = ("transitive", "cycle", "cycle-dominated", "random")


def nash(p):
    """The Nash policy by linear programming: maximise v with pi^T P >= v in every column."""
    n = len(p)
    found = linprog(
        np.r_[np.zeros(n), -1.0],
        A_ub=np.c_[-p.T, np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(n), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, 1)] * n + [(None, None)],
    )
    return found.x[:n], found.x[n]


@pytest.mark.parametrize("name", GAMES)
def test_a_nash_policy_has_no_gap_and_value_one_half(name):
    p = named_game(name, 3)
    check_game(p)
    policy, value = nash(p)
    assert value == pytest.approx(0.5, abs=1e-9)
    assert duality_gap(policy, p) == pytest.approx(0.0, abs=1e-7)


def test_gap_by_hand():
    # Against always-A the best answer is C (.8): 2 (.8 - .5). Against (.3, .3, .4) every answer wins 1/2.
    assert duality_gap(np.array([1.0, 0.0, 0.0]), np.array(CYCLE)) == pytest.approx(0.6)
    assert duality_gap(np.array([0.3, 0.3, 0.4]), np.array(CYCLE)) == pytest.approx(0.0)
    assert bradley_terry((1.0, 0.0))[0, 1] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_random_games_differ_and_repeat():
    assert np.array_equal(random_game(5, 1), random_game(5, 1))
    assert not np.allclose(random_game(5, 1), random_game(5, 2))


def start(n, runs=4, seed=0):
    return exact.normalise(np.random.default_rng(seed).normal(size=(runs, n)))


def test_ipo_on_all_pairs_is_the_sppo_step():
    """IPO's regression, solved by least squares over all ordered pairs weighted by pi x pi, gives SPPO's closed form."""
    p, tau = named_game("random", 7), 0.7
    log_pi = start(5, runs=1)[0]
    pi = np.exp(log_pi)
    rows, targets, weights = [], [], []
    for i in range(5):
        for j in range(5):
            rows.append(np.eye(5)[i] - np.eye(5)[j])
            targets.append((p[i, j] - 0.5) / tau)  # the mean of +-1/(2 tau) under P
            weights.append(np.sqrt(pi[i] * pi[j]))
    h = np.linalg.lstsq(np.array(rows) * np.array(weights)[:, None], np.array(targets) * weights, rcond=None)[0]
    assert np.allclose(exact.normalise(log_pi + h), exact.sppo(log_pi[None], p[None], 1 / tau)[0], atol=1e-9)
    assert np.allclose(
        exact.inpo(log_pi[None], start(5, 1, seed=9), p[None], tau, 0.0), exact.sppo(log_pi[None], p[None], 1 / tau)
    )


def test_inpo_step_is_the_minimum_of_its_loss():
    """The closed form against the shipped loss, minimised over logits on every pair with P's labels."""
    from windvane.losses.batch import Batch
    from windvane.losses.inpo import loss

    p, eta, tau = named_game("random", 4), 1.3, 0.4
    now, slow = start(4, 1, 1)[0], start(4, 1, 2)[0]
    p = p[:4, :4]
    i, j = (x.ravel() for x in np.meshgrid(range(4), range(4), indexing="ij"))
    pairs = torch.tensor(np.stack([i, j], 1))
    weights = torch.tensor(np.exp(now)[i] * np.exp(now)[j] * p[i, j])  # i is the winner with probability P

    def objective(x):
        logits = torch.tensor(x, requires_grad=True)
        batch = Batch(
            logps=logits.log_softmax(0)[pairs],
            reference=torch.tensor(now)[pairs],
            slow=torch.tensor(slow)[pairs],
            p_win=torch.zeros(16, 2),
            lengths=torch.ones(16, 2),
            mask=torch.ones(16, 2, dtype=torch.bool),
        )
        value = (loss(batch, eta=eta, tau=tau) * weights).sum()
        value.backward()
        return value.item(), logits.grad.numpy()

    found = exact.normalise(minimize(objective, np.zeros(4), jac=True, tol=1e-14).x)
    assert np.allclose(found, exact.inpo(now[None], slow[None], p[None], eta, tau)[0], atol=1e-5)


def test_dpo_fit_recovers_scores_and_is_the_maximum_likelihood():
    weights = np.exp(start(5, runs=1))
    fitted = exact.bradley_terry_fit(weights, bradley_terry(TRANSITIVE_SCORES)[None])[0]
    assert np.allclose(np.diff(fitted), np.diff(TRANSITIVE_SCORES), atol=1e-8)
    p, w = named_game("cycle", 0), np.exp(start(3, runs=1, seed=5))[0]

    def loss(r):
        return -sum(w[i] * w[j] * p[i, j] * np.log(1 / (1 + np.exp(r[j] - r[i]))) for i in range(3) for j in range(3))

    found = minimize(loss, np.zeros(3), tol=1e-14).x
    assert np.allclose(np.diff(exact.bradley_terry_fit(w[None], p[None])[0]), np.diff(found), atol=1e-5)


def test_sppo_step_by_hand():
    pi = np.array([0.5, 0.25, 0.25])
    wins = np.array(CYCLE) @ pi
    assert wins == pytest.approx([0.525, 0.375, 0.575])
    expected = pi * np.exp(2.0 * wins)
    got = np.exp(exact.sppo(np.log(pi)[None], np.array(CYCLE)[None], 2.0)[0])
    assert got == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize("name", GAMES)
def test_average_policy_stays_under_the_bound_and_shrinks_as_the_theorem_says(name):
    p = np.stack([named_game(name, s) for s in range(4)])
    first = start(p.shape[1])
    scale = np.sqrt(8 * np.log(p.shape[1]))
    gaps = [exact.average_gap(first, p, T, scale / T**0.5) for T in (64, 1024)]
    for T, gap in zip((64, 1024), gaps):
        assert np.all(gap <= regret_bound(np.exp(first), scale / T**0.5, T))
    slope = np.log(gaps[1].mean() / gaps[0].mean()) / np.log(16)
    assert slope < -0.4


def test_the_last_iterate_orbits_where_the_game_cycles_and_a_slow_reference_stops_it():
    p, first = np.array(CYCLE)[None], start(3, runs=1)
    sppo = exact.play("sppo", first, p, 100, {"eta": 1.0})
    inpo = exact.play("inpo", first, p, 100, {"eta": 1.0, "tau": 0.1, "renew": 20})
    dpo = exact.play("dpo-fixed", first, p, 100, {"beta": 1.0})
    assert sppo.last[-20:].max() > 0.3 and sppo.average[-1, 0] < 0.06
    assert inpo.last[-1, 0] < 0.02
    assert dpo.last[-1, 0] > 0.05, "a fixed reference stops somewhere, and not at the Nash policy"


def test_draws_are_of_the_policy_and_estimate_its_win_probability():
    p = torch.tensor([CYCLE, CYCLE])
    log_pi = torch.tensor([[0.2, 0.3, 0.5], [0.8, 0.1, 0.1]]).log()
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    y, wins = draw(log_pi, p, Budget(prompts=4000, k=5), generators)
    assert y.shape == wins.shape == (2, 4000, 5)
    for run in range(2):
        share = np.bincount(y[run].ravel(), minlength=3) / y[run].numel()
        assert np.allclose(share, log_pi[run].exp(), atol=0.015)
        for answer in range(3):
            true = (p[run, answer] @ log_pi[run].exp()).item()
            assert wins[run][y[run] == answer].mean().item() == pytest.approx(true, abs=0.02)


def test_sampled_sppo_on_all_answers_follows_the_exact_step():
    """With many answers and small eta, one iteration of the sampled loss lands where multiplicative weights does. (The loss puts 1/2 for
    log Z/eta, which is what it tends to as eta does to 0: a policy beats itself half of the time.)"""
    p, first = np.array(CYCLE)[None], start(3, runs=1)
    budget = Budget(prompts=3000, k=5, steps=200, lr=0.03)
    logits = exact.normalise(first)
    from studies.games import sampled

    generators = [torch.Generator().manual_seed(0)]
    y, wins = draw(torch.tensor(logits, dtype=torch.float32), torch.tensor(p, dtype=torch.float32), budget, generators)
    now = torch.tensor(logits, dtype=torch.float32).log_softmax(-1)
    from windvane.losses.batch import load_objective

    loss = load_objective("sppo", {"eta": 0.3}).loss
    real = torch.ones(y.shape[:2], dtype=torch.bool)
    moved = sampled._descend(loss, now, now, now, y, wins, real, budget).softmax(-1).numpy()
    assert np.allclose(moved, np.exp(exact.sppo(logits, p, 0.3)), atol=0.01)
    assert np.abs(moved - np.exp(logits)).max() > 0.005
    none = torch.zeros(y.shape[:2], dtype=torch.bool)  # no pair is a pair: nothing is learnt
    assert torch.equal(sampled._descend(loss, now, now, now, y, wins, none, Budget(steps=2)), now)


def test_seeds_do_not_mix_and_pairs_of_one_answer_teach_nothing():
    p = np.stack([np.array(CYCLE)] * 2)
    first = start(3, runs=2)
    budget = Budget(prompts=16, k=3, steps=5)
    method = Method("dpo", {"beta": 1.0})
    both = play_sampled(method, first, p, 3, budget, [11, 12])
    alone = play_sampled(method, first[1:], p[1:], 3, budget, [12])
    assert np.allclose(both.last[:, 1], alone.last[:, 0], atol=1e-6)
    certain = np.array([[50.0, 0.0, 0.0]])
    stays = play_sampled(method, certain, p[:1], 2, budget, [1])
    assert np.allclose(stays.last, 0.6)
