"""How a generator is named on the command line and in a recipe, and what each name opens.

`toy:FAMILY` (or `world:FAMILY`), `local:MODEL`, `http://HOST:PORT/v1#MODEL` (or https), `scripted:FILE`, `py:module:object`. The table is
literal: a name is the text before the first colon, and its value is where its code is, imported when it is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.protocols import Generator

if TYPE_CHECKING:
    from windvane.engines.http.server import Server

GENERATORS = {
    "local": "windvane.engines.local:open_generator",
    "scripted": "windvane.engines.scripted:open_generator",
    "py": "windvane.engines.function:open_generator",
}
SERVERS = ("http", "https")


def is_writer(spec: str) -> bool:
    """Whether `spec` is `toy:FAMILY:writer`, a program that answers what a writer is asked, and not a model."""
    return is_family(spec) and spec.endswith(":writer")


def resolve_generator(
    spec: str,
    sampling: Any,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
) -> Generator:
    """The generator that `spec` names, sampling by `sampling` (`windvane.engines.local.Sampling`). Of a server: how it is asked, and
    where its answers are journaled as they arrive (`windvane.engines.http.endpoint.Endpoint`)."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return load("windvane.engines.http.generator:open_generator")(spec, sampling, server=server, calls=calls)
    if is_writer(spec):
        return offer(spec, "writer")[0]()  # type: ignore[no-any-return]
    if is_family(spec) and rest:
        kind, rest = "local", spec
    if kind not in GENERATORS or not rest:
        raise UserError(
            f"generator {spec}: not known; a generator is toy:FAMILY, local:MODEL, http://HOST:PORT/v1#MODEL, scripted:FILE or "
            "py:module:object"
        )
    return load(GENERATORS[kind])(rest, sampling, device=device, dtype=dtype)  # type: ignore[no-any-return]


def load(where: str) -> Any:
    """The object that a table names as "module:object"."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
