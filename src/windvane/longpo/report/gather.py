"""A LongPO run folder as plain data: documents by what became of them, and per round the yield, every drop by its reason, the KL.

In: RUN/documents.jsonl and per round documents, questions, chosen, rejected, turns, kl-start, kl and retention.jsonl, whichever are there
yet. Out: a `LongRun`; None where the folder is another recipe's. Files are streamed: what is kept is a few numbers a question.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.report.gather import Quantiles, quantiles
from windvane.runs.store import read_jsonl

Row = dict[str, Any]
KL = (("before", "kl-start"), ("after", "kl"))


@dataclass(slots=True)
class Said:
    """One side's answers in a round, by question: their ids, tokens, and whether they were cut at max_new_tokens."""

    ids: dict[str, tuple[int, ...]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Round:
    """`length`, `theta`: what the settings give it (theta 0: the model's own). What is None or empty has not been done yet."""

    number: int
    length: int | None
    theta: float | None
    documents: int = 0
    tokens: int = 0
    without_chunk: int = 0
    chunks: int = 0
    asked: int | None = None  # chunks with a usable question
    replies: int = 0
    unused: dict[str, int] = field(default_factory=dict)  # replies by why they were not used
    pairs: int | None = None  # questions trained on
    trained_on: int = 0  # documents that have one
    dropped: dict[str, int] = field(default_factory=dict)  # questions by why they were dropped
    same: int = 0  # pairs whose two answers are the same
    cut: tuple[int, int] = (0, 0)  # pairs whose chosen, rejected answer was cut
    tokens_chosen: Quantiles | None = None
    tokens_rejected: Quantiles | None = None
    kl: dict[str, tuple[float, float, Quantiles]] = field(
        default_factory=dict
    )  # nats a sequence, a token; over questions
    short: tuple[float, float, int, bool] | None = None  # nats a token of short texts: start, after; chunks; held aside


@dataclass(slots=True)
class LongRun:
    """`status`: documents by kept, short, long, split."""

    arm: str
    status: dict[str, int]
    lengths: Quantiles | None  # tokens of the kept documents
    rounds: list[Round]


def long_run(run: Path, numbers: list[int]) -> LongRun | None:
    """What is there of the rounds `numbers`. None unless the settings are a LongPO run's."""
    try:
        recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError):  # gather says so where it matters
        return None
    if not isinstance(recipe.get("lengths"), str) or not isinstance(recipe.get("theta"), list):
        return None
    held = list(rows(run / "documents.jsonl"))
    kept = [h["tokens"] for h in held if h["status"] == "kept"]
    return LongRun(
        str(recipe.get("arm", "longpo")),
        dict(sorted(Counter(h["status"] for h in held).items())),
        quantiles(kept) if kept else None,
        [_round(run / f"iter-{n}", n, recipe) for n in numbers],
    )


def rows(path: Path) -> Iterator[Row]:
    """None of a file that is not there yet."""
    if path.exists():
        yield from (row for _, row in read_jsonl(path))


def answers(path: Path) -> Said:
    found = Said()
    for row in rows(path):
        found.ids[row["prompt_id"]] = tuple(row["token_ids"])
        if row["finish"] == "length":
            found.cut.add(row["prompt_id"])
    return found


def _round(folder: Path, number: int, recipe: Row) -> Round:
    lengths, thetas = recipe["lengths"].split(","), recipe["theta"]
    length = lengths[number - 1].strip().lower() if number <= len(lengths) else ""
    tokens = int(length.removesuffix("k")) * (1024 if length.endswith("k") else 1) if length else None
    theta = thetas[number - 1] if number <= len(thetas) > 1 else thetas[0] if thetas else None
    found = Round(number, tokens, theta)
    for row in rows(folder / "documents.jsonl"):
        found.documents += 1
        found.tokens += row["tokens"]
        found.chunks += len(row["chunks"])
        found.without_chunk += not row["chunks"]
    if (folder / "questions.jsonl").exists():
        found.asked, unused = 0, Counter[str]()
        for row in rows(folder / "questions.jsonl"):
            found.asked += row["text"] is not None
            found.replies += len(row["replies"])
            unused.update(r["reason"] for r in row["replies"] if r["reason"])
        found.unused = dict(sorted(unused.items()))
    if (folder / "turns.jsonl").exists():
        _kept(found, folder)
    for name, stage in KL:
        measured = [(row["kl"], row["tokens"]) for row in rows(folder / f"{stage}.jsonl")]
        if measured:
            whole, count = sum(kl for kl, _ in measured), sum(n for _, n in measured)
            found.kl[name] = whole / len(measured), whole / count, quantiles([kl for kl, _ in measured])
    texts = list(rows(folder / "retention.jsonl"))
    if texts:
        tokens = sum(row["tokens"] for row in texts)
        start, after = (sum(row[key] for row in texts) / tokens for key in ("start", "after"))
        found.short = start, after, len(texts), all(row["aside"] for row in texts)
    return found


def _kept(found: Round, folder: Path) -> None:
    """What turns.jsonl says of the questions, and how the kept ones' answers look."""
    kept: list[str] = []
    dropped = Counter[str]()
    for row in rows(folder / "turns.jsonl"):
        kept += row["turns"]
        found.trained_on += bool(row["turns"])
        dropped.update(d["reason"] for d in row["dropped"])
    found.pairs, found.dropped = len(kept), dict(sorted(dropped.items()))
    chosen, rejected = (answers(folder / f"{name}.jsonl") for name in ("chosen", "rejected"))
    there = [id for id in kept if id in chosen.ids and id in rejected.ids]
    if there:
        found.same = sum(chosen.ids[id] == rejected.ids[id] for id in there)
        found.cut = sum(id in chosen.cut for id in there), sum(id in rejected.cut for id in there)
        found.tokens_chosen, found.tokens_rejected = (
            quantiles([len(side.ids[id]) for id in there]) for side in (chosen, rejected)
        )
