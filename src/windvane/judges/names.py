"""How a judge is named on the command line and in a recipe, and what each name opens.

A judge of pairs is `toy:FAMILY[:NAME]` (or `world:`), `pairrm:MODEL`, `reward:MODEL`, `gpm:MODEL`, `llm:BACKEND` (a generator that is
asked to compare), `rubric:BACKEND` (one that is asked for grades, which are compared), `human` or `py:module:object`; a server's address
means `llm:` of it. A judge of grades is `rubric:BACKEND` or `toy:FAMILY[:NAME]`. The tables are literal: a name is the text before the
first colon, and its value is where its code is, imported when it is asked for. A toy family without NAME gives its proxy, the judge that
training sees (of judges of grades, its programme).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer, offers
from windvane.core.protocols import PairJudge, RubricJudge
from windvane.engines.names import SERVERS, load

if TYPE_CHECKING:
    from windvane.engines.http.server import Server

JUDGES = {
    "reward": "windvane.judges.reward:open_judge",
    "pairrm": "windvane.judges.pairrm.judge:open_judge",
    "gpm": "windvane.judges.gpm:open_judge",
    "llm": "windvane.judges.llm:open_judge",
    "rubric": "windvane.judges.rubric_pairs:open_judge",
    "human": "windvane.judges.human:open_judge",
    "py": "windvane.judges.function:open_judge",
}
GRADERS = {
    "rubric": "windvane.judges.rubric:open_judge",
    "py": "windvane.judges.function:open_grader",
}


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
    if kind in SERVERS:
        kind, rest = "llm", spec
    if is_family(spec):
        judge, name = offer(spec, "judge")
        return judge(name or "proxy")  # type: ignore[no-any-return]
    if kind not in JUDGES or (not rest and kind != "human"):
        raise UserError(
            f"judge {spec}: not known; a judge is toy:FAMILY[:NAME], pairrm:MODEL, reward:MODEL, gpm:MODEL, llm:BACKEND, "
            "rubric:BACKEND, human or py:module:object"
        )
    judge = load(JUDGES[kind])
    if kind == "rubric":
        return judge(spec, device, dtype, server, calls, rubrics, slope)  # type: ignore[no-any-return]
    asked = {"server": server, "calls": calls} if kind == "llm" else {}
    return judge(rest, device=device, dtype=dtype, **asked)  # type: ignore[no-any-return]


def resolve_rubric_judge(
    spec: str,
    device: str = "auto",
    dtype: str = "float32",
    server: Server | None = None,
    calls: Path | None = None,
) -> RubricJudge:
    """The judge of grades that `rubric:BACKEND` names: a generator that is asked, or `py:module:object` with `.grade`; or the toy world's
    programme, `toy:FAMILY[:NAME]`, with or without `rubric:` before it."""
    kind, _, rest = spec.partition(":")
    program = spec if is_family(spec) else rest
    if is_family(spec) or (kind == "rubric" and offers(rest, "grader")):
        grader, name = offer(program, "grader")
        return grader(name or "programme")  # type: ignore[no-any-return]
    if kind != "rubric" or not rest:
        raise UserError(f"judge {spec}: not known; a judge of grades is rubric:BACKEND")
    if rest.startswith("py:"):
        own_grader = load(GRADERS["py"])(rest.removeprefix("py:"))
        if own_grader is not None:
            return own_grader  # type: ignore[no-any-return]
    return load(GRADERS["rubric"])(rest, device=device, dtype=dtype, server=server, calls=calls)  # type: ignore[no-any-return]
