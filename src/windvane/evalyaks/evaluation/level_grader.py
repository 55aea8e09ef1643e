"""What level a sentence has, by a grader that is no language model: for judging sentences that a model wrote to order.

In: sentences with levels (a user's list), a word list. Out: a `LevelGrader`: proportional odds on seven counts (words, letters a word, mean
level of the listed words, shares of B1 and of B2 and above, share not listed, subordinators), and how well it does on sentences that it was
not fitted on (five folds): accuracy, adjacent, QWK. It is independent of the model that it judges, and only as good as those figures say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.evalyaks.evaluation.measures import Scale, agreement
from windvane.evalyaks.levels import WORD, Levels, Listed
from windvane.evalyaks.scoring.fit import expected_bands, fit_ordinal
from windvane.evalyaks.scoring.words import SUBORDINATORS
from windvane.evalyaks.transcripts.record import LEVELS

PENALTY, FOLDS, FEWEST = 1.0, 5, 20
SCALE = Scale(1.0, 6.0)


@dataclass(frozen=True, slots=True)
class LevelGrader:
    """`quality`: on held-out folds: accuracy, adjacent, qwk, n."""

    words: Levels
    means: np.ndarray
    deviations: np.ndarray
    levels: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    quality: dict[str, float]

    def grade(self, text: str) -> str:
        """The nearest level to the expected one."""
        x = (counts(text, self.words)[None] - self.means) / self.deviations
        expected = expected_bands(x, self.levels, (self.weights, self.intercepts), "ordinal")
        return LEVELS[int(SCALE.band(expected)[0]) - 1]


def fit_grader(sentences: Sequence[Listed], words: Levels) -> LevelGrader:
    """`UserError` with fewer than 20 sentences, or one level alone."""
    if len(sentences) < FEWEST or len({s.level for s in sentences}) < 2:
        raise UserError(
            f"the grader of sentences needs at least {FEWEST} sentences of two levels; these are {len(sentences)}"
        )
    x = np.stack([counts(s.text, words) for s in sentences])
    y = np.array([LEVELS.index(s.level) + 1.0 for s in sentences])
    fold = np.array([seed_of("grader", s.text) % FOLDS for s in sentences])
    held = np.full(len(y), np.nan)
    for k in range(FOLDS):
        train = fold != k
        if len(np.unique(y[train])) > 1 and (~train).any():
            means, deviations = _spread(x[train])
            levels = np.unique(y[train])
            model = fit_ordinal((x[train] - means) / deviations, y[train], levels, PENALTY)
            held[~train] = expected_bands((x[~train] - means) / deviations, levels, model, "ordinal")
    use = ~np.isnan(held)
    found = agreement(y[use], held[use], None, SCALE)
    quality = {
        "accuracy": float(found["exact"][0]),
        "adjacent": float(found["adjacent"][0]),
        "qwk": float(found["qwk"][0]),
        "n": float(use.sum()),
    }
    means, deviations = _spread(x)
    levels = np.unique(y)
    weights, intercepts = fit_ordinal((x - means) / deviations, y, levels, PENALTY)
    return LevelGrader(words, means, deviations, levels, weights, intercepts, quality)


def counts(text: str, words: Levels) -> np.ndarray:
    """[7] see the module."""
    said = WORD.findall(text)
    n = max(1, len(said))
    of = [LEVELS.index(m.level) + 1.0 for m in words.mark(text)]
    linked = sum(w.casefold() in SUBORDINATORS for w in said)
    mean = sum(of) / len(of) if of else 2.0
    middle, high = sum(v == 3 for v in of) / n, sum(v >= 4 for v in of) / n
    return np.array([np.log1p(len(said)), sum(map(len, said)) / n, mean, middle, high, 1 - len(of) / n, linked / n])


def _spread(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0), np.where(x.std(0) > 1e-9, x.std(0), 1.0)
