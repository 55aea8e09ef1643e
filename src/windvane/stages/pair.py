"""Verdicts -> groups: win probabilities of each answer, which two are trained on, ties and cycles counted. Pure.

P(y beats the policy) is estimated from the K samples: p_loo, the mean over the other K-1 answers (unbiased), and p_incl, which
counts the answer against itself at 1/2 as the paper's (1/K) sum does: p_incl = ((K-1) p_loo + 1/2)/K (SPPO, arXiv 2405.00675,
section 4). `Pairing.estimate` says which pairwise probability is meant: "paper", the judge's own, symmetrised; or "released", what the
released `rank.py` and `compute_prob.py` compute, a sigmoid of differences of aggregated scores, which is always transitive.

`Pairing.choose` says which two answers are the pair. "best-worst" is the paper's. The best of K by a noisy judge looks better than it is,
because the verdicts that chose it also make its target; "cross-fit" chooses among the first ceil((K+1)/2) answers (in an order drawn by
the prompt's id) by their verdicts among themselves and takes the target from the other answers, which are samples of the policy that
had no part in the choice: K = 5 gives each candidate two opponents for the one and two for the other. "drawn" draws a pair and then its
winner from the judge's probability, as INPO has its data (arXiv 2407.00617).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.protocols import Runner
from windvane.core.records import Group, Member, Prompt, Response, Verdict, by_prompt, seed_of
from windvane.core.schema import encode
from windvane.stats.logistic import sigmoid

TIE = 1e-9  # win probabilities closer than this are the same number with another rounding
LOGIT_EDGE = 1e-6  # a judge's 0 or 1 is taken as this far from it, where a logit is asked for (PairRM's own are finite)
Wins = dict[tuple[int, int], float]  # (i, j) -> P(answer i beats answer j), both ways round
Estimate = Literal["paper", "released", "released-symmetrised"]
Choice = Literal["best-worst", "cross-fit", "drawn"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """`seed` draws pairs ("drawn") and candidates ("cross-fit"), together with the prompt's id."""

    estimate: Estimate = "paper"
    choose: Choice = "best-worst"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.choose == "cross-fit" and self.estimate != "paper":
            raise UserError(
                "answers: cross-fit keeps the verdicts that choose from those that make the target; the released estimate mixes "
                "all of them into one score: take --estimate paper"
            )


def inclusive(p_loo: float, others: int) -> float:
    """p_incl from p_loo and the number of other answers (K - 1)."""
    return (others * p_loo + 0.5) / (others + 1)


def effective_eta(eta: float, k: int, self_term: bool) -> float:
    """What eta amounts to on p_loo - 1/2: eta (p_incl - 1/2) = eta (K-1)/K (p_loo - 1/2). Runs with and without the self term are
    compared where this is equal."""
    return eta * (k - 1) / k if self_term else eta


def symmetrised(verdicts: Iterable[Verdict]) -> Wins:
    """The judge's own pairwise probabilities, those of failed verdicts left out."""
    told = [v for v in verdicts if v.p is not None]
    return {(v.a, v.b): v.p for v in told if v.p is not None} | {(v.b, v.a): 1.0 - v.p for v in told if v.p is not None}


def released(verdicts: Sequence[Verdict], ordered: bool = True) -> Wins:
    """p_ij = sigmoid(s_i - s_j) with s_i = (1/K) sum over k of (M[i,k] - M[k,i]), the diagonal 0 (rank.py, compute_prob.py).

    M[i,k] is the judge's logit that i beats k: with i shown first (`ordered`, as PairRM gives it), or of the symmetrised probability,
    for which M[k,i] = -M[i,k]. Where verdicts failed, K counts an answer's judged opponents and itself.
    """
    gaps: dict[int, list[float]] = {}
    for v in verdicts:
        if v.p is None or v.p_ab is None or v.p_ba is None:
            continue
        gap = _logit(v.p_ab) - _logit(v.p_ba) if ordered else 2.0 * _logit(v.p)
        gaps.setdefault(v.a, []).append(gap)
        gaps.setdefault(v.b, []).append(-gap)
    score = {i: math.fsum(values) / (len(values) + 1) for i, values in gaps.items()}
    return {(i, j): sigmoid(score[i] - score[j]) for i in score for j in score if i != j}


def _logit(p: float) -> float:
    p = min(max(p, LOGIT_EDGE), 1.0 - LOGIT_EDGE)
    return math.log(p) - math.log1p(-p)


ESTIMATES: dict[str, Callable[[Sequence[Verdict]], Wins]] = {
    "paper": symmetrised,
    "released": released,
    "released-symmetrised": lambda verdicts: released(verdicts, ordered=False),
}


