"""Verdicts -> groups: win probabilities of each answer, best and worst, ties and cycles counted. Pure.

P(y beats the policy) is estimated from the K samples: p_loo, the mean over the other K-1 answers (unbiased), and p_incl, which
counts the answer against itself at 1/2 as the paper's (1/K) sum does: p_incl = ((K-1) p_loo + 1/2)/K (SPPO, arXiv 2405.00675,
section 4). Departure: the released code takes a sigmoid of aggregated score differences; here P is the mean of pairwise
probabilities, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from windvane.protocols import Runner
from windvane.records import Group, Member, Prompt, Response, Verdict, by_prompt
from windvane.schema import encode

TIE = 1e-9  # win probabilities closer than this are the same number with another rounding


def inclusive(p_loo: float, others: int) -> float:
    """p_incl from p_loo and the number of other answers (K - 1)."""
    return (others * p_loo + 0.5) / (others + 1)


def group(prompt_id: str, answers: Sequence[Response], verdicts: Sequence[Verdict]) -> Group:
    """The preferences of one prompt from its answers and their verdicts (a verdict's p may be None)."""
    p = {(v.a, v.b): v.p for v in verdicts if v.p is not None} | {
        (v.b, v.a): 1.0 - v.p for v in verdicts if v.p is not None
    }
    members = []
    for answer in answers:
        wins = [p[answer.index, other.index] for other in answers if (answer.index, other.index) in p]
        if wins:
            loo = sum(wins) / len(wins)
            members.append(Member(answer.index, answer.id, loo, inclusive(loo, len(wins))))
    chosen, rejected, status = _best_and_worst(members, answers)
    cyclic, triples = count_cycles(p, [m.index for m in members])
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


def _best_and_worst(members: list[Member], answers: Sequence[Response]) -> tuple[int | None, int | None, str]:
    if not members:
        return None, None, "failed" if len(answers) > 1 else "few"
    if len(members) < 2:
        return None, None, "few"
    best = max(members, key=lambda m: (m.p_loo, -m.index))
    worst = min(members, key=lambda m: (m.p_loo, m.index))
    if best.p_loo - worst.p_loo < TIE:
        return None, None, "tie"
    tokens = {a.index: a.token_ids or a.text for a in answers}  # a server may give text alone
    if tokens[best.index] == tokens[worst.index]:
        return None, None, "same"
    return best.index, worst.index, "pair"


def count_cycles(p: dict[tuple[int, int], float], indices: Sequence[int]) -> tuple[int, int]:
    """(cyclic triples, triples with all three pairs judged); a triple is cyclic when each beats the next at p > 1/2."""
    cyclic = total = 0
    for i, j, k in combinations(indices, 3):
        if (i, j) in p and (j, k) in p and (i, k) in p:
            total += 1
            around = (p[i, j] - 0.5, p[j, k] - 0.5, p[k, i] - 0.5)
            cyclic += all(x > TIE for x in around) or all(x < -TIE for x in around)
    return cyclic, total


def run_pair(
    runner: Runner, stage: str, prompts: Sequence[Prompt], responses: Sequence[Response], verdicts: Sequence[Verdict]
) -> None:
    """Fill `stage` with a Group record a prompt."""
    answers = by_prompt(responses)
    told: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        told.setdefault(verdict.prompt_id, []).append(verdict)

    def work(batch: Sequence[Prompt]) -> Iterable[dict[str, Any]]:
        return [encode(group(p.id, answers.get(p.id, []), told.get(p.id, []))) for p in batch]

    runner.run(stage, [("all", prompts)], work)
