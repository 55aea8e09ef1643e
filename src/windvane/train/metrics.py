"""Metrics of training: what the loss of a micro-batch returns, and means over an optimizer batch or over the held-out examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor


class Losses(NamedTuple):
    """What a task (loop.py) returns for a micro-batch: `values` [B], differentiable; `ids`, the example that each value belongs to;
    `metrics`, any number of values by name, whose means are reported."""

    values: Tensor
    ids: list[str]
    metrics: dict[str, list[float]]


class Means:
    """Means by name, over values that arrive a few at a time."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, metrics: dict[str, list[float]]) -> None:
        """Count these values too."""
        for name, values in metrics.items():
            for value in values:
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1

    @staticmethod
    def merged(parts: Iterable[Means]) -> Means:
        """The means over the values of all parts."""
        total = Means()
        for part in parts:
            for name, value in part.sums.items():
                total.sums[name] = total.sums.get(name, 0.0) + value
                total.counts[name] = total.counts.get(name, 0) + part.counts[name]
        return total

    def by_name(self) -> dict[str, float]:
        """Each mean, in the order of the names."""
        return {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}
