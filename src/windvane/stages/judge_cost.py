"""What judging will take, said before the first pair: time by judging one pair of middling length here and now, disk by arithmetic.

In: a judge, the pairs. Out: one line. Only weights in this process are tried: a server's calls are told apart, a person's hours and what
a function of one's own costs are nobody's to guess. Pairs that are judged side by side go faster than the one that is tried.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from windvane.core.families import is_family
from windvane.core.protocols import PairJudge
from windvane.plan.disk import BYTES_A_ROW, disk_told
from windvane.plan.time import PROBED, time_told
from windvane.stages.judge import Pair, compare

TRIED = ("reward", "pairrm", "gpm")  # besides local: and toy:, also after llm: and rubric:


def judge_estimate(spec: str, judge: PairJudge, pairs: Sequence[Pair], out: Path) -> str:
    """One line for people: time where it can be tried, and disk."""
    disk = disk_told({"verdicts": float(BYTES_A_ROW * len(pairs))}, out, "use another --out or --pairs")
    if not pairs or not _in_this_process(spec):
        return disk
    each = seconds_a_pair(judge, pairs)
    return f"{time_told({'verdicts': each * len(pairs)}, f'at most, {PROBED}')}. {disk}"


def _in_this_process(spec: str) -> bool:
    """Whether the judge is weights, or a program of the toy world, in this process."""
    kind, _, backend = spec.partition(":")
    if kind in ("llm", "rubric"):
        return is_family(backend) or backend.partition(":")[0] == "local"
    return is_family(spec) or kind in TRIED


def seconds_a_pair(judge: PairJudge, pairs: Sequence[Pair]) -> float:
    """Of the pair of middling length, judged in both orders, after a warm-up."""
    ordered = sorted(pairs, key=lambda x: (sum(map(len, (x[0].text, x[1].text, x[2].text))), x[0].id))
    tried = [ordered[len(ordered) // 2]]
    compare(judge, tried)
    start = time.perf_counter()
    compare(judge, tried)
    return time.perf_counter() - start
