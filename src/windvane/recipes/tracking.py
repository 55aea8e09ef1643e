"""`--track tensorboard`, `trackio` or `wandb`: training's metrics also go there, through accelerate's trackers.

In: a tracker's name, a run folder. Out: every "step" event of the run's log.jsonl as `train/NAME`, at a step that counts on over all
iterations and resumes (RUN/logs holds what the tracker writes; it is no part of the manifest). What is not installed is one line with
its pip command. log.jsonl is written in any case.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from windvane.errors import UserError
from windvane.store import LISTENERS

TRACKERS = {"tensorboard": "TensorBoardTracker", "trackio": "TrackioTracker", "wandb": "WandBTracker"}


@contextlib.contextmanager
def tracking(name: str | None, out: Path) -> Iterator[None]:
    """Within it the tracker listens. `UserError` for an unknown name, one that is not installed, or one that does not start."""
    if name is None:
        yield
        return
    if name not in TRACKERS:
        raise UserError(f"--track {name}: there are {', '.join(TRACKERS)}")
    if find_spec(name) is None:
        raise UserError(f"--track {name}: it is not installed; pip install {name}")
    from accelerate import tracking as trackers

    logs = out / "logs"
    kind, arguments = getattr(trackers, TRACKERS[name]), _arguments(name, logs)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        tracker = kind(out.name or "run", **arguments)
        tracker.start()
    except Exception as error:  # a login that is missing, a server that does not answer
        raise UserError(
            f"--track {name}: it did not start ({' '.join(str(error).split())[:200] or type(error).__name__})"
        ) from None
    step, told = _steps(out / "log.jsonl"), False

    def listen(text: str, fields: dict[str, Any]) -> None:
        nonlocal step, told
        if text != "step":
            return
        step += 1
        shown = {f"train/{k}": float(v) for k, v in fields.items() if isinstance(v, int | float) and k != "step"}
        try:
            tracker.log(shown, step=step)
        except Exception as error:  # a run is not lost for its tracker; log.jsonl has every step
            if not told:
                warnings.warn(f"--track {name}: it failed at step {step} ({error}); log.jsonl goes on", stacklevel=1)
            told = True

    LISTENERS.append(listen)
    try:
        yield
    finally:
        LISTENERS.remove(listen)
        tracker.finish()


def _arguments(name: str, logs: Path) -> dict[str, Any]:
    return {"tensorboard": {"logging_dir": str(logs)}, "wandb": {"dir": str(logs)}}.get(name, {})


def _steps(log: Path) -> int:
    """Steps that were logged before: a resumed run goes on from them."""
    if not log.exists():
        return 0
    count = 0
    for line in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # torn by a kill
            count += json.loads(line).get("text") == "step"
    return count
