"""`--track tensorboard`, `trackio` or `wandb`: training's metrics also go there.

In: a tracker's name, a run folder. Out: every "step" event of the run's log.jsonl as `train/NAME`, at a step that counts on over all
iterations and resumes. tensorboard's files are RUN/logs/NAME, wandb's RUN/logs/wandb; trackio keeps its own, in TRACKIO_DIR. The project
is "windvane" (or WANDB_PROJECT, TRACKIO_PROJECT), the run has the folder's name; its id is kept in RUN/logs, so a resumed run is the same
one. RUN/logs is no part of the manifest. What is not installed is one line with its pip command; what these say on starting goes to
standard error. log.jsonl is written in any case.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import uuid
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from windvane.core.errors import UserError
from windvane.runs.store import LISTENERS

TRACKERS = ("tensorboard", "trackio", "wandb")


class Tracker(Protocol):
    def log(self, values: dict[str, float], step: int) -> None: ...

    def finish(self) -> None: ...


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
    logs = out / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):
            tracker = _opened(name, out.resolve().name or "run", logs)
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
        try:
            with contextlib.redirect_stdout(sys.stderr):
                tracker.finish()
        except Exception as error:  # nor is a finished one
            warnings.warn(f"--track {name}: it did not end as it should ({error}); log.jsonl is whole", stacklevel=1)


class _Board:
    """TensorBoard's writer, by the others' two methods."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def log(self, values: dict[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()


def _opened(name: str, run: str, logs: Path) -> Tracker:
    if name == "tensorboard":
        return _Board(logs / run)
    module: Any = importlib.import_module(name)
    project = os.environ.get(f"{name.upper()}_PROJECT") or "windvane"
    mark = logs / f"{name}.id"
    if not mark.exists():
        mark.write_text(uuid.uuid4().hex[:8])
    id = mark.read_text().strip()
    if name == "wandb":
        made = module.init(project=project, name=run, id=id, resume="allow", dir=str(logs))
    else:
        made = module.init(project=project, name=f"{run}-{id}", resume="allow")  # its name is its id
    return SimpleNamespace(
        log=made.log, finish=module.finish
    )  # the run's own finish would be followed by another at exit


def _steps(log: Path) -> int:
    """Steps that were logged before: a resumed run goes on from them."""
    if not log.exists():
        return 0
    count = 0
    for line in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # torn by a kill
            count += json.loads(line).get("text") == "step"
    return count
