"""The first stages of LongPO: documents of every round's length, and their chunks.

In: sources and a tokenizer. Out: RUN/documents.jsonl (a line a document: source, tokens, whether it is used), RUN/documents/ID.txt (the
texts, to the letter), and for a round iter-t/documents.jsonl with the chunks drawn from each. Nothing is cut on the right: what is
longer than the last length is left out and counted, or split in documents of their own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import Runner
from windvane.core.records import content_id, seed_of, units
from windvane.core.schema import encode
from windvane.datasets.documents import Document, read_documents
from windvane.longpo.chunking import Span, chunks
from windvane.longpo.settings import LongPO
from windvane.runs.store import Journal, RunFolder, read_records, write_atomic

JOIN = "\n\n\n"  # between chunks, where the long text is made of them


@dataclass(frozen=True, slots=True)
class Held:
    """A document of the run. `status`: "kept", "short", "long" (refused), or "split" (its parts are documents of their own)."""

    id: str
    source: str
    tokens: int
    status: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters [start, stop) of its document's text, and their tokens."""

    id: str
    start: int
    stop: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A document of one round and its chunks in the order in which they were drawn; `kept` are the [start, stop) of all that are long
    enough, in the order of the text."""

    id: str
    tokens: int
    kept: tuple[tuple[int, int], ...]
    chunks: tuple[Chunk, ...]


class Texts:
    """RUN/documents: a file a text, named by the document's id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, id: str) -> bool:
        return (self.folder / f"{id}.txt").exists()

    def write(self, document: Document) -> None:
        if not self.has(document.id):
            write_atomic(self.folder / f"{document.id}.txt", document.text)

    def read(self, id: str) -> str:
        try:
            data = (self.folder / f"{id}.txt").read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.folder / id}.txt: is gone; put it back or use another --out") from None
        text = data.decode()
        if content_id(["document", text]) != id:
            raise UserError(f"{self.folder / id}.txt: was changed under the run; put it back or use another --out")
        return text


def counter(tokenizer: Any) -> Callable[[Sequence[str]], list[int]]:
    """Tokens of each text, without the special ones that a template writes."""

    def count(texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    return count


def gather_documents(run: RunFolder, s: LongPO, tokenizer: Any, quiet: bool) -> int:
    """RUN/documents.jsonl and the texts. A document is one unit: what a kill interrupts is read again, not tokenised again. Gives how
    many stood there again, word for word: each is used once."""
    from tqdm import tqdm

    final = run / "documents.jsonl"
    if final.exists():
        final.with_suffix(".journal").unlink(missing_ok=True)
        return 0
    start, cpu = time.perf_counter(), time.process_time()
    journal, texts, count = Journal(final), Texts(run / "documents"), counter(tokenizer)
    limits = [s.limit(target) for target in s.targets]
    asked: dict[str, None] = {}
    made = again = 0
    bar = tqdm(desc="documents", unit="document", disable=quiet or None)
    try:
        for document in read_documents(s.documents, s.document_column, s.document_split, limits, s.chunks.per_round):
            if document.id not in asked and document.id not in journal.done:
                run.status("documents", len(asked), len(asked) + 1)
                journal.add(document.id, [encode(h) for h in _held(document, s, limits[-1], texts, count)])
                made += 1
            again += document.id in asked
            asked[document.id] = None
            bar.update()
    finally:
        bar.close()
        journal.close()
    journal.finish(list(asked))
    run.timing("documents", time.perf_counter() - start, time.process_time() - cpu, made)
    return again


def _held(
    document: Document, s: LongPO, longest: int, texts: Texts, count: Callable[[Sequence[str]], list[int]]
) -> list[Held]:
    tokens = count([document.text])[0]
    least = s.least_document
    if tokens <= longest:
        if tokens <= least:
            return [Held(document.id, document.source, tokens, "short")]
        texts.write(document)
        return [Held(document.id, document.source, tokens, "kept")]
    if s.chunks.over_long == "refuse":
        return [Held(document.id, document.source, tokens, "long")]
    found = [Held(document.id, document.source, tokens, "split")]
    parts = chunks(document.text, longest, count, s.chunks.kind, document.source)
    for number, span in enumerate(parts, 1):
        part = Document.of(f"{document.source} (part {number} of {len(parts)})", document.text[span.start : span.stop])
        status = "kept" if span.tokens > least else "short"
        if status == "kept":
            texts.write(part)
        found.append(Held(part.id, part.source, span.tokens, status))
    return found


def choose_documents(s: LongPO, held: Sequence[Held], t: int) -> list[Held]:
    """Round t's documents, drawn by (seed, round, id): those that fit its length with their questions and answers, and, with "band",
    did not fit the round's before."""
    limits = [0, *(s.limit(target) for target in s.targets)]
    low = limits[t - 1] if s.chunks.lengths == "band" else 0
    fit = [h for h in held if h.status == "kept" and low < h.tokens <= limits[t]]
    if not fit:
        whole = [h for h in held if h.status != "split"]
        longest = max((h.tokens for h in whole), default=0)
        split = s.chunks.over_long == "split"
        mend = "or give shorter --lengths: parts are cut for the last" if split else "or --chunks.over-long split"
        raise UserError(
            f"documents: none of {len(whole)} fits round {t} ({max(low, s.least_document)} to {limits[t]} tokens; "
            f"the longest has {longest}); give others, lower --chunks.min-tokens, {mend}"
        )
    ranked = sorted(fit, key=lambda h: seed_of(s.seed, "documents", t, h.id))
    return sorted(ranked[: s.chunks.per_round], key=lambda h: h.id)


def run_chunks(
    runner: Runner, stage: str, s: LongPO, t: int, found: Sequence[Held], texts: Texts, tokenizer: Any
) -> None:
    """Fill `stage` with a Cut record a document."""
    count = counter(tokenizer)

    def work(batch: Sequence[Held]) -> list[dict[str, Any]]:
        return [encode(cut(h, texts.read(h.id), s, t, count)) for h in batch]

    runner.run(stage, document_units(found, s.batch_documents), work)


def cut(held: Held, text: str, s: LongPO, t: int, count: Callable[[Sequence[str]], list[int]]) -> Cut:
    """The chunks of one document: those long enough, of which `per_document` are drawn by (seed, round, document)."""
    limit, least = s.chunks.tokens, s.least_chunk
    there = [c for c in chunks(text, limit, count, s.chunks.kind, held.source) if c.tokens >= least]
    drawn = random.Random(seed_of(s.seed, "chunks", t, held.id)).sample(there, min(len(there), s.chunks.per_document))
    kept = tuple((c.start, c.stop) for c in there)
    return Cut(held.id, held.tokens, kept, tuple(_chunk(held.id, span) for span in drawn))


def _chunk(document: str, span: Span) -> Chunk:
    return Chunk(content_id([document, span.start, span.stop]), span.start, span.stop, span.tokens)


def long_text(text: str, found: Cut, s: LongPO) -> str:
    """What the long side reads: the whole document, or its chunks that are long enough (as in the released code)."""
    if s.chunks.long_text == "whole":
        return text
    return JOIN.join(text[start:stop] for start, stop in found.kept)


def document_units(found: Sequence[Any], size: int) -> list[tuple[str, list[Any]]]:
    """Units of a data stage: `size` documents (records with an id) at a time, in the order of their ids."""
    return units(sorted(found, key=lambda h: h.id), size)


def read_cuts(path: Path) -> list[Cut]:
    return read_records(path, Cut)
