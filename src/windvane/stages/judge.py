"""Responses -> verdicts: every pair of a prompt's answers, asked in both orders and symmetrised.

A judge that sees (a, b) and (b, a) need not agree with itself: p = (p_ab + 1 - p_ba)/2 makes p_ij + p_ji = 1, and what was
left over, |p_ab + p_ba - 1|, is kept as order disagreement. A question without a usable answer leaves the pair unscored, with
its reason; what a judge remarks on a question that it answered (a text that it had to cut) is kept with the pair's probability.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from windvane.core.protocols import PairJudge, Question, Runner
from windvane.core.records import Prompt, Response, Verdict, batches, by_prompt
from windvane.core.schema import encode

Pair = tuple[Prompt, Response, Response]


def questions(pairs: Sequence[Pair]) -> list[Question]:
    """Two questions a pair, one in each order, in the order of `pairs`; their keys name pair and order."""
    found = []
    for prompt, a, b in pairs:
        key = f"{prompt.id}-{a.index}-{b.index}"
        found += [Question(f"{key}-ab", prompt, a, b), Question(f"{key}-ba", prompt, b, a)]
    return found


def verdicts(judge: PairJudge, prompts: Sequence[Prompt], answers: Sequence[Sequence[Response]]) -> list[Verdict]:
    """All K(K-1)/2 verdicts of each prompt; `answers[i]` are the K answers to `prompts[i]`."""
    pairs = [(p, a, b) for p, group in zip(prompts, answers) for a, b in combinations(group, 2)]
    return compare(judge, pairs)


def compare(judge: PairJudge, pairs: Sequence[Pair]) -> list[Verdict]:
    """One verdict a pair, whatever its indices: P(first of the pair wins), both orders asked."""
    asked = questions(pairs)
    told = judge.judge(asked)
    assert len(told) == len(asked), "a judge answers every question once"
    reasons = getattr(judge, "reasons", {})
    found = []
    for i, (prompt, a, b) in enumerate(pairs):
        key = asked[2 * i].key.removesuffix("-ab")
        p_ab, p_ba = told[2 * i], told[2 * i + 1]
        if p_ab is None or p_ba is None:
            bad = [q.key for q, p in zip(asked[2 * i : 2 * i + 2], (p_ab, p_ba)) if p is None]
            reason = "; ".join(reasons.get(k, f"no usable answer to {k}") for k in bad)
            found.append(Verdict(key, prompt.id, a.index, b.index, p_ab, p_ba, None, None, reason))
        else:
            p, gap = (p_ab + 1.0 - p_ba) / 2.0, abs(p_ab + p_ba - 1.0)
            remark = "; ".join(reasons[q.key] for q in asked[2 * i : 2 * i + 2] if q.key in reasons) or None
            found.append(Verdict(key, prompt.id, a.index, b.index, p_ab, p_ba, p, gap, remark))
    return found


def run_judge(
    runner: Runner,
    stage: str,
    judge: PairJudge,
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    batch_prompts: int,
) -> None:
    """Fill `stage` with Verdict records: every pair of every prompt's answers, a fixed batch of prompts a unit."""
    answers = by_prompt(responses)

    def work(batch: list[Prompt]) -> Iterable[dict[str, Any]]:
        return [encode(v) for v in verdicts(judge, batch, [answers.get(p.id, []) for p in batch])]

    runner.run(stage, batches(prompts, batch_prompts), work)
