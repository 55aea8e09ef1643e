"""Splits that leak nothing: by conversation and by near-duplicate cluster, never by row.

In: records. Out: the same with `split_group` (the cluster) and `fold`. Two conversations are near-duplicates where the sets of word triples
that their candidates say, or that all say, overlap by `threshold` or more (Jaccard); clusters are the connected components. The overlap
is computed exactly from a sparse matrix (scikit-learn, scipy), not estimated by MinHash: 3,060 conversations, the paper's whole
set, take seconds.

Departure from the paper: it does not say how its 100 test conversations were kept apart from those of training.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from windvane.core.errors import UserError
from windvane.core.extras import require
from windvane.evalyaks.transcripts.record import Transcript, by_conversation

THRESHOLD = 0.2  # rewritings of one conversation at two bands, which the public data hold, overlap by 0.2 to 0.5


def cluster(records: Sequence[Transcript], threshold: float = THRESHOLD) -> list[Transcript]:
    """`split_group` becomes the smallest conversation id of the cluster: the same whatever the order of the records."""
    require(
        "sklearn.feature_extraction.text", "grouping near-duplicate conversations", "speech"
    )  # what `overlapping` takes
    coo_matrix = require("scipy.sparse", "grouping near-duplicate conversations", "speech").coo_matrix
    connected_components = require(
        "scipy.sparse.csgraph", "grouping near-duplicate conversations", "speech"
    ).connected_components
    if not 0 < threshold <= 1:
        raise UserError(f"threshold {threshold}: must be above 0 and at most 1")
    groups = by_conversation(records)
    names = list(groups)
    firsts = [groups[n][0] for n in names]
    edges: list[tuple[int, int]] = []
    for texts in ([r.said() for r in firsts], ["\n".join(t.text for t in r.turns) for r in firsts]):
        edges += overlapping(texts, threshold)
    rows, columns = zip(*edges) if edges else ((), ())
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    labels = connected_components(graph, directed=False)[1]
    smallest: dict[int, str] = {}
    for name, label in zip(names, labels):
        smallest[label] = min(name, smallest.get(label, name))
    of = {name: smallest[label] for name, label in zip(names, labels)}
    return [dataclasses.replace(r, split_group=of[r.conversation]) for r in records]


def overlapping(texts: Sequence[str], threshold: float, words: int = 3) -> list[tuple[int, int]]:
    """Pairs i < j of texts whose sets of `words`-word shingles have a Jaccard index of at least `threshold`; a shorter text is one
    shingle. A text without words overlaps with nothing."""
    from sklearn.feature_extraction.text import CountVectorizer

    def shingles(text: str) -> set[tuple[str, ...]]:
        tokens = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
        return {tuple(tokens[i : i + words]) for i in range(max(1, len(tokens) - words + 1))} if tokens else set()

    sets = [shingles(text) for text in texts]
    if not any(sets):
        return []
    matrix = CountVectorizer(analyzer=lambda s: s, binary=True, dtype=np.int32).fit_transform(sets)
    sizes = np.asarray(matrix.sum(axis=1)).ravel()
    found: list[tuple[int, int]] = []
    for start in range(0, len(texts), 1000):  # the products of 1,000 rows at a time, so that 100,000 texts fit
        shared = (matrix[start : start + 1000] @ matrix.T).tocoo()
        i, j, both = shared.row + start, shared.col, shared.data
        near = (i < j) & (both >= threshold * (sizes[i] + sizes[j] - both))
        found += zip(i[near].tolist(), j[near].tolist())
    return found


def folds(records: Sequence[Transcript], count: int, seed: int = 0) -> list[Transcript]:
    """`fold` 0..count-1 for every record, groups kept whole, bands of the first criterion spread evenly (StratifiedGroupKFold)."""
    StratifiedGroupKFold = require("sklearn.model_selection", "--folds", "speech").StratifiedGroupKFold
    groups = [r.split_group for r in records]
    if count < 2 or len(set(groups)) < count:
        raise UserError(
            f"--folds {count}: must be at least 2 and at most the {len(set(groups))} clusters of conversations"
        )
    fine = [f"{r.part}-{next(iter(r.scores.values()), r.level)}" for r in records]
    # A few records of many bands: the splitter wants one stratum with a member a fold, so bands and then parts are not told apart.
    coarser = (fine, [str(r.part) for r in records], ["all"] * len(records))
    strata = next(one for one in coarser if max(Counter(one).values()) >= count)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    of: dict[int, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "the least populated class has 1 member": bands 4 and 5 are rare
        for fold, (_, held) in enumerate(splitter.split(strata, strata, groups)):
            of |= dict.fromkeys(held.tolist(), fold)
    return [dataclasses.replace(r, fold=of[i]) for i, r in enumerate(records)]
