"""Judges with known answers, made from a family's quality function: the programme itself and what training sees of it.

In: questions, whose texts are read. Out: P(first wins). All of them answer both orders alike: p(a, b) + p(b, a) = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windvane.core.protocols import Question
from windvane.core.records import seed_of
from windvane.stats.logistic import sigmoid


@dataclass(frozen=True, slots=True)
class WorldJudge:
    """P(a beats b) = sigmoid(quality gap + length bias), with a share of verdicts turned round (p -> 1 - p).

    `quality(prompt, reply)`: logits, or None for a judge that does not look at it. `length(reply)`: a number of words;
    `longer`: logits for the longer of the two; `per_word`: logits a word of difference. `flips`: the share of pairs turned
    round, drawn from a seed made of the prompt and the two texts in sorted order, so that both orders agree.
    """

    length: Callable[[str], int]
    quality: Callable[[str, str], float] | None = None
    longer: float = 0.0
    per_word: float = 0.0
    flips: float = 0.0

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        return [self.probability(q.prompt.text, q.first.text, q.second.text) for q in questions]

    def probability(self, prompt: str, a: str, b: str) -> float:
        """P(a beats b)."""
        gap = self.length(a) - self.length(b)
        logit = self.longer * ((gap > 0) - (gap < 0)) + self.per_word * gap
        if self.quality is not None:
            logit += self.quality(prompt, a) - self.quality(prompt, b)
        p = sigmoid(logit)
        if self.flips and seed_of("flip", prompt, *sorted((a, b))) / 2**63 < self.flips:
            return 1.0 - p
        return p
