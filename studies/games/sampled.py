"""What preference optimization does in a tabular game when answers are sampled: K a prompt, gradient steps on the shipped losses.

In: a game [N, N] a seed, start logits, an objective of `windvane.losses`. Out: duality gaps of the last and the average policy, for R
seeds at once. All prompts share one softmax policy. Each iteration draws K answers to each of S prompts from pi_t, asks the judge for all
P(y_i beats y_k), estimates P(y beats pi_t) from the other K-1, and takes Adam steps on the loss: best against worst for pair objectives,
all K or best and worst for groups. Seeds never mix: each has its own draws, and a loss is summed over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.games.exact import Course
from studies.games.game import check_game, duality_gap
from windvane.losses.batch import Batch, load_objective


@dataclass(frozen=True, slots=True)
class Method:
    """`objective` with its settings; `answers`: "all" or "best-worst"; `fixed`: the reference stays the start (else pi_t); `renew`:
    iterations between renewals of the slow reference (0: it stays the start), for an objective that reads one."""

    objective: str
    objective_args: dict[str, float]
    answers: str = "best-worst"
    fixed: bool = False
    renew: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What one iteration may use."""

    prompts: int = 128
    k: int = 5
    steps: int = 40
    lr: float = 0.05


def draw(log_pi: Tensor, p: Tensor, budget: Budget, generators: list[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Answers [R, S, K] of each run's policy and their mean win probability against the other K - 1 [R, S, K]."""
    n = budget.prompts * budget.k
    y = torch.stack([torch.multinomial(row.exp(), n, True, generator=g) for row, g in zip(log_pi, generators)])
    y = y.view(len(log_pi), budget.prompts, budget.k)
    runs = torch.arange(len(y))[:, None, None, None]
    wins = p[runs, y[..., :, None], y[..., None, :]]
    return y, (wins.sum(-1) - 0.5) / (budget.k - 1)


def play_sampled(
    method: Method, start: np.ndarray, p: np.ndarray, iterations: int, budget: Budget, seeds: list[int]
) -> Course:
    """`iterations` from logits `start` [R, N] in games `p` [R, N, N]; run r draws from `seeds[r]` alone."""
    check_game(p)
    assert len(start) == len(p) == len(seeds)
    objective = load_objective(method.objective, method.objective_args, gives=("slow",))
    games = torch.tensor(p, dtype=torch.float32)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    logits = torch.tensor(start, dtype=torch.float32)
    first = slow = logits.log_softmax(-1)
    mean = np.zeros(start.shape)
    last, average = [], []
    for t in range(iterations):
        now = logits.log_softmax(-1)
        if method.renew and t % method.renew == 0:
            slow = now
        y, p_win = draw(now, games, budget, generators)
        real = torch.ones(y.shape[:2], dtype=torch.bool)
        if method.answers == "best-worst":
            which = torch.stack([p_win.argmax(-1), p_win.argmin(-1)], -1)
            y, p_win = y.gather(-1, which), p_win.gather(-1, which)
            real = y[..., 0] != y[..., 1]  # the same answer twice is no pair
        logits = _descend(objective.loss, logits, first if method.fixed else now, slow, y, p_win, real, budget)
        policy = logits.softmax(-1).double().numpy()
        mean += policy
        last.append(duality_gap(policy, p))
        average.append(duality_gap(mean / (t + 1), p))
    return Course(np.array(last), np.array(average))


def _descend(
    loss: object,
    logits: Tensor,
    reference: Tensor,
    slow: Tensor,
    y: Tensor,
    p_win: Tensor,
    real: Tensor,
    budget: Budget,
) -> Tensor:
    """Adam on the summed loss of this iteration's answers; a run without a pair stays where it is."""
    assert callable(loss)
    logits = logits.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=budget.lr)
    runs = torch.arange(len(y))[:, None, None]
    flat = y.flatten(0, 1)
    ones = torch.ones_like(flat)
    fixed = {
        "reference": reference[runs, y].flatten(0, 1),
        "p_win": p_win.flatten(0, 1),
        "lengths": ones,
        "mask": ones.bool(),
        "slow": slow[runs, y].flatten(0, 1),
    }
    for _ in range(budget.steps):
        logps = logits.log_softmax(-1)[runs, y].flatten(0, 1)
        losses = torch.where(real.flatten(), loss(Batch(logps=logps, **fixed)), 0.0)
        optimizer.zero_grad()
        (losses.sum() / budget.prompts).backward()
        optimizer.step()
    return logits.detach()
