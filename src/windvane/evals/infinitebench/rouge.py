"""ROUGE-Lsum as InfiniteBench's En.Sum counts it: the union longest common subsequence over lines, F1, no stemming.

In: a prediction and its references (texts). Out: F1 in [0, 1], the best over the references. The same numbers as the package
`rouge-score` 0.1.2 (what Hugging Face `evaluate` calls), which a test holds; written anew because that package's pure-Python
tables and its nltk dependency are needless: a row of the table is one Python integer here (Hyyro 2004, bit-parallel LCS).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence


def tokens(text: str) -> list[str]:
    """Lower-cased runs of a-z and 0-9; anything else separates (so Chinese text has no tokens)."""
    return re.findall(r"[a-z0-9]+", text.lower())


def rouge_lsum(prediction: str, references: Sequence[str]) -> float:
    """The best F1 over `references`; 0 where either side has no tokens."""
    return max((_f1(reference, prediction) for reference in references), default=0.0)


def _f1(reference: str, prediction: str) -> float:
    # A newline ends a sentence: the metric's own convention, whatever the text is.
    ref = [tokens(line) for line in reference.split("\n") if line]
    pred = [tokens(line) for line in prediction.split("\n") if line]
    n_ref, n_pred = sum(map(len, ref)), sum(map(len, pred))
    if not n_ref or not n_pred:
        return 0.0
    left_ref, left_pred = Counter(t for line in ref for t in line), Counter(t for line in pred for t in line)
    hits = 0
    for line in ref:
        union: set[int] = set()
        for other in pred:
            union |= lcs_positions(line, other)
        for i in sorted(union):
            if left_ref[line[i]] > 0 and left_pred[line[i]] > 0:  # a token is never credited more often than it occurs
                left_ref[line[i]] -= 1
                left_pred[line[i]] -= 1
                hits += 1
    recall, precision = hits / n_ref, hits / n_pred
    return 2 * precision * recall / (precision + recall) if hits else 0.0


def lcs_positions(a: Sequence[str], b: Sequence[str]) -> set[int]:
    """Positions in `a` of one longest common subsequence of `a` and `b`.

    Of several, the one found from the ends by: a match is taken; else step back in `b` if table[i][j-1] > table[i-1][j]; else
    in `a`. The union over lines depends on that choice, so it is part of the metric.
    """
    where: dict[str, int] = {}
    for j, token in enumerate(b):
        where[token] = where.get(token, 0) | (1 << j)
    full = (1 << len(b)) - 1
    # rows[i] has bit j set where table[i][j+1] == table[i][j] + 1; so table[i][j] is the number of set bits below j.
    row, rows = 0, [0]
    for token in a:
        x = row | where.get(token, 0)
        row = x & ~(x - ((row << 1) | 1)) & full
        rows.append(row)
    found, i, j = set(), len(a), len(b)
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            found.add(i - 1)
            i, j = i - 1, j - 1
            continue
        below = (1 << j) - 1
        if (rows[i] & (below >> 1)).bit_count() > (rows[i - 1] & below).bit_count():
            j -= 1
        else:
            i -= 1
    return found
