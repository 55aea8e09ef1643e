"""Settings: frozen dataclasses are the only truth; TOML is how a resolved run is written down and read back.

A recipe's settings are written to `recipe.toml` when a run starts; the same command again must resolve to the same text, or the run is
refused with the names of the settings that differ.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from windvane.core.errors import UserError
from windvane.core.families import spelled
from windvane.core.schema import decode, encode

T = TypeVar("T")


def to_toml(settings: Any) -> str:
    """The TOML text; a field that is None is left out (TOML has no null; every such field defaults to None)."""
    import tomli_w

    return tomli_w.dumps(_without_none(encode(settings)))


def from_toml(cls: type[T], path: Path) -> T:
    """Read settings strictly: an unknown key or a wrong type names its path."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML ({error})") from None
    return decode(cls, data, str(path))


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """'train.lr: 1e-06 -> 5e-07' for each leaf that differs between two plain tables."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [line for k in keys for line in differences(old.get(k), new.get(k), f"{path}.{k}" if path else k)]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        same = not any(differences(a, b) for a, b in zip(old, new))
    elif isinstance(old, str) and isinstance(new, str):
        same = spelled(old) == spelled(new)  # `toy:` and `world:` name the same thing
    else:
        same = old == new
    return [] if same else [f"{path}: {old!r} -> {new!r}"]


def settle(path: Path, settings: Any) -> None:
    """Write `settings` to `path` on the first start; on a later one refuse what differs from it."""
    from windvane.run.store import write_atomic

    text = to_toml(settings)
    if not path.exists():
        write_atomic(path, text)
        return
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); put the run's settings back or use another --out") from None
    changed = differences(held, tomllib.loads(text))
    losses = [line.partition(".objective_sha256: ")[0] for line in changed if is_digest(line)]
    if losses and len(losses) == len(changed):
        raise UserError(
            f"{path}: the loss {held.get(losses[0], {}).get('objective')} was changed since this run was started; put its file back as it "
            "was, or use another --out"
        )
    if changed:
        raise UserError(
            f"{path}: this run was started with other settings ({'; '.join(changed[:5])}); use another --out"
        )


def is_digest(difference: str) -> bool:
    """Whether a line of `differences` is of the file of a user's own loss."""
    return difference.partition(": ")[0].endswith(".objective_sha256")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value
