"""Texts that nearly repeat an earlier one: MinHash finds candidates, ROUGE-L decides.

In: texts in order. Out: for each that is dropped, the earlier kept text it repeats and their ROUGE-L (F1 over words in [0, 1]: twice the
longest common subsequence over the two lengths). Sketches are datasketch's MinHash of word pairs, 192 values a text; two texts are
candidates where one of 64 bands of 3 values is equal, so with word pairs of Jaccard similarity J they meet with probability
1 - (1 - J^3)^64: 0.89 where words replaced here and there leave a ROUGE-L of 0.7, 0.98 at 0.75, 0.999 at 0.8.

Departure from datasketch's own index: bands are grouped by sorting a matrix instead of by a set a bucket, which takes a hundredth of the
memory. Words are runs of letters and digits in any script, in lower case; rouge-score knows a-z and 0-9 alone.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from windvane.core.extras import require
from windvane.core.text import normalize

PURPOSE = "looking for near-duplicates"
BANDS, ROWS = 64, 3
CROWD = 200  # kept texts compared with in one bucket; a bucket with more is a stock phrase
WORD_LIMIT = 0x10FFFF - 0x800  # code points that may stand for words


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """`of`: text -> (the earlier kept text it repeats, their ROUGE-L), by position. `unchecked`: kept texts of which some candidates were
    not compared, because a bucket held more than `CROWD` kept texts."""

    of: dict[int, tuple[int, float]]
    unchecked: int


def need_packages() -> None:
    """Raise `UserError` where the packages that this file needs are missing, so that a command can say so before it begins."""
    for module in ("datasketch", "rapidfuzz.distance"):
        require(module, PURPOSE, "data")


def rouge_l(first: str, second: str) -> float:
    """F1 over words; 0 where either has none."""
    similarity = require("rapidfuzz.distance", "ROUGE-L between texts", "data").Indel.normalized_similarity
    a, b = normalize(first).split(), normalize(second).split()
    return similarity(a, b) if a and b else 0.0


def near_duplicates(texts: Sequence[str], threshold: float = 0.7, seed: int = 1) -> NearDuplicates:
    """Go through `texts` in order and drop each whose ROUGE-L with a kept one is at least `threshold`. Texts without a word are kept."""
    assert 0 < threshold <= 1
    need_packages()
    similarity_of = require("rapidfuzz.distance", PURPOSE, "data").Indel.normalized_similarity
    codes, sketches = _encoded(texts, seed)
    buckets = _buckets(sketches)
    del sketches
    kept: dict[int, list[int]] = {}
    found: dict[int, tuple[int, float]] = {}
    unchecked = 0
    for i, row in enumerate(buckets):
        if not codes[i]:
            continue
        mine = row[row >= 0].tolist()
        crowded = False
        meetings: Counter[int] = Counter()
        for bucket in mine:
            others = kept.get(bucket, [])
            crowded = crowded or len(others) >= CROWD
            meetings.update(others)
        for j, _ in meetings.most_common():
            similarity = similarity_of(codes[i], codes[j], score_cutoff=threshold)
            if similarity >= threshold:
                found[i] = (j, similarity)
                break
        else:
            unchecked += crowded
            for bucket in mine:
                others = kept.setdefault(bucket, [])
                if len(others) < CROWD:
                    others.append(i)
    return NearDuplicates(found, unchecked)


def _encoded(texts: Sequence[str], seed: int) -> tuple[list[str], np.ndarray]:
    """Each text as a string with one character a word (what rapidfuzz compares fastest), and its sketch [texts, BANDS * ROWS]."""
    characters: dict[str, str] = {}
    hashes: dict[str, int] = {}
    codes: list[str] = []

    def pairs() -> Iterator[list[int]]:
        for text in texts:
            words = normalize(text).split()
            for word in words:
                if word not in characters:
                    n = len(characters)
                    assert n < WORD_LIMIT, "more than a million different words"
                    characters[word] = chr(n if n < 0xD800 else n + 0x800)  # surrogates are no characters
                    hashes[word] = zlib.crc32(word.encode())
            codes.append("".join([characters[w] for w in words]))
            told = [hashes[w] for w in words] if len(words) != 1 else [hashes[words[0]]] * 2
            yield [(a * 0x9E3779B1 + b) & 0xFFFFFFFF for a, b in itertools.pairwise(told)]

    sketch_of = require("datasketch", PURPOSE, "data").MinHash
    sketches = np.empty((len(texts), BANDS * ROWS), dtype=np.uint32)
    made = sketch_of.generator(pairs(), num_perm=BANDS * ROWS, seed=seed, hashfunc=int, scheme="affine32")
    for i, sketch in enumerate(made):
        sketches[i] = sketch.hashvalues
    return codes, sketches


def _buckets(sketches: np.ndarray) -> np.ndarray:
    """[texts, BANDS]: the number of the bucket that a text shares with others in each band, -1 where it shares none."""
    found = np.full((len(sketches), BANDS), -1, dtype=np.int64)
    mixers = np.random.default_rng(0).integers(1, 2**63, ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    start = 0
    for band in range(BANDS):
        part = sketches[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        keys = (part * mixers).sum(axis=1, dtype=np.uint64)  # wraps around, as it should
        _, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
        shared = counts[which] > 1
        found[shared, band] = which[shared] + start
        start += len(counts)
    return found
