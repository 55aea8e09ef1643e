"""Where a run with a live model and judge keeps its things, and what it may spend.

In: checked options, the run folder. Out: the settings that a run keeps, the models under their names, the judge's `Server` settings (one
budget for both), and at the end DIR/result.json (with its `name`) and DIR/plot.svg.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.engines.http.flags import HELP
from windvane.engines.http.server import Server
from windvane.evals.live.judge import within
from windvane.evals.live.model import Candidate
from windvane.evals.result_files import keep_result
from windvane.run.store import RunFolder, read_jsonl

JUDGE_CALLS = "judge_calls.jsonl"


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """What must be the same when the command is given again. Models may be added: each has settings of its own."""

    evaluation: str
    judge: str
    files: dict[str, str]
    limit: int | None
    judge_tokens: int
    batch: int


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One model's part of it."""

    model: str
    name: str
    temperature: float | None
    top_p: float
    max_new_tokens: int
    seed: int
    dtype: str


def judge_server(options: argparse.Namespace, run: RunFolder) -> Server:
    """The judge's settings, its budget less what models behind servers have spent in this run."""
    calls = sorted(run.path.glob("answers/*.calls.journal"))
    return within(priced(options, "price_in", "price_out"), [c.with_suffix(".jsonl") for c in calls])


def priced(options: argparse.Namespace, price_in: str, price_out: str) -> Server:
    """The server settings at the prices that these flags name. A budget in money holds for what has a price; `UserError` where nothing
    has one."""
    flags = ("price_in", "price_out", "model_price_in", "model_price_out")
    if options.budget is not None and not any(getattr(options, flag) for flag in flags):
        raise UserError(
            f"--budget {options.budget}: in money, so give --price-in and --price-out (for a million tokens) too"
        )
    given = {name: getattr(options, name) for name in HELP}
    given |= {"price_in": getattr(options, price_in), "price_out": getattr(options, price_out)}
    given["judge_tokens"] = getattr(options, "pair_tokens", Server().judge_tokens)
    return Server(**given | ({} if given["price_in"] or given["price_out"] else {"budget": None}))


def candidates(options: argparse.Namespace, run: RunFolder, specs: Sequence[str]) -> list[Candidate]:
    """The models in the order named. A server's money budget counts only where its price is given."""
    names = options.name or list(specs)
    if isinstance(names, str):
        names = [names]
    if len(names) != len(specs) or len({slug(n) for n in names}) != len(names):
        raise UserError(
            f"--model, --name: {len(specs)} models need as many names, all different (got {', '.join(names)})"
        )
    server = priced(options, "model_price_in", "model_price_out")
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


def answer_notes(run: RunFolder, name: str, limit: int, *stages: str) -> list[str]:
    """What a reader of the scores should know of the answers in RUN/<stage>.jsonl: how many end at `limit` tokens, and how many hold the
    model's thoughts."""
    texts = [(row["text"], row["finish"]) for s in stages for _, row in read_jsonl(run / f"{s}.jsonl") if row["text"]]
    cut = sum(finish == "length" for _, finish in texts)
    aloud = sum("</think>" in text or text.lstrip().startswith("<think>") for text, _ in texts)
    told = (
        (cut, f"end at {limit} tokens, in mid-answer (--max-new-tokens)"),
        (aloud, "hold what the model thought aloud; the judge reads it and the length counts it"),
    )
    return [f"{name}: {count} of {len(texts)} answers {what}" for count, what in told if count]


def keep(run: RunFolder, result: dict[str, Any], svg: str) -> None:
    """The result and its plot, then the manifest: the same bytes for the same rows."""
    keep_result(run.path, result, svg)
    run.write_manifest()
