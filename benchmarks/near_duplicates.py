"""Near-duplicates among many system messages: seconds, peak memory, and how many of the planted copies are found.

    python -m benchmarks.near_duplicates --texts 200000 --json
    python -m benchmarks.near_duplicates --texts 20000            # a look

In: nothing. Out: one call of `windvane.datasets.near_duplicates` on made-up texts of 150 words, drawn by Zipf's law (1 / rank) out of
30,000;
5% of the texts copy an earlier one with 15% of the words replaced. Found: copies that are dropped as a repeat of any kept text.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from windvane.datasets.near_duplicates import near_duplicates

WORDS, LENGTH = 30_000, 150
COPIES, REPLACED = 0.05, 0.15


def made(count: int, seed: int) -> tuple[list[str], set[int]]:
    """(texts, which of them are copies)."""
    rng = np.random.default_rng(seed)
    reach = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = np.searchsorted(reach, rng.random((count, LENGTH)) * reach[-1])
    copies = {i for i in range(1, count) if rng.random() < COPIES}
    for i in sorted(copies):
        kept = rng.permutation(LENGTH)[round(REPLACED * LENGTH) :]
        drawn[i, kept] = drawn[rng.integers(i), kept]
    names = [f"w{n}" for n in range(WORDS)]
    return [" ".join(names[n] for n in row) for row in drawn.tolist()], copies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts, copies = made(options.texts, options.seed)
    wall, cpu = time.perf_counter(), time.process_time()
    found = near_duplicates(texts)
    told = {
        "texts": len(texts),
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "planted": len(copies),
        "found": len(copies & set(found.of)),
        "others_dropped": len(set(found.of) - copies),
        "unchecked": found.unchecked,
    }
    print(json.dumps(told) if options.json else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
