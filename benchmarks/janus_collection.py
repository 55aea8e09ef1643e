"""The collection builder at the paper's size, with a scripted writer: rows a second, CPU seconds and peak memory.

    python benchmarks/janus_collection.py --instructions 65000 --json
    python benchmarks/janus_collection.py --instructions 500            # a look

In: nothing. Out: one run of `windvane run janus` in this process, 3 sets an instruction, in a temporary folder. The writer is a programme:
replies are made of pseudo-words by the prompt alone, and by plan 3% of the first replies cannot be read (and are asked for again), 0.1%
never can be, and 2% of the system messages copy one of 50 with 10% of the words replaced. A row is a row of collection.jsonl: one
instruction, system message and answer, for which ten chats were asked in all (4 + 3 + 3 an instruction).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.core.records import Prompt, Response
from windvane.janus.collection.recipe import run
from windvane.janus.collection.settings import Janus

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES[::2] for c in ("", "n", "r", "s")]
MEANT = re.compile(r"in one respect only: ([\w ]+) \(|^Write (the system message) for an assistant", re.MULTILINE)
FIRST, NEVER, COPIES = (
    0.03,
    0.001,
    0.02,
)  # by plan: replies that cannot be read at first, or never; system messages that repeat


class ScriptedWriter:
    """A `Generator` by its name `py:benchmarks.janus_collection:ScriptedWriter`."""

    def __init__(self, sampling: Any = None) -> None:
        self.calls = 0

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        self.calls += len(prompts) * len(indices)
        return [[Response(f"{p.id}-{i}", p.id, i, reply(p, i), (), "stop") for i in indices] for p in prompts]


def reply(prompt: Prompt, index: int) -> str:
    """What the writer says to a chat: a function of the chat and of how often it was asked."""
    rng = random.Random(prompt.id)
    luck = rng.random()
    if luck < NEVER or (luck < FIRST and index == 0):
        return "" if prompt.messages[0].role == "system" else "I would rather not."
    meant = MEANT.search(prompt.messages[-1].content) if len(prompt.messages) == 1 else None
    if meant is None:
        return " ".join(rng.choices(WORDS, k=120))
    if meant[2] is None:
        items = [dict(zip(("subdimension", "preference", "description"), texts(rng))) for _ in range(3)]
        return json.dumps(items)
    words = rng.choices(WORDS, k=140)
    if rng.random() < COPIES:
        base = random.Random(rng.randrange(50)).choices(WORDS, k=140)
        words = [w if rng.random() < 0.1 else b for w, b in zip(words, base)]
    return "You are a " + " ".join(words) + "."


def texts(rng: random.Random) -> tuple[str, str, str]:
    return rng.choice(WORDS), " ".join(rng.choices(WORDS, k=3)), " ".join(rng.choices(WORDS, k=20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=65_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rng = random.Random(0)
        source = Path(place) / "instructions.jsonl"
        asked = (" ".join(rng.choices(WORDS, k=rng.randint(8, 60))) for _ in range(options.instructions))
        source.write_text("".join(json.dumps({"prompt": text, "main_source": "made"}) + "\n" for text in asked))
        name = "py:benchmarks.janus_collection:ScriptedWriter"
        settings = Janus(str(source), name, batch=options.batch, threads=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        run(settings, str(Path(place) / "run"), quiet=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        summary = json.loads((Path(place) / "run/summary.json").read_text())
        stages: dict[str, float] = {}
        for line in (Path(place) / "run/timings.jsonl").read_text().splitlines():
            stages[json.loads(line)["stage"]] = round(json.loads(line)["cpu_seconds"], 1)
        size = sum(p.stat().st_size for p in (Path(place) / "run").rglob("*") if p.is_file())
    told = {
        "instructions": summary["instructions"],
        "rows": summary["rows"],
        "rows_per_second": round(summary["rows"] / wall, 1),
        "rows_per_cpu_second": round(summary["rows"] / cpu, 1),
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_of_stages": stages,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "memory_before_mb": round(before / 1024),
        "folder_mb": round(size / 2**20),
        "near_duplicates": summary["near_duplicates"],
        "rejected": summary["rejected"],
    }
    print(json.dumps(told) if options.json else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
