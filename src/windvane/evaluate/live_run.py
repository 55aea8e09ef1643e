"""Where a run with a live model and judge keeps its things, and what it may spend.

In: checked options, the run folder. Out: the models under their names, the judge's `Server` settings (one budget for both), and at the end
DIR/result.json (with its `name`) and DIR/plot.svg.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from windvane.backends.http_spec import Server
from windvane.backends.server_flags import server_of
from windvane.errors import UserError
from windvane.evaluate.live_judge import within
from windvane.evaluate.live_model import Candidate
from windvane.records import content_id
from windvane.store import RunFolder, write_atomic

JUDGE_CALLS = "judge_calls.jsonl"


def judge_server(options: argparse.Namespace, run: RunFolder) -> Server:
    """The judge's settings, its budget less what models behind servers have spent in this run."""
    calls = sorted(run.path.glob("answers/*.calls.journal"))
    return within(server_of(options), [c.with_suffix(".jsonl") for c in calls])


def candidates(options: argparse.Namespace, run: RunFolder, specs: Sequence[str]) -> list[Candidate]:
    """The models in the order named. A server's money budget counts only where its price is given."""
    names = options.name or list(specs)
    if isinstance(names, str):
        names = [names]
    if len(names) != len(specs) or len({slug(n) for n in names}) != len(names):
        raise UserError(
            f"--model, --name: {len(specs)} models need as many names, all different (got {', '.join(names)})"
        )
    server = server_of(options)
    priced = bool(options.model_price_in or options.model_price_out)
    server = replace(
        server,
        price_in=options.model_price_in,
        price_out=options.model_price_out,
        budget=server.budget if priced else None,
    )
    files = {name: run / f"answers/{slug(name)}.calls.jsonl" for name in names}
    found = []
    for spec, name in zip(specs, names):
        others = [run / JUDGE_CALLS, *(path for other, path in files.items() if other != name)]
        found.append(Candidate(spec, name, options.device, options.dtype, within(server, others), files[name]))
    return found


def slug(name: str) -> str:
    """A file's name for a model's: readable, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[-60:].strip("-.")
    return plain if plain == name else f"{plain}-{content_id(name)[:6]}"


def keep(run: RunFolder, result: dict[str, Any], svg: str) -> None:
    """DIR/result.json and DIR/plot.svg, the same bytes for the same rows; then the manifest."""
    write_atomic(run / "plot.svg", svg)
    write_atomic(run / "result.json", json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    run.write_manifest()
