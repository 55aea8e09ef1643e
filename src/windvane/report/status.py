"""`windvane status RUN`: what stands, what is going on, how long it will take, how to go on.

In: a run folder, whoever works on it. Out: a line a finished stage with what it cost, one for the stage at hand with its rate and time
left (or one JSON object with --json). Nothing is locked and nothing is written. Whether it runs is told by the process that wrote
status.json, on this machine alone.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.runs.store import read_jsonl


def status(run: Path, now: float) -> dict[str, Any]:
    """{"run", "state": finished | running | stopped | not begun, "stages": [{stage, seconds, cpu_seconds, units}], "at": {stage, done,
    total, rate, seconds_left} or None, "command", "folder"}; times in seconds, rate in units of work a second of this start.
    `UserError` where `run` is no run folder."""
    if not (run / "run.lock").exists() and not (run / "recipe.toml").exists():
        raise UserError(f"{run}: not a run folder (it holds neither run.lock nor recipe.toml)")
    found: dict[str, Any] = {
        "run": str(run),
        "stages": _stages(run / "timings.jsonl"),
        "at": None,
        "command": None,
        "folder": None,
    }
    held = _held(run / "status.json")
    if held is None:
        return {**found, "state": "not begun"}
    done = held["stage"] == "done" and (run / "manifest.json").exists()
    found["state"] = "finished" if done else "running" if _alive(held) else "stopped"
    if held.get("argv"):
        found |= {"command": f"windvane {shlex.join(held['argv'])}", "folder": held["folder"]}
    if not done and held["stage"] != "done":
        found["at"] = _at(held, now if found["state"] == "running" else held["time"])
    return found


def _held(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        held["stage"], held["pid"], held["time"], held["done"], held["total"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{path}: is no status record; the next start of the run writes it anew") from None
    return held


def _alive(held: dict[str, Any]) -> bool:
    """Whether the process that wrote the record still runs; one of the same number that began later is another."""
    try:
        return bool(psutil.Process(held["pid"]).create_time() <= held["time"] + 1)
    except (psutil.Error, ValueError):
        return False


def _at(held: dict[str, Any], now: float) -> dict[str, Any]:
    done, total, spent = held["done"], held["total"], now - held.get("since", now)
    made = done - held.get("from", done)
    rate = made / spent if made > 0 and spent > 0 else None
    left = (total - done) / rate if rate else None
    return {"stage": held["stage"], "done": done, "total": total, "rate": rate, "seconds_left": left}


def _stages(path: Path) -> list[dict[str, Any]]:
    """One entry a stage in the order they ended; what a resumed stage cost is added up."""
    stages: dict[str, dict[str, Any]] = {}
    for _, row in read_jsonl(path) if path.exists() else ():
        entry = stages.setdefault(row["stage"], {"stage": row["stage"], "seconds": 0.0, "cpu_seconds": 0.0, "units": 0})
        for key in ("seconds", "cpu_seconds", "units"):
            entry[key] += row[key]
    return list(stages.values())


def clock(seconds: float) -> str:
    """4 s, 1 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    shown = [f"{found['run']}: {found['state']}"]
    width = max([len(s["stage"]) for s in found["stages"]] + [len((found["at"] or {}).get("stage", "")), 10])
    shown += [f"  {s['stage']:{width}}  done  {clock(s['seconds']):>12}" for s in found["stages"]]
    at = found["at"]
    if at:
        share = f"{at['done']} of {at['total']}" if at["total"] else "beginning"
        pace = f", {at['rate']:.2g} a second" if at["rate"] else ""
        left = (
            f", {clock(at['seconds_left'])} left"
            if at["seconds_left"] is not None and found["state"] == "running"
            else ""
        )
        shown.append(f"  {at['stage']:{width}}  {share}{pace}{left}")
    if found["state"] == "stopped" and found["command"]:
        shown.append(f"goes on with (in {found['folder']}): {found['command']}")
    return shown


def main(argv: Sequence[str]) -> int:
    """`windvane status RUN [--json]`."""
    parser = Parser(prog="windvane status", description="What stands of a run, what is going on, and how to go on.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(argv)
    if not given.run.is_dir():
        raise UserError(f"{given.run}: no such folder")
    found = status(given.run, time.time())
    print(json.dumps(found) if given.json else "\n".join(lines(found)))
    return 0
