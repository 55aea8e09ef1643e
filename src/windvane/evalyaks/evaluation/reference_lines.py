"""The lines that a scorer must be seen beside: a constant, the majority, the length alone, another human.

In: `Scored` rows. Out: `System`s of kind "line". On the paper's balanced test a constant reaches 60% acceptable accuracy, so no figure
means anything without them. `majority` is the most frequent reference band of each part and criterion among these very rows (generous
to the line); `length only` is a least-squares line on the candidate's number of words, fitted on other candidates (5 folds); `human` is
the second rater, where every row has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from windvane.core.records import seed_of
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.systems import Bands, Scored, System


def lines(rows: Sequence[Scored], scale: Scale | None = None) -> list[System]:
    """Every line that the rows allow."""
    scale = scale or Scale()
    whole = [b for b in scale.bands if b == round(b)]
    found = [System(f"constant {b:g}", [dict.fromkeys(r.reference, b) for r in rows], "line") for b in whole]
    found.append(System("majority", majority(rows, rows), "line", "the most frequent bands of these very rows"))
    if all(r.words is not None for r in rows):
        found.append(
            System("length only", length_only(rows), "line", "words of the candidate, fitted on other candidates")
        )
    if all(r.second for r in rows):
        found.append(System("human", [r.second for r in rows], "line", "the second rater"))
    return found


def majority(train: Sequence[Scored], rows: Sequence[Scored]) -> list[Bands | None]:
    """The most frequent band of `train`, by part and criterion; of equally frequent ones the lower."""
    counts: dict[tuple[str, str], Counter[float]] = {}
    for r in train:
        for criterion, band in r.reference.items():
            counts.setdefault((r.part, criterion), Counter())[band] += 1
    best = {key: min(c, key=lambda b: (-c[b], b)) for key, c in counts.items()}
    return [{c: best[r.part, c] for c in r.reference if (r.part, c) in best} for r in rows]


def fit_length(train: Sequence[Scored]) -> dict[tuple[str, str], np.ndarray]:
    """(part, criterion) -> coefficients of 1, words, log(1 + words)."""
    keys = sorted({(r.part, c) for r in train for c in r.reference})
    found = {}
    for part, criterion in keys:
        use = [r for r in train if r.part == part and criterion in r.reference]
        x, y = _basis([r.words or 0 for r in use]), np.array([r.reference[criterion] for r in use], dtype=float)
        found[part, criterion] = np.linalg.lstsq(x, y, rcond=None)[0]
    return found


def predict_length(fitted: dict[tuple[str, str], np.ndarray], rows: Sequence[Scored]) -> list[Bands | None]:
    """A row whose part was not among those fitted has no valid prediction."""
    found: list[Bands | None] = []
    for r in rows:
        known = all((r.part, c) in fitted for c in r.reference)
        x = _basis([r.words or 0])
        found.append({c: float((x @ fitted[r.part, c])[0]) for c in r.reference} if known else None)
    return found


def length_only(rows: Sequence[Scored], folds: int = 5) -> list[Bands | None]:
    """Each candidate's from the other folds' candidates."""
    names = sorted({r.candidate for r in rows}, key=lambda name: seed_of("length only", name))
    fold = {name: i % folds for i, name in enumerate(names)}
    found: list[Bands | None] = [None] * len(rows)
    for k in range(folds):
        train = [r for r in rows if fold[r.candidate] != k]
        held = [i for i, r in enumerate(rows) if fold[r.candidate] == k]
        for i, prediction in zip(held, predict_length(fit_length(train), [rows[i] for i in held])):
            found[i] = prediction
    return found


def _basis(words: Sequence[int]) -> np.ndarray:
    n = np.asarray(words, dtype=float)
    return np.stack([np.ones_like(n), n, np.log1p(n)], axis=1)
