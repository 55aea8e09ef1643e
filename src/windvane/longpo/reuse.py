"""Another run's documents, questions and answers taken instead of made again: arms are compared on identical data.

In: a finished run's folder. Out: its data files in this run's folder (linked where the file system can). What made them must have been
set alike; a placebo's rejected answers are its own, so they are neither taken nor given.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.settings import differences, to_toml
from windvane.longpo.settings import LongPO
from windvane.runs.publish import link_file
from windvane.runs.store import RunFolder

MADE_BY = (
    "model",
    "documents",
    "document_column",
    "document_split",
    "lengths",
    "theta",
    "iterate",
    "chunks",
    "ask",
    "answer",
    "seed",
)
FILES = ("documents", "questions", "chosen", "rejected")


def take_data(run: RunFolder, s: LongPO, source: Path) -> None:
    """Link what `source` has; `UserError` where it lacks a file or was made by other settings."""
    try:
        theirs = tomllib.loads((source / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        raise UserError(
            f"data {source}: not a run folder (no recipe.toml that can be read); name a run's --out"
        ) from None
    ours = tomllib.loads(to_toml(s))
    changed = differences(_of(theirs), _of(ours))
    if changed:
        raise UserError(f"data {source}: was made by other settings ({'; '.join(changed[:3])}); make these alike")
    own = "placebo" in (s.arm, theirs.get("arm")) and s.arm != theirs.get("arm")
    names = ["documents.jsonl"]
    names += [f"iter-{t}/{f}.jsonl" for t in range(1, s.rounds + 1) for f in FILES if not (own and f == "rejected")]
    for name in names:
        if not (source / name).exists():
            raise UserError(f"data {source}: has no {name}; finish that run first")
    for text in sorted((source / "documents").glob("*.txt")):
        link_file(text, run / "documents" / text.name)
    for name in names:
        link_file(source / name, run / name)


def _of(table: dict[str, Any]) -> dict[str, Any]:
    return {k: table.get(k) for k in MADE_BY}
