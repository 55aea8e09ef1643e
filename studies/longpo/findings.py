"""What else the LongPO claim looks at beside its primary contrast, each with a rule that was fixed before the run.

In: the runs of every arm and the claim's figures. Out: findings. But where a statement says otherwise, it holds where the 95% interval over
seeds lies on its side of 0, and does not where it lies on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from studies.record import Finding, agreed, contrast, gap_finding, over_seeds, shown, verdict
from windvane.toy.facts import family as facts

MARGIN = 0.05  # share of the short skills that may be lost and still be called kept
NATS_MARGIN = 0.02  # nats a token of short documents, likewise
WEIGHTS = ("longpo-1.3", "longpo-0.1")  # arms of LongPO's loss with another lam
FORGOTTEN = 0.1  # share of the short skills: a loss that two seeds can show

Runs = dict[str, list[dict[str, Any]]]
Point = dict[str, float]


def findings(runs: Runs, figures: dict[str, Any]) -> list[Finding]:
    """Gain, the comparison with each arm, retention, matched drift, the rate, the data."""
    lengths, target, start = figures["lengths"], figures["target"], figures["start"]
    at = lengths.index(target)
    ours = runs["longpo"]
    found = [
        gap_finding(
            "LongPO's right answers at the longest trained length are above the start's",
            [r["end"]["right"][at] - s["right"][at] for r, s in zip(ours, start)],
            "LongPO - start",
        )
    ]
    for other in ("theta", "dpo"):
        if other in runs:
            gain = contrast([r["end"]["each"] for r in ours], [r["end"]["each"] for r in runs[other]])
            found.append(Finding(f"... above {other}'s (seeds first, questions within)", verdict(gain), shown(gain)))
    for other in ("sft", "dpo", "theta"):
        if other in runs:
            gaps = [a["end"]["right"][-1] - b["end"]["right"][-1] for a, b in zip(ours, runs[other])]
            words = f"At {lengths[-1]} tokens, never trained on, LongPO's right answers are above {other}'s"
            found.append(gap_finding(words, gaps, f"LongPO - {other}"))
    return [
        *found,
        *_kept(runs, figures),
        *_matched(runs),
        *_rate(runs, figures),
        *_weight(runs, figures),
        *_data(figures),
    ]


def short(end: dict[str, Any], lengths: Sequence[int]) -> float:
    """The short skills: mean of right at the length taught and of lists reversed."""
    return float(end["right"][list(lengths).index(facts.LENGTH)] + end["reversed"]) / 2


def _kept(runs: Runs, figures: dict[str, Any]) -> list[Finding]:
    lengths, start = figures["lengths"], figures["start"]
    found = []
    for arm in ("longpo", "sft", "dpo"):
        if arm in runs:
            lost = [short(s, lengths) - short(r["end"], lengths) for r, s in zip(runs[arm], start)]
            within = over_seeds([MARGIN - v for v in lost])
            statement = f"{arm} keeps the short skills: it loses less than {MARGIN} of them"
            found.append(Finding(statement, verdict(within), f"start - {arm} {shown(over_seeds(lost))}"))
    for arm in ("sft", "dpo"):
        if arm in runs:
            gaps = [short(a["end"], lengths) - short(b["end"], lengths) for a, b in zip(runs["longpo"], runs[arm])]
            found.append(gap_finding(f"LongPO keeps more of the short skills than {arm}", gaps, f"LongPO - {arm}"))
    rise = [r["end"]["nats"] - s["nats"] for r, s in zip(runs["longpo"], start)]
    within = over_seeds([NATS_MARGIN - v for v in rise])
    statement = f"LongPO's held-out nats a token on short documents rise by less than {NATS_MARGIN}"
    found.append(Finding(statement, verdict(within), f"LongPO - start {shown(over_seeds(rise))}"))
    return found


def matched(ours: Sequence[Point], other: Sequence[Point]) -> tuple[float, Point, Point]:
    """(KL, our point, the other's): the best point by `long` of each run within the drift that both reach, the smaller of their
    greatest KLs. The run that drifts less is read whole, the other as far as it has drifted no further."""
    level = min(max(p["kl"] for p in side) for side in (ours, other))
    return level, best_within(ours, level), best_within(other, level)


def best_within(points: Sequence[Point], level: float) -> Point:
    """The point with the greatest `long` (the least KL of equals) among those of at most this KL; where a round crosses it, on the
    straight line between two of its points. Both runs of a pair start alike, with theta raised, so there is always one."""
    within = [p for p in points if p["kl"] <= level]
    for first, second in pairwise(points):
        if first["round"] == second["round"] and (first["kl"] - level) * (second["kl"] - level) < 0:
            share = (level - first["kl"]) / (second["kl"] - first["kl"])
            within.append({k: first[k] + share * (second[k] - first[k]) for k in ("long", "short", "kl")})
    assert within, "no point has so little drift"
    return max(within, key=lambda p: (p["long"], -p["kl"]))


def _matched(runs: Runs) -> list[Finding]:
    found = []
    words = {"long": "is right more often at the longest trained length", "short": "keeps more of the short skills"}
    for other in ("sft", "dpo", "sft-full", "dpo-nll", "placebo", *WEIGHTS):
        if other in runs:
            read = [matched(a["points"], b["points"]) for a, b in zip(runs["longpo"], runs[other])]
            level = float(np.mean([r[0] for r in read]))
            for key, text in words.items():
                gap = over_seeds([ours[key] - theirs[key] for _, ours, theirs in read])
                statement = f"At matched KL (the best point of each run within it) LongPO {text} than {other}"
                found.append(Finding(statement, verdict(gap), f"LongPO - {other} {shown(gap)} at {level:.2f} nats"))
    return found


def _rate(runs: Runs, figures: dict[str, Any]) -> list[Finding]:
    """Is forgetting the method or the rate? Few seeds: each is asked, and what not all answer alike is undecided."""
    lengths, start, found = figures["lengths"], figures["start"], []
    for arm, words in (("sft-hot", "SFT"), ("longpo-hot", "LongPO")):
        if arm in runs:
            lost = [short(s, lengths) - short(r["end"], lengths) for r, s in zip(runs[arm], start)]
            found.append(
                Finding(
                    f"{words} at 40 times LongPO's rate forgets: more than {FORGOTTEN} of the short skills, in every seed",
                    agreed([v > FORGOTTEN for v in lost]),
                    "start - end " + ", ".join(f"{v:.3f}" for v in lost),
                )
            )
    return found


def _weight(runs: Runs, figures: dict[str, Any]) -> list[Finding]:
    """Where the preference's weight is what varies: against the other weights, and in what was seen to set LongPO apart before it was
    declared, drift and held-out text beside SFT and DPO."""
    others = [arm for arm in WEIGHTS if arm in runs]
    if not others:
        return []
    at, ours, found = figures["lengths"].index(figures["target"]), runs["longpo"], []
    for other in others:
        gaps = [a["end"]["right"][at] - b["end"]["right"][at] for a, b in zip(ours, runs[other])]
        words = f"LongPO's right answers at the longest trained length are above {other}'s"
        found.append(gap_finding(words, gaps, f"LongPO - {other}"))
    for key, words in (("nats", "has fewer held-out nats a token"), ("kl", "drifts less from the start (KL, nats)")):
        for other in ("sft", "dpo", *others):
            if other in runs:
                gaps = [b["end"][key] - a["end"][key] for a, b in zip(ours, runs[other])]
                found.append(gap_finding(f"At its end LongPO {words} than {other}", gaps, f"{other} - LongPO"))
    return found


def _data(figures: dict[str, Any]) -> list[Finding]:
    runs, found = figures["data"]["longpo"], []
    for t in range(len(runs[0])):
        gaps = [r[t]["right_chosen"] - r[t]["right_rejected"] for r in runs]
        found.append(
            gap_finding(
                f"Round {t + 1}: chosen answers are right more often than rejected ones", gaps, "chosen - rejected"
            )
        )
    asked = [[r[t]["asked"] for r in runs] for t in range(len(runs[0]))]
    found.append(
        Finding(
            "Self-made questions are about their chunk at least 80% of the time, in every round and seed",
            agreed([v >= 0.8 for values in asked for v in values]),
            "; ".join(f"round {t}: {np.mean(values):.2f}" for t, values in enumerate(asked, 1)),
        )
    )
    return found
