"""The start of a run, and of every resume: its settings stand, and what a finished run lost is made again.

In: a run folder, a recipe's settings. Out: recipe.toml. How a server is asked (its prices, budget, patience) may change between resumes: it
changes no row, and a spent budget is meant to be raised; every other setting must stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windvane.errors import UserError
from windvane.settings import differences, settle, to_toml
from windvane.store import RunFolder, write_atomic

OTHERS = ("judge.toml", "eval.toml", "harness.toml", "settings.json")  # the settings of verbs that keep no recipe.toml
SPARE = {
    "recipe.toml",
    "data.toml",
    "run.lock",
    "log.jsonl",
    "status.json",
    "timings.jsonl",
    "logs",
}  # made before the first row


@contextlib.contextmanager
def opening(run: RunFolder) -> Iterator[None]:
    """The folder is locked and stays so after the block; where the block fails it is let go."""
    run.__enter__()
    try:
        yield
    except BaseException:
        run.__exit__()
        raise


def forget(run: RunFolder, settings: Any) -> None:
    """A failed start binds nobody: its settings go. What another verb made there is no failed start, and is refused."""
    held: dict[str, Any] = {}
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        held = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    strange = sorted(set(held) - {f.name for f in dataclasses.fields(settings)})
    other = [name for name in OTHERS if run.finished(name)]
    if other or (strange and any(p.name not in SPARE for p in run.path.iterdir())):
        what = other[0] if other else f"recipe.toml, with '{strange[0]}'"
        raise UserError(f"{run.path}: holds what another verb made ({what}); use another --out")
    for name in ("recipe.toml", "data.toml"):
        (run / name).unlink(missing_ok=True)


def begin(run: RunFolder, settings: Any) -> None:
    """Write recipe.toml, or refuse settings that differ from it."""
    recipe = run / "recipe.toml"
    if not run.finished("heldout.jsonl"):  # nothing was made yet
        forget(run, settings)
    renewed = _of_another_server(recipe, settings)
    if renewed is None:
        settle(recipe, settings)
    elif not run.finished("manifest.json"):
        write_atomic(recipe, renewed)


def _of_another_server(recipe: Path, settings: Any) -> str | None:
    """The new text where recipe.toml differs from `settings` in its server alone."""
    if not recipe.exists():
        return None
    text = to_toml(settings)
    try:
        held, new = tomllib.loads(recipe.read_text(encoding="utf-8")), tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None  # settle says so
    changed = differences(held, new)
    return text if changed and all(line.startswith("server.") for line in changed) else None


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
        run.log("made again: files that the manifest names were missing", files=missing)
