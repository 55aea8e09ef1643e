"""People's votes on two models' answers under one system message: win, both good, both bad, lose.

In: JSON lines with `instance` and `vote`. Out: the four shares, and "tie or win" as the paper counts it: wins and both-good votes of all
votes, both-bad ones not among them (so 36.8 + 38.4 = 75.2). Intervals resample instances: votes of several people on one are not
independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.errors import UserError
from windvane.runs.store import read_jsonl
from windvane.stats.bootstrap import Interval
from windvane.stats.paired import cluster_sums, resampled

VOTES = ("win", "both good", "both bad", "lose")


@dataclass(frozen=True, slots=True)
class Shares:
    """Fractions of all votes."""

    win: float
    both_good: float
    both_bad: float
    lose: float

    @property
    def tie_or_win(self) -> float:
        return self.win + self.both_good


def shares(counts: Mapping[str, float]) -> Shares:
    """Of counts of votes."""
    unknown = [vote for vote in counts if vote not in VOTES]
    total = sum(counts.values())
    if unknown or total <= 0:
        raise UserError(f"votes: {unknown[0] if unknown else 'none'}; a vote is one of {', '.join(VOTES)}")
    return Shares(*(counts.get(vote, 0) / total for vote in VOTES))


def read_votes(path: Path) -> list[tuple[str, str]]:
    """(instance, vote) of each row."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; votes are JSON lines with instance and vote")
    found = []
    for number, row in read_jsonl(path):
        where = f"{path}: row {number}"
        if not isinstance(row, dict) or row.get("instance") is None:
            raise UserError(f"{where}: field 'instance': missing; name the instance that was voted on")
        vote = str(row.get("vote", "")).strip().lower().replace("_", " ").replace("-", " ")
        if vote not in VOTES:
            raise UserError(f"{where}: field 'vote': {row.get('vote')!r}; one of {', '.join(VOTES)}")
        found.append((str(row["instance"]), vote))
    if not found:
        raise UserError(f"{path}: no votes; write at least one")
    return found


def summarise_votes(rows: Sequence[tuple[Hashable, str]], seed: int = 0, resamples: int = 10_000) -> dict[str, Any]:
    """Each share with its interval, in percent as the paper prints them."""
    table = shares(Counter(vote for _, vote in rows))
    instances = [instance for instance, _ in rows]
    found: dict[str, Any] = {"votes": len(rows), "instances": len(set(instances))}
    wanted = {vote: (vote,) for vote in VOTES} | {"tie or win": ("win", "both good")}
    for name, kinds in wanted.items():
        hits = np.array([float(vote in kinds) for _, vote in rows])
        sums, sizes = cluster_sums(hits, instances)
        means = np.concatenate([d @ sums / (d @ sizes) for d in resampled(len(sums), resamples, seed)])
        low, high = np.quantile(means, [0.025, 0.975])
        one = Interval(float(hits.mean()), float(low), float(high), len(rows))
        found[name] = {"percent": 100 * one.mean, "low": 100 * one.low, "high": 100 * one.high}
    assert abs(found["tie or win"]["percent"] - 100 * table.tie_or_win) < 1e-6
    return found