def group(
    prompt_id: str, answers: Sequence[Response], verdicts: Sequence[Verdict], pairing: Pairing = Pairing()
) -> Group:
    """The preferences of one prompt from its answers and their verdicts (a verdict's p may be None)."""
    judged = symmetrised(verdicts)
    wins = ESTIMATES[pairing.estimate](verdicts)
    indices = [a.index for a in answers]
    rng = random.Random(seed_of(pairing.seed, pairing.choose, prompt_id))
    if pairing.choose == "cross-fit":
        members, picked = _cross_fit(answers, wins, rng)
    else:
        members = [m for a in answers if (m := _member(a, wins, indices, indices)) is not None]
        picked = _drawn(judged, rng) if pairing.choose == "drawn" else _ends({m.index: m.p_loo for m in members})
    chosen, rejected, status = _checked(picked, members, answers)
    cyclic, triples = count_cycles(judged, indices)
    gaps = [v.disagreement for v in verdicts if v.disagreement is not None]
    return Group(
        id=prompt_id,
        members=tuple(members),
        chosen=chosen,
        rejected=rejected,
        status=status,
        judged_pairs=len(gaps),
        failed_pairs=sum(v.p is None for v in verdicts),
        tied_pairs=sum(v.p is not None and abs(v.p - 0.5) < TIE for v in verdicts),
        disagreement=sum(gaps) / len(gaps) if gaps else None,
        cyclic_triples=cyclic,
        triples=triples,
    )


def _mean(answer: int, wins: Wins, opponents: Iterable[int]) -> float | None:
    """Mean P(wins) against those of `opponents` that it was judged with."""
    found = [wins[answer, other] for other in opponents if (answer, other) in wins]
    return sum(found) / len(found) if found else None


def _member(answer: Response, wins: Wins, opponents: Sequence[int], everyone: Sequence[int]) -> Member | None:
    """p_loo is taken against `opponents`; p_incl weighs it as against `everyone`, so that all ways to choose share one scale."""
    loo = _mean(answer.index, wins, opponents)
    if loo is None:
        return None
    others = sum((answer.index, other) in wins for other in everyone)
    return Member(answer.index, answer.id, loo, inclusive(loo, others))


def _ends(p: dict[int, float]) -> tuple[int, int] | str:
    """Best and worst, the lower index where probabilities are equal; "tie" where all are."""
    if len(p) < 2:
        return "few"
    best, worst = max(p, key=lambda i: (p[i], -i)), min(p, key=lambda i: (p[i], i))
    return "tie" if p[best] - p[worst] < TIE else (best, worst)


def _cross_fit(
    answers: Sequence[Response], wins: Wins, rng: random.Random
) -> tuple[list[Member], tuple[int, int] | str]:
    """Members are the candidates alone, each with its target from the answers that are none."""
    everyone = sorted(a.index for a in answers)
    order = rng.sample(everyone, len(everyone))
    candidates, others = sorted(order[: len(order) // 2 + 1]), order[len(order) // 2 + 1 :]
    scores = {i: _mean(i, wins, candidates) for i in candidates}
    found = [_member(a, wins, others, everyone) for a in answers if scores.get(a.index) is not None]
    members = [m for m in found if m is not None]
    return members, _ends({m.index: score for m in members if (score := scores[m.index]) is not None})


def _drawn(judged: Wins, rng: random.Random) -> tuple[int, int] | str:
    """A judged pair, each as likely; its winner from the judge's probability."""
    pairs = sorted(pair for pair in judged if pair[0] < pair[1])
    if not pairs:
        return "few"
    a, b = rng.choice(pairs)
    return (a, b) if rng.random() < judged[a, b] else (b, a)


def _checked(
    picked: tuple[int, int] | str, members: Sequence[Member], answers: Sequence[Response]
) -> tuple[int | None, int | None, str]:
    if not members:
        return None, None, "failed" if len(answers) > 1 else "few"
    if isinstance(picked, str):
        return None, None, picked
    tokens = {a.index: a.token_ids or a.text for a in answers}  # a server may give text alone
    if tokens[picked[0]] == tokens[picked[1]]:
        return None, None, "same"
    return *picked, "pair"


def count_cycles(p: Wins, indices: Sequence[int]) -> tuple[int, int]:
    """(cyclic triples, triples with all three pairs judged); a triple is cyclic when each beats the next at p > 1/2."""
    cyclic = total = 0
    for i, j, k in combinations(indices, 3):
        if (i, j) in p and (j, k) in p and (i, k) in p:
            total += 1
            around = (p[i, j] - 0.5, p[j, k] - 0.5, p[k, i] - 0.5)
            cyclic += all(x > TIE for x in around) or all(x < -TIE for x in around)
    return cyclic, total


def run_pair(
    runner: Runner,
    stage: str,
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    verdicts: Sequence[Verdict],
    pairing: Pairing = Pairing(),
) -> None:
    """Fill `stage` with a Group record a prompt."""
    answers = by_prompt(responses)
    told: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        told.setdefault(verdict.prompt_id, []).append(verdict)

    def work(batch: Sequence[Prompt]) -> Iterable[dict[str, Any]]:
        return [encode(group(p.id, answers.get(p.id, []), told.get(p.id, []), pairing)) for p in batch]

    runner.run(stage, [("all", prompts)], work)
