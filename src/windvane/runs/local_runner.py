"""The runner of this process: units one after another, each journaled when done, with a progress bar.

In: a run folder, a stage name ("iter-1/responses"), units (key, payload). Out: `RUN/<stage>.jsonl`. A unit that was journaled before
is not run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from windvane.runs.store import PULSE, Journal, RunFolder


class LocalRunner:
    """`quiet` hides the bar. Where standard error is not a terminal, a line every ten minutes takes its place."""

    def __init__(self, run: RunFolder, quiet: bool = False) -> None:
        self.folder = run
        self.quiet = quiet
        run.pulse = None if quiet else PULSE

    def run(
        self, stage: str, units: Sequence[tuple[str, Any]], work: Callable[[Any], Iterable[dict[str, Any]]]
    ) -> None:
        from tqdm import tqdm

        final = self.folder / f"{stage}.jsonl"
        if final.exists():
            final.with_suffix(".journal").unlink(missing_ok=True)  # left by a kill between publishing and removing
            return
        start, cpu = time.perf_counter(), time.process_time()
        journal = Journal(final)
        left = [u for u in units if u[0] not in journal.done]
        bar = tqdm(
            total=len(units), initial=len(units) - len(left), desc=stage, unit="batch", disable=self.quiet or None
        )
        try:
            for key, payload in left:
                self.folder.status(stage, len(journal.done), len(units))
                journal.add(key, work(payload))
                bar.update()
        finally:
            bar.close()
            journal.close()
        journal.finish([key for key, _ in units])
        self.folder.timing(stage, time.perf_counter() - start, time.process_time() - cpu, len(left))
