"""Retention beside every round: how well short texts are still predicted, by the model that was given and by the round's.

In: the documents on which the KL is measured, their chunks. Out: iter-t/retention.jsonl, a line a chunk: the negative log-likelihood of the
chunk's own text after what the tokenizer puts before a text, in nats, at the start and after the round (theta raised). A model that reads
long texts better at the price of short ones shows it here. A chunk beyond the start's window is not measured. The papers' short suites are
`windvane eval harness --suite longpo-short`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.protocols import Runner
from windvane.core.schema import encode
from windvane.evals.perplexity import DocumentNats, compare, document_nats, text_ids
from windvane.longpo.documents import Cut, Texts, document_units
from windvane.models.trees.logprobs import Scorer


@dataclass(frozen=True, slots=True)
class ShortText:
    """One chunk: its nats over `tokens` tokens before and after. `aside`: its document was held aside from training."""

    id: str
    document: str
    tokens: int
    start: float
    after: float
    aside: bool


def run_retention(
    runner: Runner,
    stage: str,
    start: Scorer,
    after: Scorer,
    tokenizer: Any,
    texts: Texts,
    cuts: Sequence[Cut],
    window: int,
    aside: bool,
    size: int,
) -> None:
    """Fill `stage` with a ShortText record a chunk of `cuts`."""

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        found = []
        for cut in batch:
            text = texts.read(cut.id)
            rows = [(c.id, text_ids(tokenizer, text[c.start : c.stop])) for c in cut.chunks]
            rows = [(id, ids) for id, ids in rows if 1 < len(ids) <= window]
            for before, now in zip(document_nats(start, rows), document_nats(after, rows)):
                found.append(ShortText(before.id, cut.id, before.tokens, before.nats, now.nats, aside))
        return [encode(row) for row in found]

    runner.run(stage, document_units(cuts, size), work)


def retention_figures(rows: Sequence[ShortText]) -> dict[str, Any]:
    """Nats a token at the start and after, and their difference with its interval over documents."""
    if not rows:
        return {"chunks": 0}
    tokens = sum(r.tokens for r in rows)
    gap = compare(_by_document(rows, "after"), _by_document(rows, "start"), "start")
    return {
        "chunks": len(rows),
        "aside": all(r.aside for r in rows),
        "tokens": tokens,
        "start": sum(r.start for r in rows) / tokens,
        "after": sum(r.after for r in rows) / tokens,
        "difference": {k: v for k, v in gap.items() if k not in ("against", "unpaired")},
    }


def _by_document(rows: Sequence[ShortText], which: str) -> list[DocumentNats]:
    found: dict[str, tuple[float, int]] = {}
    for row in rows:
        nats, tokens = found.get(row.document, (0.0, 0))
        found[row.document] = nats + getattr(row, which), tokens + row.tokens
    return [DocumentNats(id, nats, tokens) for id, (nats, tokens) in found.items()]
