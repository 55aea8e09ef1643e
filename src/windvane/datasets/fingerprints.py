"""Does a text hold a prompt of a published test set? By fingerprints: no text of a test set is shipped.

In: texts. Out: for each the test prompt that it is, or that it holds, or None. A set is a file of test_sets/, written by
`main` below: a line a prompt, its row and truncated SHA-256s: of the whole prompt, and of runs of words in it (the first, the
middle and the last run of 13 words, or of all words where there are 6 to 12). A run that stands in several prompts of a set is their
common form ("Your answer must contain a title, wrapped in ..."), tells no prompt, and is left out. Words are compared in lower case
without punctuation, as `leakage` does, which is for test sets at hand: it finds any run of 13 words, this one a whole prompt wherever
it stands, and of a cut one what still holds a fingerprinted run.

    python -m windvane.datasets.fingerprints question.jsonl --name MT-Bench --field turns --note "..." --out mt_bench.txt

writes a set's file from its published one: JSON lines, or a list in a JSON file, and the field that holds the prompt (a text, or the
turns of one: each is a prompt of its own). The file holds a line of name, note, count and the SHA-256 of the file that was read, then
fingerprints.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.text import normalize
from windvane.runs.store import file_sha256, read_jsonl, write_atomic

RUN, SHORTEST = 13, 6  # words
BLANK = ord(" ")
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
    split = [normalize(prompt).split() for prompt in prompts]
    wanted = {run: len(run.split()) for words in split for run in runs_of(words)}
    often: Counter[str] = Counter()  # in how many prompts a run stands, wherever
    for words in split:
        every = {" ".join(words[i : i + n]) for n in set(wanted.values()) for i in range(len(words) - n + 1)}
        often.update(every & wanted.keys())
    for row, words in enumerate(split, 1):
        found = [f"{fingerprint(run)}:{zlib.crc32(run.encode()):08x}" for run in runs_of(words) if often[run] == 1]
        yield " ".join([str(row), str(min(RUN, len(words))), fingerprint(" ".join(words)), *found])


@cache
def known_sets() -> tuple[TestSet, ...]:
    """Every set that is shipped."""
    room = files("windvane") / "datasets" / "test_sets"
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


def overlaps(text: str, sets: Sequence[TestSet]) -> list[int | None]:
    """For each of the sets the row whose prompt `text` is or holds, or None; the runs of `text` are gone through once for all of them."""
    data = normalize(text).encode()
    if not data:
        return [None] * len(sets)
    whole = hashlib.sha256(data).hexdigest()[:DIGITS]
    found = [tests.whole.get(whole) for tests in sets]
    starts = [0, *(i + 1 for i, sign in enumerate(data) if sign == BLANK)]
    ends = [*(i - 1 for i in starts[1:]), len(data)]
    view = memoryview(data)
    for size in sorted({size for tests in sets for size in tests.sizes}, reverse=True):
        for start, end in zip(starts, ends[size - 1 :]):
            check = zlib.crc32(view[start:end])
            for place, tests in enumerate(sets):
                if check in tests.filter and found[place] is None:
                    found[place] = tests.runs.get(hashlib.sha256(view[start:end]).hexdigest()[:DIGITS])
    return found


# ---- writing a set's file --------------------------------------------------------------------------------------------------------------

COLUMNS = "# row, words of a run, SHA-256 of the whole (64 bits), then SHA-256:CRC-32 of up to three runs (see datasets/fingerprints.py)"


def prompts_of(path: Path, field: str) -> list[str]:
    """The set's prompts in the file's order. `UserError` names the row that has none."""
    if path.suffix == ".json":
        rows: list[tuple[int, Any]] = list(enumerate(json.loads(path.read_text(encoding="utf-8")), 1))
    else:
        rows = list(read_jsonl(path))
    found: list[str] = []
    for number, row in rows:
        value = row.get(field) if isinstance(row, dict) else None
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise UserError(f"{path}: row {number}: field '{field}' is no text and no list of texts; name it: --field")
        found += texts
    return found


def written(path: Path, field: str, name: str, note: str) -> str:
    """The text of the set's file."""
    prompts = prompts_of(path, field)
    head = f"# {name}: fingerprints of {len(prompts)} prompts, {note}; source SHA-256 {file_sha256(path)}; no text"
    return "\n".join([head, COLUMNS, *lines(prompts)]) + "\n"


def main() -> None:
    parser = ArgumentParser(prog="python -m windvane.datasets.fingerprints", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", required=True, help="what `windvane inspect` calls the set")
    parser.add_argument("--field", default="prompt")
    parser.add_argument("--note", required=True, help="whose, under which licence, from which release")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_atomic(given.out, written(given.file, given.field, given.name, given.note))


if __name__ == "__main__":
    main()
