"""The start of a run, and of every resume: its settings stand, and what a finished run lost is made again.

In: a run folder, a recipe's settings, from the command line or from Python. Out: recipe.toml. How a server is asked (its prices, budget,
patience) may change between resumes: it changes no row, and a spent budget is meant to be raised; every other setting must stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from windvane.core.errors import UserError
from windvane.core.schema import decode, encode
from windvane.core.settings import differences, is_digest, settle, to_toml
from windvane.losses.batch import digest_of
from windvane.run.store import RunFolder, write_atomic
from windvane.train.processes import here
from windvane.train.settings import Train

T = TypeVar("T")
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


def resolved(settings: T, out: str | Path) -> T:
    """The settings as recipe.toml will hold them; every recipe begins with this, so that it makes no difference whether they come from the
    command line or from Python. Values are checked against the types of their fields, a path becomes its text and a list a tuple. A thread
    count that was left open becomes the one that the run was started with, or else the number that PyTorch takes here (the count moves the
    last bits). A loss of the user's own is named with its file's digest. Errors: `UserError` naming the field, or an empty `out`."""
    if not str(out).strip():
        raise UserError("out: is empty; name the run's folder")
    found: Any = decode(type(settings), _text_of_paths(encode(settings)))
    if here().lead:  # the other processes are held to the first one's digest
        stages = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
        digests = {
            name: dataclasses.replace(train, objective_sha256=digest_of(train.objective))
            for name, train in stages.items()
            if isinstance(train, Train)
        }
        found = dataclasses.replace(found, **digests)
    if found.threads is not None:
        return found  # type: ignore[no-any-return]
    recipe = Path(out) / "recipe.toml"
    if recipe.exists():
        with contextlib.suppress(tomllib.TOMLDecodeError, UnicodeDecodeError):
            kept = tomllib.loads(recipe.read_text(encoding="utf-8")).get("threads")
            # a run that was started without a count goes on without one
            return dataclasses.replace(found, threads=kept if isinstance(kept, int) else None)
    import torch

    return dataclasses.replace(found, threads=torch.get_num_threads())  # type: ignore[no-any-return]


def take_threads(settings: Any) -> None:
    """Let PyTorch use the settings' number of threads; where they name none, it stays as it is."""
    import torch

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)


def _text_of_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _text_of_paths(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_text_of_paths(v) for v in value]
    return str(value) if isinstance(value, Path) else value


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


def renew_loss(run: RunFolder, settings: Any) -> bool:
    """Whether the user's own loss is another than the run was started with, and nothing has been trained by it: then recipe.toml takes the
    new one, which a line says, and the reference's log-probs are made again. So a loss that failed at its first step can be mended without
    sampling and judging again. Where something was trained, `settle` refuses the change."""
    recipe = run / "recipe.toml"
    text = to_toml(settings)
    held: dict[str, Any] = {}
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        held = tomllib.loads(recipe.read_text(encoding="utf-8"))
    changed = differences(held, tomllib.loads(text)) if held else []
    trained = any(run.path.glob("**/model/*")) or any(run.path.glob("**/checkpoints/step-*"))
    if trained or not changed or not any(is_digest(line) for line in changed):
        return False
    # a new version may have other settings than the old one, and these are written down beside its digest
    if not all(is_digest(line) or "objective_args" in line.partition(": ")[0] for line in changed):
        return False
    for name in ("reference", "slow"):
        for file in [*run.path.glob(f"**/{name}.jsonl"), *run.path.glob(f"**/{name}.journal")]:
            file.unlink()
    write_atomic(recipe, text)
    run.tell(
        "the loss was changed since this run was started, and nothing was trained by it yet: the run goes on with the new one"
    )
    return True


def begin(run: RunFolder, settings: Any) -> None:
    """Write recipe.toml, or refuse settings that differ from it."""
    recipe = run / "recipe.toml"
    if not run.finished("heldout.jsonl"):  # nothing was made yet
        forget(run, settings)
    renew_loss(run, settings)
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
