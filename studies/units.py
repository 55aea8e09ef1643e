"""The work of a claim, unit by unit (one arm with one seed), in a few single-threaded processes, resumable, a line of progress each.

In: units and a function of the claim's module. Out: what it returned for each with the code's version, also kept in DIR/units/KEY.json,
from where a later start takes it. A unit works in DIR/work/KEY, which is removed when its result is kept (so a killed unit goes on from
what it had).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.runs.store import write_atomic
from windvane.toy.register import register


@dataclass(frozen=True, slots=True)
class Unit:
    """`key` names it (a file name); `settings` is plain data, all that decides its result: a kept result of others is refused."""

    key: str
    settings: dict[str, Any]


Work = Callable[[Unit, Path], dict[str, Any]]
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a claim's units are run: the folder, the function that runs one, how many at a time, the code's version."""

    out: Path
    work: Work
    workers: int
    version: str

    def run(self, units: Sequence[Unit]) -> Results:
        return run_units(units, self.work, self.out, self.workers, self.version)


def run_units(units: Sequence[Unit], work: Work, out: Path, workers: int, version: str) -> Results:
    """Each unit's result by key; `work` is a module's function, called in a process of its own where `workers` > 1. Results get
    "seconds" (wall), "cpu_seconds" and "code_version", which is `version`."""
    found = {u.key: _kept(u, out) for u in units}
    left = [u for u in units if found[u.key] is None]
    if len(left) < len(units):
        tell(f"{len(units) - len(left)} of {len(units)} units stand already")
    if workers == 1 or len(left) < 2:
        for unit in left:
            found[unit.key] = one(work, unit, out, version)
            tell(_line(unit, found, units))
    else:
        with ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_settle_in, initargs=(work.__module__, os.getpid())
        ) as pool:
            running = {pool.submit(one, work, unit, out, version): unit for unit in left}
            try:
                for done in as_completed(running):
                    unit = running[done]
                    found[unit.key] = done.result()
                    tell(_line(unit, found, units))
            except BaseException as stop:
                # What runs is waited for: it would write the result that the next start is making again.
                if isinstance(stop, KeyboardInterrupt):
                    tell("interrupted: the units that run are ended first; once more, and it ends at once")
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return {key: result for key, result in found.items() if result is not None}


def one(work: Work, unit: Unit, out: Path, version: str) -> dict[str, Any]:
    """Run a unit and keep its result."""
    folder = out / "work" / unit.key
    folder.mkdir(parents=True, exist_ok=True)
    start, cpu = time.perf_counter(), time.process_time()
    result = work(unit, folder)
    spent = {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    record = {"settings": unit.settings, "result": {**result, **spent, "code_version": version}}
    write_atomic(out / "units" / f"{unit.key}.json", json.dumps(record, allow_nan=False) + "\n")
    shutil.rmtree(folder)
    return record["result"]


def tell(text: str) -> None:
    print(f"windvane: {text}", file=sys.stderr, flush=True)


def _settle_in(module: str, parent: int) -> None:
    """Leave when the parent is killed: a unit that went on alone would stand in the way of the run that resumes it. Import what the work
    imports, once, and keep it out of every later collection: `gc.collect` of a policy that is let go would otherwise walk a million
    objects of the libraries each time."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all: the first process sees to it
    import torch
    import transformers.models.mistral.modeling_mistral  # noqa: F401

    importlib.import_module(module)
    register()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def _kept(unit: Unit, out: Path) -> dict[str, Any] | None:
    path = out / "units" / f"{unit.key}.json"
    if not path.exists():
        return None
    held = json.loads(path.read_text(encoding="utf-8"))
    if held["settings"] != json.loads(json.dumps(unit.settings)):
        raise UserError(f"{path}: was made with other settings; remove it or use another --out")
    return held["result"]


def _line(unit: Unit, found: dict[str, Any], units: Sequence[Unit]) -> str:
    done = sum(r is not None for r in found.values())
    result = found[unit.key]
    told = f", {result['told']}" if "told" in result else ""
    return f"[{done}/{len(units)}] {unit.key}{told} ({result['seconds']:.0f} s)"
