"""What preference optimization does in a tabular game when nothing is estimated: every update at its population optimum.

In: a batch of R runs, log-policies [R, N] and matrices [R, N, N]. Out: the next log-policies, or the whole course's duality gaps. Pairs are
two independent answers of the current policy, the label drawn from P. Then

    sppo  pi' ~ pi exp(eta P(y beats pi))                                          SPPO, arXiv 2405.00675, eq. 4.1
    ipo   the same at eta = 1/tau, pi its moving reference                          IPO, arXiv 2310.12036, eq. 17
    dpo   pi' ~ ref exp(r/beta), r the Bradley-Terry fit to those pairs             DPO, arXiv 2305.18290; ref = pi or the start
    inpo  pi' ~ slow^(tau/eta) pi^(1 - tau/eta) exp(P(y beats pi)/eta)              INPO, arXiv 2407.00617; slow renewed now and then
                                                                                   as in COMAL, arXiv 2410.23223

IPO regresses h(y) - h(y') on (P(y beats y') - 1/2)/tau under pi x pi; its additive optimum is P(y beats pi)/tau: SPPO's own step. So in
this limit the two are one method; they part when answers are sampled (studies/games/sampled.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.games.game import check_game, duality_gap

FLOOR = -60.0  # log-probability below which an answer counts as gone: keeps what is nearly impossible finite


@dataclass(frozen=True, slots=True)
class Course:
    """`last` and `average` [T, R]: the duality gap of the t-th policy and of the mean of policies 1..t."""

    last: np.ndarray
    average: np.ndarray


def normalise(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, none below FLOOR."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_pi = np.maximum(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), FLOOR)
    return log_pi - np.log(np.exp(log_pi).sum(-1, keepdims=True))


def beats(log_pi: np.ndarray, p: np.ndarray) -> np.ndarray:
    """[R, N] P(y beats pi)."""
    return np.einsum("rij,rj->ri", p, np.exp(log_pi))


def sppo(log_pi: np.ndarray, p: np.ndarray, eta: float) -> np.ndarray:
    """The multiplicative-weights step."""
    return normalise(log_pi + eta * beats(log_pi, p))


def inpo(log_pi: np.ndarray, slow: np.ndarray, p: np.ndarray, eta: float, tau: float) -> np.ndarray:
    """The mirror-descent step towards `slow` [R, N]; tau = 0 is IPO's."""
    return normalise((tau / eta) * slow + (1 - tau / eta) * log_pi + beats(log_pi, p) / eta)


def bradley_terry_fit(weights: np.ndarray, p: np.ndarray) -> np.ndarray:
    """[R, N] rewards r, of mean 0 under the weights, that maximise the likelihood of pairs drawn from `weights` [R, N] twice and
    labelled by P: sum_j w_j (P_ij - sigmoid(r_i - r_j)) = 0 for every i, by Newton's method."""
    r = np.zeros_like(weights)
    for _ in range(200):
        wins = 1.0 / (1.0 + np.exp(np.clip(r[:, None, :] - r[:, :, None], -500, 500)))
        gradient = np.einsum("rj,rij->ri", weights, p - wins)
        if np.abs(gradient).max() < 1e-11:
            return r
        slope = weights[:, None, :] * wins * (1.0 - wins)
        jacobian = np.einsum("rij->ri", slope)[:, :, None] * np.eye(r.shape[1]) - slope
        # The rewards are free up to a constant: pinning their weighted mean makes the system regular and changes no difference.
        step = np.linalg.solve(jacobian + weights[:, None, :], gradient[..., None])[..., 0]
        r = r + np.clip(step, -2.0, 2.0)
        r = r - (weights * r).sum(-1, keepdims=True)
    raise AssertionError(f"the Bradley-Terry fit did not converge: residual {np.abs(gradient).max():.2g}")


def dpo(log_pi: np.ndarray, reference: np.ndarray, p: np.ndarray, beta: float) -> np.ndarray:
    """DPO's optimum on pairs of the current policy, with `reference` [R, N] as its reference."""
    return normalise(reference + bradley_terry_fit(np.exp(log_pi), p) / beta)


def play(method: str, start: np.ndarray, p: np.ndarray, steps: int, settings: dict[str, float]) -> Course:
    """`steps` updates from log-policies `start` [R, N]. `method`: sppo {eta}, ipo {tau}, dpo {beta}, dpo-fixed {beta}, inpo {eta, tau,
    renew: steps between renewals of the slow reference}."""
    check_game(p)
    log_pi = slow = first = normalise(start)
    mean = np.zeros_like(log_pi)
    last, average = [], []
    for t in range(steps):
        if method == "sppo":
            log_pi = sppo(log_pi, p, settings["eta"])
        elif method == "ipo":
            log_pi = sppo(log_pi, p, 1.0 / settings["tau"])
        elif method in ("dpo", "dpo-fixed"):
            log_pi = dpo(log_pi, first if method == "dpo-fixed" else log_pi, p, settings["beta"])
        elif method == "inpo":
            if t % int(settings["renew"]) == 0:
                slow = log_pi
            log_pi = inpo(log_pi, slow, p, settings["eta"], settings["tau"])
        else:
            raise AssertionError(f"no method {method}")
        mean += np.exp(log_pi)
        last.append(duality_gap(np.exp(log_pi), p))
        average.append(duality_gap(mean / (t + 1), p))
    return Course(np.array(last), np.array(average))


def average_gap(start: np.ndarray, p: np.ndarray, steps: int, eta: float) -> np.ndarray:
    """[R] the duality gap of the mean of pi_1..pi_T (the start included, as in theorem 4.1's mixture) after T = `steps`."""
    log_pi = normalise(start)
    mean = np.zeros_like(log_pi)
    for _ in range(steps):
        mean += np.exp(log_pi)
        log_pi = sppo(log_pi, p, eta)
    return duality_gap(mean / steps, p)
