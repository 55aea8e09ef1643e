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
from windvane.core.families import is_family
from windvane.datasets.leakage import Leakage
from windvane.datasets.prompts import read_prompts
from windvane.datasets.rows import read_rows
from windvane.janus.collection_rows import instruction_id
from windvane.runs.store import RunFolder, read_records, write_jsonl

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
    if is_family(source):  # its own default
        split = None if source.count(":") > 1 else split or "instructions"
    given = {} if column is None else {"prompt": column}
    kept: dict[str, Instruction] = {}
    out: list[dict[str, str]] = []
    for row in read_rows(source, given, split=split, only_prompts=True):
        place, messages = row.place.removeprefix(f"{source}: "), row.prompt.messages
        text = messages[-1].content
        key = instruction_id(text)
        if len(messages) > 1:
            reason: str | None = "has a system message of its own" if row.system else "has more than one turn"
        elif key in kept:
            reason = "repeats another instruction"
        else:
            reason = bench.reason(text)
        if reason is not None:
            out.append({"place": place, "reason": reason, "text": text})
            continue
        sources = [str(row.fields[c]) if c in row.fields else Path(source).name for c in SOURCES]
        kept[key] = Instruction(key, text, *sources)
    return kept, out
