"""Preference games with a finite set of answers: the matrix, and how far a policy is from the Nash policy.

In: a matrix P [N, N] of P(i beats j), P + P^T = 1, and policies over its N answers. Out: duality gaps. SPPO (arXiv 2405.00675, section 3)
takes alignment as such a game, max over pi of the least P(pi beats pi'); it is symmetric, so its value is 1/2 and at a Nash policy no
answer wins more often than that. What policies do in such games is in studies/games/exact.py (whole expectations) and
studies/games/sampled.py (K
answers, gradient steps on the losses of `windvane.losses`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# A beats B 9 times in 10, B beats C and C beats A 8 times in 10: the Nash policy is (.3, .3, .4), whose every answer wins 1/2.
CYCLE = ((0.5, 0.9, 0.2), (0.1, 0.5, 0.8), (0.8, 0.2, 0.5))
# The same cycle and two answers that lose to all three (D to A, B, C at .4; E at .1, but to D at .05).
CYCLE_DOMINATED = (
    (0.5, 0.9, 0.2, 0.6, 0.9),
    (0.1, 0.5, 0.8, 0.6, 0.9),
    (0.8, 0.2, 0.5, 0.6, 0.9),
    (0.4, 0.4, 0.4, 0.5, 0.95),
    (0.1, 0.1, 0.1, 0.05, 0.5),
)
TRANSITIVE_SCORES = (1.5, 0.8, 0.0, -0.5, -1.0)  # logits of a Bradley-Terry judge


def bradley_terry(scores: Sequence[float]) -> np.ndarray:
    """[N, N] P(i beats j) = sigmoid(s_i - s_j): the transitive case, with a best answer."""
    s = np.asarray(scores, dtype=float)
    return 1.0 / (1.0 + np.exp(s[None, :] - s[:, None]))


def random_game(n: int, seed: int, spread: float = 1.5) -> np.ndarray:
    """[n, n] a general preference: the logits of P above the diagonal are normal with standard deviation `spread` * sqrt(2)."""
    draws = np.random.default_rng(seed).normal(size=(n, n)) * spread
    return 1.0 / (1.0 + np.exp(draws.T - draws))


def named_game(name: str, seed: int) -> np.ndarray:
    """ "transitive", "cycle", "cycle-dominated", or "random": five answers, another game for every seed."""
    if name == "random":
        return random_game(5, seed)
    return {
        "transitive": bradley_terry(TRANSITIVE_SCORES),
        "cycle": np.array(CYCLE),
        "cycle-dominated": np.array(CYCLE_DOMINATED),
    }[name]


def check_game(p: np.ndarray) -> None:
    """A programmer's check: square, probabilities, P + P^T = 1."""
    assert p.ndim >= 2 and p.shape[-1] == p.shape[-2], "a preference matrix is square"
    assert np.all((p >= 0) & (p <= 1)) and np.allclose(p + np.swapaxes(p, -1, -2), 1.0), (
        "P(i beats j) + P(j beats i) = 1"
    )


def duality_gap(policy: np.ndarray, p: np.ndarray) -> np.ndarray:
    """max over pi' of P(pi' beats pi) minus min over pi' of P(pi beats pi'), for policies [..., N] and matrices [..., N, N]: in a
    symmetric game 2 (max over i of P(i beats pi) - 1/2). 0 at a Nash policy, at most 1 (SPPO, theorem 4.1)."""
    beats = np.einsum("...ij,...j->...i", p, policy)
    return 2.0 * (beats.max(-1) - 0.5)


def regret_bound(start: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """What the duality gap of multiplicative weights' average policy cannot exceed after `steps` from policies `start` [..., N]:
    2 ( max over y of log(1/pi_1(y)) / (eta T) + eta/8 ), by Hoeffding's lemma (rewards lie in [0, 1]; Freund and Schapire 1999)."""
    return 2.0 * (-np.log(start).min(-1) / (eta * steps) + eta / 8.0)
