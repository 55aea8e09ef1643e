"""How varied answers are: distinct n-grams, and ROUGE-L between a model's answers to different system messages of one instruction.

In: groups of texts (the answers to one prompt). Out: means over groups with bootstrap intervals over groups. distinct-n is the number
of different n-grams of a group over its number of words (as RealToxicityPrompts' evaluations count it); ROUGE-L is the mean over the
pairs of a group, and the lower it is, the more the system message changes the answer (arXiv 2405.17977). A single text has no pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from windvane.core.text import normalize
from windvane.datasets.near_duplicates import rouge_l
from windvane.stats.bootstrap import Interval, bootstrap_mean


def distinct_n(texts: Sequence[str], n: int) -> float | None:
    """In [0, 1]; None where there is no word."""
    assert n >= 1
    words = [normalize(t).split() for t in texts]
    count = sum(map(len, words))
    grams = {tuple(w[i : i + n]) for w in words for i in range(len(w) - n + 1)}
    return len(grams) / count if count else None


def mean_distinct(groups: Sequence[Sequence[str]], n: int, seed: int = 0) -> Interval | None:
    """Mean of `distinct_n` over groups."""
    values = [v for group in groups if (v := distinct_n(group, n)) is not None]
    return bootstrap_mean(values, seed)


def mean_rouge_between(groups: Sequence[Sequence[str]], seed: int = 0) -> Interval | None:
    """Mean over groups of the mean ROUGE-L of a group's pairs."""
    values = []
    for group in groups:
        pairs = [rouge_l(a, b) for a, b in itertools.combinations(group, 2)]
        values += [sum(pairs) / len(pairs)] if pairs else []
    return bootstrap_mean(values, seed)
