"""A RULER question of an exact length: the draft grows until the next unit of haystack would not fit.

In: a `Build` (haystack units -> draft), a token counter, a limit. Out: the longest draft within the limit. The release sizes the
haystack once in steps of 10-500 units and shrinks it by such steps per sample; here each sample is filled to the last unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draft:
    """`text`: what the user asks; `prefix`: how the answer begins; `references`: what the answer must hold; `depths`: where in the
    context (0 start, 1 end) each reference stands, None where it stands in many places; `cluster`: the document asked about."""

    text: str
    prefix: str
    references: tuple[str, ...]
    depths: tuple[float | None, ...]
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Growing:
    """A question whose haystack can still be sized: `build(units)` for units in least..most (None: no end); `source` names
    borrowed or stand-in material, empty where the task needs none."""

    build: Callable[[int], Draft]
    least: int = 1
    most: int | None = None
    source: str = ""


class TooShort(Exception):
    """The target length cannot hold the question; `tokens` is what its shortest form takes."""

    def __init__(self, tokens: int) -> None:
        super().__init__(f"needs {tokens} tokens")
        self.tokens = tokens


def fit(
    question: Growing, count: Callable[[Draft], int], limit: int, guess: int | None = None
) -> tuple[int, Draft, int]:
    """(units, draft, tokens) with count(units) <= limit < count(units + 1), or all units there are.

    `count`: tokens of a draft, answer budget included. `guess`: units of a similar question, saves probes. Raises `TooShort`.
    """
    low = question.least
    draft = question.build(low)
    start = tokens = count(draft)
    if tokens > limit:
        raise TooShort(tokens)
    high, high_tokens = (None if question.most is None else question.most + 1), None
    probe, tried = guess or low + 16, 0
    while high is None or high - low > 1:
        probe = max(low + 1, probe if high is None else min(probe, high - 1))
        made = question.build(probe)
        size = count(made)
        if size <= limit:
            low, draft, tokens = probe, made, size
        else:
            high, high_tokens = probe, size
        tried += 1
        if high_tokens is not None and high is not None:
            # Between both ends along their chord; by halves where that does not settle (units of very uneven size).
            along = int((limit - tokens) * (high - low) / (high_tokens - tokens))
            probe = low + along if tried <= 8 else (low + high) // 2
        else:
            # Beyond what fits, one unit more than the chord says, so as to get the other end. Never more than fourfold: a first
            # step that added no token says nothing of the next.
            slope = max((tokens - start) / max(1, low - question.least), 1e-3)
            probe = min(low + int((limit - tokens) / slope) + 1, 4 * (low + 16))
    return low, draft, tokens
