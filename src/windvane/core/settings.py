"""Settings: frozen dataclasses are the only truth; TOML is how a resolved run is written down and read back."""

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


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value
