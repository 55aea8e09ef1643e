"""Instructions for the collection: read, each once, those that cannot be used set aside with their reason.

In: a prompts file or data set (as `windvane run sppo` takes it), perhaps with main_source and original_source beside the prompt; the
benchmarks whose prompts must not be trained on. Out: RUN/instructions.jsonl and RUN/instructions-rejected.jsonl. An instruction is one
user's turn: a chat with a system message of its own (in the chat, or in a column beside it), or with several turns, is set aside, as in the
paper (arXiv 2405.17977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import UserError
from windvane.datasets.chats import messages_of
from windvane.datasets.leakage import Leakage
from windvane.datasets.prompts import choose_column, read_prompts
from windvane.datasets.tables import SYSTEM_COLUMNS, Column, Pick, read_dataset, read_file
from windvane.janus.collection_rows import instruction_id
from windvane.run.store import RunFolder, read_records, write_jsonl

NAME, REJECTED = "instructions.jsonl", "instructions-rejected.jsonl"
SOURCES = ("main_source", "original_source")


@dataclass(frozen=True, slots=True)
class Instruction:
    """`id` is the same for texts that differ in case, blanks and punctuation alone."""

    id: str
    text: str
    main_source: str
    original_source: str


def benchmarks(sources: Sequence[str]) -> Leakage:
    """The prompts of each benchmark's file or data set."""
    texts, names = [], []
    for source in sources:
        name = Path(source).name
        for i, prompt in enumerate(read_prompts(source).prompts, 1):
            texts.append(prompt.messages[-1].content)
            names.append(f"{name}: prompt {i}")
    return Leakage(texts, names)


def take_instructions(
    run: RunFolder, source: str, column: str | None, split: str | None, bench: Leakage
) -> list[Instruction]:
    """Those that can be used, in the order of their ids; files that stand are read back."""
    if not run.finished(NAME):
        kept, out = _screened(source, column, split, bench)
        if not kept:
            raise UserError(f"{source}: no instruction that can be used; the first: {out[0]['reason']}")
        write_jsonl(run / REJECTED, out)
        write_jsonl(run / NAME, (kept[key] for key in sorted(kept)))
    return read_records(run / NAME, Instruction)


def _screened(
    source: str, column: str | None, split: str | None, bench: Leakage
) -> tuple[dict[str, Instruction], list[dict[str, str]]]:
    main, columns = _columns(source, column, split)
    kept: dict[str, Instruction] = {}
    out: list[dict[str, str]] = []
    for i, (place, value) in enumerate(main.cells):
        messages = messages_of(value, f"{source}: {place}", main.name or "")
        text = messages[-1].content
        key = instruction_id(text)
        beside = any(str(columns[c].cells[i][1] or "").strip() for c in columns if c.lower() in SYSTEM_COLUMNS)
        if len(messages) > 1 or beside:
            own = beside or messages[0].role == "system"
            reason: str | None = "has a system message of its own" if own else "has more than one turn"
        elif key in kept:
            reason = "repeats another instruction"
        else:
            reason = bench.reason(text)
        if reason is not None:
            out.append({"place": place, "reason": reason, "text": text})
            continue
        given = [str(columns[c].cells[i][1]) if c in columns else Path(source).name for c in SOURCES]
        kept[key] = Instruction(key, text, *given)
    return kept, out


def _columns(source: str, column: str | None, split: str | None) -> tuple[Column, dict[str, Column]]:
    """The instructions' column, and those of their sources that are there. `world:FAMILY[:SPLIT]` is the embedded world's own."""
    if source.startswith("world:"):
        named = None if source.count(":") > 1 else split or "instructions"
        chats = [
            [{"role": m.role, "content": m.content} for m in p.messages]
            for p in read_prompts(source, column, named).prompts
        ]
        return Column(None, [(f"row {i}", chat) for i, chat in enumerate(chats, 1)]), {}
    names: list[str] = []

    def main(there: Sequence[str] | None) -> str | None:
        names.extend(there or ())
        return choose_column(source, there, column)

    read = _read(source, split, main)
    wanted = [c for c in names if c in SOURCES or (c.lower() in SYSTEM_COLUMNS and c != read.name)]
    return read, {c: _read(source, split, lambda _, c=c: c) for c in wanted}  # type: ignore[misc]


def _read(source: str, split: str | None, pick: Pick) -> Column:
    path = Path(source)
    if path.is_file():
        return read_file(path, pick)
    if not path.exists() and path.suffix:
        raise UserError(f"{source}: no such file; check the path")
    return read_dataset(source, split, pick)
