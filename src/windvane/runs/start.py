"""Opening a run's folder without a `Run`: what is not yet moved over."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from windvane.runs.store import RunFolder


@contextlib.contextmanager
def opening(run: RunFolder) -> Iterator[None]:
    """The folder is locked and stays so after the block; where the block fails it is let go."""
    run.__enter__()
    try:
        yield
    except BaseException:
        run.__exit__()
        raise


def mend(run: RunFolder) -> None:
    """Where a finished run lost a file, forget that it was finished: what is missing is made again."""
    manifest = run / "manifest.json"
    if not manifest.exists():
        return
    missing = [name for name in json.loads(manifest.read_text(encoding="utf-8")) if not (run / name).exists()]
    for name in missing:
        folder = (run / name).parent
        if "model" in Path(name).parts[:-1] and folder.exists():
            shutil.rmtree(folder)
    if missing:
        manifest.unlink()
        run.event("made again: files that the manifest names were missing", files=missing)
