"""Does a text hold a prompt of a published test set? By fingerprints: no text of a test set is shipped.

In: texts. Out: for each the test prompt that it is, or that it holds, or None. A set is a file of known_tests/: a line a prompt, its row
and truncated SHA-256s: of the whole prompt, and of runs of words in it (the first, the middle and the last run of 13 words, or of all
words where there are 6 to 12). Words are compared in lower case without punctuation, as `leakage` does, which is for test sets at hand:
it finds any run of 13 words, this one a whole prompt wherever it stands, and of a cut one what still holds a fingerprinted run.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from windvane.prompts.values import plain

RUN, SHORTEST = 13, 6  # words
DIGITS = 16  # hexadecimal: 64 bits, so that a million texts meet one by chance with probability 1e-8


@dataclass(frozen=True, slots=True)
class TestSet:
    """`prompts`: how many; `sizes`: the lengths in words of the fingerprinted runs."""

    name: str
    prompts: int
    whole: dict[str, int]  # fingerprint -> row
    runs: dict[str, int]
    filter: frozenset[int]  # a cheap hash of each run, looked at first
    sizes: frozenset[int]


def fingerprint(words: str) -> str:
    """Of words joined by single blanks."""
    return hashlib.sha256(words.encode()).hexdigest()[:DIGITS]


def runs_of(words: Sequence[str]) -> list[str]:
    """The runs of a test prompt that are fingerprinted."""
    size = min(RUN, len(words))
    if size < SHORTEST:
        return []
    last = len(words) - size
    return [" ".join(words[i : i + size]) for i in dict.fromkeys((0, last // 2, last))]


def lines(prompts: Sequence[str]) -> Iterator[str]:
    """The lines of a set's file: row, size of its runs, fingerprint of the whole, and a fingerprint and a checksum for each run."""
    for row, prompt in enumerate(prompts, 1):
        words = plain(prompt).split()
        found = [f"{fingerprint(run)}:{zlib.crc32(run.encode()):08x}" for run in runs_of(words)]
        yield " ".join([str(row), str(min(RUN, len(words))), fingerprint(" ".join(words)), *found])


@cache
def known_sets() -> tuple[TestSet, ...]:
    """Every set that is shipped."""
    room = files("windvane") / "data" / "known_tests"
    return tuple(
        _read(one.read_text("utf-8"))
        for one in sorted(room.iterdir(), key=lambda p: p.name)
        if one.name.endswith(".txt")
    )


def _read(text: str) -> TestSet:
    """The first line is a comment that opens with the set's name and a colon."""
    head, *rows = [line for line in text.splitlines() if line.strip()]
    whole: dict[str, int] = {}
    runs: dict[str, int] = {}
    sizes, checks, count = set[int](), set[int](), 0
    for line in rows:
        if line.startswith("#"):
            continue
        row, size, all_of_it, *parts = line.split()
        count += 1
        whole.setdefault(all_of_it, int(row))
        for part in parts:
            mark, _, check = part.partition(":")
            runs.setdefault(mark, int(row))
            checks.add(int(check, 16))
            sizes.add(int(size))
    return TestSet(head.lstrip("# ").partition(":")[0], count, whole, runs, frozenset(checks), frozenset(sizes))


def overlap(text: str, tests: TestSet) -> int | None:
    """The row of `tests` whose prompt `text` is or holds."""
    words = plain(text).split()
    if not words:
        return None
    row = tests.whole.get(fingerprint(" ".join(words)))
    if row is not None:
        return row
    for size in sorted(tests.sizes, reverse=True):
        for i in range(len(words) - size + 1):
            run = " ".join(words[i : i + size])
            if zlib.crc32(run.encode()) in tests.filter and (found := tests.runs.get(fingerprint(run))) is not None:
                return found
    return None
