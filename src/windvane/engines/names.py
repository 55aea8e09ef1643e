"""How a backend is named on the command line and in a recipe, and what each name opens.

`world:FAMILY[:NAME]`, `local:MODEL`, `pairrm:MODEL`, `reward:MODEL`, `gpm:MODEL`, `http://HOST:PORT/v1#MODEL` (or https),
`scripted:FILE`, `llm:BACKEND` and `rubric:BACKEND` (a generator asked to compare or to grade; where pairs are judged, `rubric:` compares
grades), `human`, `py:module:object`. The tables are literal: a name is the text before the first colon, its value says where its code is,
imported when it is asked for. A family without NAME gives its proxy, the judge that training sees (of judges of grades, its programme); a
server's address where a judge is wanted means `llm:` of it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windvane.core.errors import UserError
from windvane.core.protocols import Generator, PairJudge, RubricJudge

if TYPE_CHECKING:
    from windvane.engines.http.server import Server

JUDGES = {
    "reward": "windvane.judges.reward:open_judge",
    "pairrm": "windvane.judges.pairrm.judge:open_judge",
    "gpm": "windvane.judges.gpm:open_judge",
    "llm": "windvane.judges.llm:open_judge",
    "human": "windvane.judges.human:open_judge",
    "py": "windvane.engines.function:open_judge",
}
GENERATORS = {
    "local": "windvane.engines.local:open_generator",
    "scripted": "windvane.engines.scripted:open_generator",
    "py": "windvane.engines.function:open_generator",
}
SERVERS = ("http", "https")
WORLD_JUDGES = {
    "styles": "windvane.toy.styles.family:judge",
    "facts": "windvane.toy.facts.family:judge",
    "values": "windvane.toy.values.family:judge",
}
WORLD_GRADERS = {"values": "windvane.toy.values.family:grader"}
WORLD_WRITERS = {"world:values:writer": "windvane.toy.values.writer:open_writer"}  # programmes, not models


def resolve_judge(
    spec: str,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
    rubrics: str | None = None,
    slope: float | None = None,
) -> PairJudge:
    """The judge that `spec` names. An unknown name is a `UserError` that lists what there is. Of a server: how it is asked, and where
    its answers are journaled as they arrive (`windvane.engines.http.endpoint.Endpoint`). Of `rubric:BACKEND`: the file of its rubrics and
    its logits a grade (`windvane.judges.rubric_pairs`)."""
    kind, _, rest = spec.partition(":")
    if kind == "rubric" and rest:
        return _named("windvane.judges.rubric_pairs:open_judge")(spec, device, dtype, server, calls, rubrics, slope)
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
            "rubric:BACKEND, human or py:module:object"
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
    """The judge of grades that `rubric:BACKEND` names: a generator that is asked, or `py:module:object` with `.grade`; or the embedded
    world's programme, `world:FAMILY[:NAME]`, with or without `rubric:` before it."""
    kind, _, rest = spec.partition(":")
    world, _, named = (spec if kind == "world" else rest).partition(":")
    family, _, name = named.partition(":")
    if kind in ("world", "rubric") and world == "world" and family in WORLD_GRADERS:
        return _named(WORLD_GRADERS[family])(name or "programme")
    if kind == "rubric" and rest.startswith("py:"):
        found = _named("windvane.engines.function:open_grader")(rest.removeprefix("py:"))
        if found is not None:
            return found
    if kind != "rubric" or not rest:
        raise UserError(f"judge {spec}: not known; a judge of grades is rubric:BACKEND")
    return _named("windvane.judges.rubric:open_judge")(rest, device=device, dtype=dtype, server=server, calls=calls)


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
        return _named("windvane.engines.http.generator:open_generator")(spec, sampling, server=server, calls=calls)
    if spec in WORLD_WRITERS:
        return _named(WORLD_WRITERS[spec])(rest, sampling, device=device, dtype=dtype)
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
