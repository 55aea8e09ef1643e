"""What else the Janus claim looks at beside its primary contrast, each with a rule that was fixed before the run.

In: the runs of every arm. Out: findings. But where a statement says otherwise, it holds where the 95% interval over seeds lies on its
side of 0, and does not where it lies on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from studies.record import FAILS, HOLDS, UNDECIDED, Contrast, Finding, gap_finding, over_seeds, shown

MARGIN = 0.05  # share of good replies without a system message that may be lost and still be called kept

Runs = dict[str, list[dict[str, Any]]]
SPLITS = {
    "seen": "trained combinations in trained wordings",
    "recombined": "new phrases out of trained words",
    "synonyms": "wordings whose telling words training never shows (the base knew them)",
}


def findings(runs: Runs) -> list[Finding]:
    """Splits, the held-out values, what is kept, the shuffled control, what comes on top, the reward model, best-of-N."""
    found = []
    for split, words in SPLITS.items():
        found.append(
            gap_finding(
                f"On {words}, many system messages are followed whole more often than a uniform one's training",
                [a["all"][split] - b["all"][split] for a, b in zip(runs["janus"], runs["uniform"])],
                "janus - uniform",
            )
        )
    found += [
        gap_finding(f"A value that training never shows is followed more often than by {other}", _pairs(runs, "janus", other, _held_out),
             f"janus - {other}")
        for other in ("uniform", "start") if other in runs
    ]  # fmt: skip
    if "start" in runs:
        loss = over_seeds([-v for v in _pairs(runs, "janus", "start", lambda r: r["plain"]["good"])])
        kept = verdict_within(loss, MARGIN)
        found.append(
            Finding(
                f"Without a system message, good replies (well-formed, on topic, no repeats) are kept to within {MARGIN} of the start's",
                kept,
                f"start - janus {shown(loss)}",
            )
        )
    for first, second, words in (
        (
            "janus",
            "shuffled",
            "Shuffled system messages kill the effect on unseen combinations: janus is above shuffled",
        ),
        ("janus", "star", "Three system messages an instruction are better than one (three times the rows)"),
        ("dpo", "star", "DPO on top of Janus* raises what is followed whole, on unseen combinations"),
        ("dpo-low", "star", "... at a tenth of the rates (dpo-low)"),
        ("orpo", "star", "ORPO from the base follows more, on unseen combinations, than Janus*"),
    ):
        if first in runs and second in runs:
            found.append(gap_finding(words, _pairs(runs, first, second, _combinations), f"{first} - {second}"))
    if "shuffled" in runs:
        found.append(
            gap_finding(
                "Shuffled messages leave something: shuffled is above uniform on unseen combinations",
                _pairs(runs, "shuffled", "uniform", _combinations),
                "shuffled - uniform",
            )
        )
    for arm, words in (("reward", ""), ("reward-900", " (reward-900)")):
        found += _reward(runs[arm], words) if arm in runs else []
    return found


def _reward(runs: Sequence[dict[str, Any]], name: str) -> list[Finding]:
    found = [
        gap_finding(
            f"The reward model{name} tells the right answer of two, {words}, better than chance",
            [r["accuracy"][split] - 0.5 for r in runs],
            "accuracy - 1/2",
        )
        for split, words in (
            ("seen", "trained combinations"), ("combinations", "unseen combinations"), ("synonyms", "synonyms"),
            ("values", "with a held-out value"),
        )
    ]  # fmt: skip
    ns = list(runs[0]["best"])
    steps = [over_seeds([r["best"][b]["adherence"] - r["best"][a]["adherence"] for r in runs]) for a, b in pairwise(ns)]
    rises = all(step.mean > 0 for step in steps)
    found.append(
        Finding(
            f"Best-of-N{name} rises with N in the values truly shown, at every doubling to {ns[-1]} (means over seeds)",
            HOLDS if rises else FAILS,
            ", ".join(f"{b}: {step.mean:+.3f}" for b, step in zip(ns[1:], steps)),
        )
    )
    gain = [r["best"][ns[-1]]["adherence"] - r["best"]["1"]["adherence"] for r in runs]
    return [
        *found,
        gap_finding(f"Best-of-{ns[-1]}{name} shows more of the values than one answer", gain, f"{ns[-1]} - 1"),
    ]


def _held_out(run: dict[str, Any]) -> float:
    """How often a value is shown that training never shows."""
    return float(run["adherence"]["values"])


def _combinations(run: dict[str, Any]) -> float:
    return float(run["all"]["combinations"])


def verdict_within(loss: Contrast, margin: float) -> str:
    """Whether a loss stays within a margin: its interval below it, above it, or on both sides."""
    if loss.low is None or loss.high is None:
        return UNDECIDED
    return HOLDS if loss.high <= margin else FAILS if loss.low > margin else UNDECIDED


def _pairs(runs: Runs, first: str, second: str, of: Callable[[dict[str, Any]], float]) -> list[float]:
    """first - second, a seed each; of the seeds that both ran on."""
    return [of(a) - of(b) for a, b in zip(runs[first], runs[second])]
