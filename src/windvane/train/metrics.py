"""What the metrics of training follow: means over an optimizer batch, or over the held-out examples."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.losses.batch import Batch, Objective
from windvane.train.batches import Example


class Tally:
    """Sums and counts by name."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: float) -> None:
        """One more value of `name`."""
        self.sums[name] = self.sums.get(name, 0.0) + value
        self.counts[name] = self.counts.get(name, 0) + 1

    def add_sum(self, name: str, total: float, count: int) -> None:
        """`count` more values of `name` that add up to `total`."""
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + count

    def follow(self, found: Sequence[Example], batch: Batch, objective: Objective) -> None:
        """Log-probs of chosen and rejected, their log-ratios where there is a reference, and how often the chosen one's reward is the
        larger: its log-ratio, or without a reference what the loss compares, its log-prob (a token, for a "mean" objective). Where the
        loss pulls each side to a log-ratio of its own, that target too (SPPO: eta (P - 1/2)). Where the loss holds the
        chosen row's NLL, that too, a token."""
        rewards = batch.logratio if objective.reference else batch.logps
        if not objective.reference and objective.sequence == "mean":
            rewards = rewards / batch.lengths.clamp(min=1)
        targets = objective.target(batch) if objective.target is not None else None
        for row, example in enumerate(e for e in found for _ in e.losses):
            chosen, rejected = example.chosen, example.rejected
            if "nll" in objective.reads:
                self.add("nll", (batch.nll[row] / batch.nll_tokens[row]).item())
            for name, index in (("chosen", chosen), ("rejected", rejected)):
                if index is not None:
                    self.add(f"{name}_logps", batch.logps[row, index].item())
                    if objective.reference:
                        self.add(f"{name}_logratio", batch.logratio[row, index].item())
                    if targets is not None:
                        self.add(f"{name}_target", targets[row, index].item())
            if chosen is not None and rejected is not None and objective.branches != "single":
                ahead = (rewards[row, chosen] - rewards[row, rejected]).item()
                self.add("accuracy", 1.0 if ahead > 0 else 0.5 if ahead == 0 else 0.0)

    def means(self) -> dict[str, float]:
        """By name; `chosen_reached` and `rejected_reached` are the share of the target that is reached, mean log-ratio over mean target
        (1 is there, negative is the wrong way), left out where the targets cancel."""
        found = {name: self.sums[name] / self.counts[name] for name in self.sums}
        for side in ("chosen", "rejected"):
            if found.get(f"{side}_target"):
                found[f"{side}_reached"] = found[f"{side}_logratio"] / found[f"{side}_target"]
        return {name: found[name] for name in sorted(found)}
