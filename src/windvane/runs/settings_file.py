"""Settings in a run folder: written down when a run starts, compared with whenever it is resumed.

In: a recipe's settings, from the command line or from Python. Out: recipe.toml (or another file of settings). How a server is asked (its
prices, budget, patience) may change between resumes: it changes no row, and a spent budget is meant to be raised. Every other setting must
stay as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from windvane.core.errors import UserError
from windvane.core.schema import decode, encode
from windvane.core.settings import differences, to_toml
from windvane.runs.store import RunFolder, package_version, write_atomic

S = TypeVar("S")
OF_OTHER_VERBS = ("judge.toml", "eval.toml", "harness.toml", "settings.json")  # settings of verbs without a recipe.toml
BEFORE_THE_FIRST_ROW = {"recipe.toml", "data.toml", "run.lock", "log.jsonl", "status.json", "timings.jsonl", "logs"}


def resolved(settings: S, out: str | Path) -> S:
    """The settings as recipe.toml will hold them, wherever they come from. Values are checked against the types of their fields; a path
    becomes its text and a list a tuple. An open thread count becomes the one that the run was started with, or else the number that PyTorch
    takes on this machine (the count changes the last bits). Errors: `UserError` naming the field, or an empty `out`."""
    if not str(out).strip():
        raise UserError("out: is empty; name the run's folder")
    checked: Any = decode(type(settings), _paths_as_text(encode(settings)))
    if not hasattr(checked, "threads") or checked.threads is not None:
        return checked  # type: ignore[no-any-return]
    recipe = Path(out) / "recipe.toml"
    if recipe.exists():
        with contextlib.suppress(tomllib.TOMLDecodeError, UnicodeDecodeError):
            recorded = tomllib.loads(recipe.read_text(encoding="utf-8")).get("threads")
            # A run that was started without a count is resumed without one.
            return dataclasses.replace(checked, threads=recorded if isinstance(recorded, int) else None)
    import torch

    return dataclasses.replace(checked, threads=torch.get_num_threads())  # type: ignore[no-any-return]


def use_threads(settings: Any) -> None:
    """Let PyTorch use the settings' number of threads. Settings that name none leave it as it is."""
    if getattr(settings, "threads", None) is not None:
        import torch

        torch.set_num_threads(settings.threads)


def record_settings(path: Path, settings: Any) -> None:
    """Write `settings` to `path` at the first start, and compare with it at a later one. Settings that differ in their server alone are
    written anew unless the run is finished. Errors: `UserError` naming what else differs, and the version that made the run where that
    version had other settings than this one."""
    text = to_toml(settings)
    if not path.exists():
        write_atomic(path, text)
        return
    try:
        recorded = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); put the run's settings back or use another --out") from None
    given = tomllib.loads(text)
    changed = changed_settings(recorded, given)
    if not changed:
        return
    if all(line.startswith("server.") for line in changed):
        if not (path.parent / "manifest.json").exists():
            write_atomic(path, text)
        return
    losses = [line.partition(".objective_sha256: ")[0] for line in changed if is_digest(line)]
    if losses and len(losses) == len(changed):
        raise UserError(
            f"{path}: the loss {recorded.get(losses[0], {}).get('objective')} was changed since this run was started; put its file back as "
            "it was, or use another --out"
        )
    version = version_of(path.parent)
    if version != package_version() and not _same_fields(recorded, settings):
        raise UserError(
            f"{path}: this run was made by windvane {version}, whose settings are not this version's ({'; '.join(changed[:5])}); finish it "
            "with that version or use another --out"
        )
    raise UserError(f"{path}: this run was started with other settings ({'; '.join(changed[:5])}); use another --out")


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`differences` of two tables of settings; `world:` is an alias of `toy:`, the name that windvane 0.1 gave its embedded models."""
    return differences(_without_aliases(old), _without_aliases(new))


def renew_loss(run: RunFolder, settings: Any, others: Sequence[str] = ()) -> None:
    """Take a user's own loss that was changed since the run was started, where nothing was trained by it yet: recipe.toml is written anew,
    and the reference's log-probs and the files that match `others` are made again. So a loss that failed at its first step can be repaired
    without sampling and judging again. Once something was trained, `record_settings` refuses the change."""
    recipe, text = run / "recipe.toml", to_toml(settings)
    recorded: dict[str, Any] = {}
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        recorded = tomllib.loads(recipe.read_text(encoding="utf-8"))
    changed = changed_settings(recorded, tomllib.loads(text)) if recorded else []
    trained = any(run.path.glob("**/model/*")) or any(run.path.glob("**/checkpoints/step-*"))
    if trained or not any(is_digest(line) for line in changed):
        return
    # A new loss may have other settings than the old one, and these are written down beside its digest.
    if not all(is_digest(line) or "objective_args" in line.partition(": ")[0] for line in changed):
        return
    for pattern in ("**/reference.jsonl", "**/reference.journal", "**/slow.jsonl", "**/slow.journal", *others):
        for file in list(run.path.glob(pattern)):
            file.unlink()
    write_atomic(recipe, text)
    run.tell(
        "the loss was changed since this run was started, and nothing was trained by it yet: the run takes the new one"
    )


def is_digest(difference: str) -> bool:
    """Whether a line of `differences` is of the file of a user's own loss."""
    return difference.partition(": ")[0].endswith(".objective_sha256")


def version_of(run: Path) -> str:
    """The version that last worked on a run, from its status.json. Version 0.1 wrote none there. Where there is no such file, as in the
    folder of an evaluation, nothing tells another version from this one."""
    try:
        text = (run / "status.json").read_text(encoding="utf-8")
    except OSError:
        return package_version()
    with contextlib.suppress(ValueError):
        return str(json.loads(text).get("version", "0.1"))
    return "0.1"


def discard_settings(run: RunFolder, settings: Any) -> None:
    """Remove the settings of a start that made nothing, so that they bind no later one. Errors: `UserError` where the folder holds what
    another verb made."""
    recorded: dict[str, Any] = {}
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        recorded = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    unknown = sorted(set(recorded) - {f.name for f in dataclasses.fields(settings)})
    others = [name for name in OF_OTHER_VERBS if run.finished(name)]
    if others or (unknown and any(p.name not in BEFORE_THE_FIRST_ROW for p in run.path.iterdir())):
        what = others[0] if others else f"recipe.toml, with '{unknown[0]}'"
        raise UserError(f"{run.path}: holds what another verb made ({what}); use another --out")
    for name in ("recipe.toml", "data.toml"):
        (run / name).unlink(missing_ok=True)


def _paths_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _paths_as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_paths_as_text(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _without_aliases(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_aliases(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_aliases(v) for v in value]
    return re.sub(r"(?<!\w)world:", "toy:", value) if isinstance(value, str) else value


def _same_fields(recorded: dict[str, Any], settings: Any) -> bool:
    """Whether a recorded table has every field of `settings` but those that may be left out (TOML has no null), and no other field."""
    fields = {f.name: f for f in dataclasses.fields(settings)}
    if set(recorded) - set(fields):
        return False
    for name, field in fields.items():
        value = getattr(settings, name)
        if name not in recorded:
            if value is not None and field.default is not None:
                return False
        elif dataclasses.is_dataclass(value) and not (
            isinstance(recorded[name], dict) and _same_fields(recorded[name], value)
        ):
            return False
    return True
