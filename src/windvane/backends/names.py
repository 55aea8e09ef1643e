"""How a backend is named on the command line and in a recipe, and what each name opens.

`world:FAMILY[:NAME]`, `local:MODEL`, `pairrm:MODEL`, `reward:MODEL`, `gpm:MODEL`, `http://HOST:PORT/v1#MODEL` (or https),
`scripted:FILE`, `llm:BACKEND` and `rubric:BACKEND` (a generator asked to compare or to grade), `human`, `py:module:object`. The tables are
literal: a name is the text before the first colon, its value says where its code is, imported when it is asked for. A family without NAME
gives its proxy, the judge that training sees; a server's address where a judge is wanted means `llm:` of it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windvane.errors import UserError
from windvane.protocols import Generator, PairJudge, RubricJudge

if TYPE_CHECKING:
    from windvane.backends.http_spec import Server

JUDGES = {
    "reward": "windvane.backends.reward:open_judge",
    "pairrm": "windvane.backends.pairrm:open_judge",
    "gpm": "windvane.backends.gpm:open_judge",
    "llm": "windvane.backends.llm_judge:open_judge",
    "human": "windvane.backends.human:open_judge",
    "py": "windvane.backends.function:open_judge",
}
GENERATORS = {
    "local": "windvane.backends.local:open_generator",
    "scripted": "windvane.backends.scripted:open_generator",
    "py": "windvane.backends.function:open_generator",
}
SERVERS = ("http", "https")
WORLD_JUDGES = {"styles": "windvane.world.styles:judge", "facts": "windvane.world.facts:judge"}


def resolve_judge(
    spec: str,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
) -> PairJudge:
    """The judge that `spec` names. An unknown name is a `UserError` that lists what there is. Of a server: how it is asked, and where
    its answers are journaled as they arrive (`windvane.backends.http_endpoint.Endpoint`)."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        kind, rest = "llm", spec
    if kind == "world":
        family, _, name = rest.partition(":")
        if family not in WORLD_JUDGES:
            raise UserError(f"judge {spec}: no such family of the embedded world; there are: {', '.join(WORLD_JUDGES)}")
        return _named(WORLD_JUDGES[family])(name or "proxy")
    if kind not in JUDGES or (not rest and kind != "human"):
        raise UserError(
            f"judge {spec}: not known; a judge is world:FAMILY[:NAME], pairrm:MODEL, reward:MODEL, gpm:MODEL, llm:BACKEND, "
            "human or py:module:object"
        )
    if kind == "llm":
        return _named(JUDGES[kind])(rest, device=device, dtype=dtype, server=server, calls=calls)
    return _named(JUDGES[kind])(rest, device=device, dtype=dtype)


def resolve_rubric_judge(
    spec: str,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
) -> RubricJudge:
    """The judge of grades that `rubric:BACKEND` names."""
    kind, _, rest = spec.partition(":")
    if kind != "rubric" or not rest:
        raise UserError(f"judge {spec}: not known; a judge of grades is rubric:BACKEND")
    return _named("windvane.backends.rubric:open_judge")(rest, device=device, dtype=dtype, server=server, calls=calls)


def resolve_generator(
    spec: str,
    sampling: Any,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
) -> Generator:
    """The generator that `spec` names, sampling by `sampling` (`windvane.backends.local.Sampling`). Of a server: how it is asked, and
    where its answers are journaled as they arrive (`windvane.backends.http_endpoint.Endpoint`)."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return _named("windvane.backends.http_generator:open_generator")(spec, sampling, server=server, calls=calls)
    if kind == "world" and rest:
        kind, rest = "local", spec
    if kind not in GENERATORS or not rest:
        raise UserError(
            f"generator {spec}: not known; a generator is world:FAMILY, local:MODEL, http://HOST:PORT/v1#MODEL, scripted:FILE or "
            "py:module:object"
        )
    return _named(GENERATORS[kind])(rest, sampling, device=device, dtype=dtype)


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
