"""The policies of a LongPO run: which round's weights, with which round's reach; one in memory at a time.

In: settings, the run folder. Out: policies read back from disk, their RoPE base and window set whenever they are loaded: the short
model as it was saved, the long side with its base raised."""

from __future__ import annotations

from typing import Any

from windvane.core.records import seed_of
from windvane.engines.local import LocalGenerator, Sampling
from windvane.longpo.rope import stretch
from windvane.longpo.settings import LongPO
from windvane.models.trees.logprobs import Scorer
from windvane.runs.store import RunFolder
from windvane.stages.policy import Policy


class ReachingPolicy:
    """A `Policy` that is stretched whenever its weights are loaded (an adapter's base does not remember its theta, a whole model does).
    `length` None: the model as it is."""

    def __init__(self, policy: Policy, theta: float = 0.0, length: int | None = None) -> None:
        self.policy, self.theta, self.length = policy, theta, length

    @property
    def spec(self) -> str:
        return self.policy.spec

    @property
    def tokenizer(self) -> Any:
        return self.policy.tokenizer

    def release(self) -> None:
        self.policy.release()

    def model(self, training: bool = False) -> Any:
        model = self.policy.model(training)
        return model if self.length is None else stretch(model, self.theta, self.length)

    def generator(self, sampling: Sampling) -> LocalGenerator:
        self.model()
        return self.policy.generator(sampling)

    def scorer(self, training: bool) -> Scorer:
        self.model(training)
        return self.policy.scorer(training)

    def window(self) -> int:
        self.model()
        return self.policy.window()


class Policies:
    """A policy's key: (round that made the weights, round whose reach they are given); a round's own model has its own reach."""

    def __init__(self, s: LongPO, folder: RunFolder) -> None:
        self.s, self.folder = s, folder
        self._held: dict[tuple[int, int], ReachingPolicy] = {}

    def of(self, made: int, reach: int, beside: bool = False) -> ReachingPolicy:
        """What round `made` made (0: the model that was given), its theta and window those of round `reach` (0: as it was given). The
        weights of all others are let go unless it is wanted `beside` them."""
        key = (made, reach)
        if key not in self._held:
            spec = self.s.model if made == 0 else str(self.folder / f"iter-{made}" / "model")
            policy = Policy(spec, self.s.train, self.s.device, seed_of(self.s.seed, "adapter"))
            theta, length = (self.s.theta_of(reach), self.s.targets[reach - 1]) if reach else (0.0, None)
            self._held[key] = ReachingPolicy(policy, theta, length)
        for other, held in self._held.items():
            if other != key and not beside:
                held.release()
        return self._held[key]

    def short(self, t: int, beside: bool = False) -> ReachingPolicy:
        """pi_S of round t: it keeps its own theta."""
        start = self.s.start_of(t)
        return self.of(start, start, beside)

    def long(self, t: int, beside: bool = False) -> ReachingPolicy:
        """Where round t's policy starts: the same weights, theta raised."""
        return self.of(self.s.start_of(t), t, beside)
