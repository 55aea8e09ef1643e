"""The collection's stages: values of each instruction, system messages, near-duplicates among them, answers.

In: instructions, a `Writer`. Out: RUN/values.jsonl (a row an instruction), systems.jsonl and answers.jsonl (a row a set, id
INSTRUCTION-NUMBER), repeats.json. A unit of work is a batch of instructions. Every row holds what was read, or nothing, and each reply that
was rejected with its reason, so nothing that was paid for is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from windvane.core.records import Prompt, units
from windvane.core.schema import encode
from windvane.core.text import normalize
from windvane.datasets.leakage import Leakage
from windvane.datasets.near_duplicates import near_duplicates, rouge_l
from windvane.engines.local import Sampling
from windvane.engines.writer import Said, Writer
from windvane.janus.collection.instructions import Instruction
from windvane.janus.collection.settings import Janus
from windvane.janus.taxonomy import Taxonomy
from windvane.janus.value_prompts import (
    Value,
    answer_prompt,
    read_answer,
    read_system,
    read_values,
    system_messages,
    value_messages,
)
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_jsonl, write_atomic

VALUES, SYSTEMS, REPEATS, ANSWERS = "values", "systems", "repeats.json", "answers"
Row = dict[str, Any]


def run_values(
    runner: LocalRunner, s: Janus, writer: Writer, taxonomy: Taxonomy, instructions: Sequence[Instruction]
) -> None:
    """Rows {id, sets (a list of lists of values; empty where there are none), reason, rejected}."""
    sampling = Sampling(1, s.temperature, s.top_p, s.value_tokens)

    def asked(i: Instruction) -> Iterator[tuple[str, Prompt]]:
        for d in taxonomy.dimensions:
            shown = taxonomy.examples(d.name, s.examples, s.seed, i.id)
            yield f"{i.id}-{d.name}", Prompt.of(value_messages(i.text, d.name, d.description, shown, s.sets))

    def read(key: str, said: Said) -> tuple[tuple[Value, ...] | None, str | None]:
        found, reason = read_values(said.text or "", key.partition("-")[2], s.sets)
        return found or None, reason

    def work(batch: Sequence[Instruction]) -> Iterable[Row]:
        if s.values == "taxonomy":
            for i in batch:
                yield _values_row(i, taxonomy.draw(s.sets, s.seed, i.id), None, [], s.differ)
            return
        told = writer.write([a for i in batch for a in asked(i)], read, sampling, s.attempts, s.seed)
        for i in batch:
            columns, rejected, missing = [], [], None
            for d in taxonomy.dimensions:
                reply = told[f"{i.id}-{d.name}"]
                rejected += [{"dimension": d.name, **r} for r in reply.rejected]
                missing = missing or (f"no values for {d.name}" if reply.value is None else None)
                columns.append(reply.value or ())
            yield _values_row(i, [] if missing else list(zip(*columns)), missing, rejected, s.differ)

    runner.run(VALUES, units(instructions, s.batch), work)


def _values_row(
    i: Instruction, sets: Sequence[Sequence[Value]], reason: str | None, rejected: list[Row], differ: int
) -> Row:
    """Sets that fail a gate are rejected here: a dimension twice, or too like an earlier set."""
    kept: list[Sequence[Value]] = []
    for number, values in enumerate(sets):
        why = gate(values, kept, differ)
        if why is None:
            kept.append(values)
        else:
            rejected = [*rejected, {"set": number, "reason": why, "text": "; ".join(v.preference for v in values)}]
    reason = reason or (None if kept else "no set passed the gates")
    return {"id": i.id, "sets": encode(kept), "reason": reason, "rejected": rejected}


def gate(values: Sequence[Value], others: Sequence[Sequence[Value]], differ: int) -> str | None:
    """Why a set is not taken: its dimensions must be distinct, and `differ` of its values unlike each other set's."""
    dimensions = [v.dimension for v in values]
    if len(set(dimensions)) < len(dimensions):
        return "a dimension stands twice in the set"
    mine = {(v.dimension, normalize(v.preference)) for v in values}
    for number, other in enumerate(others):
        fresh = len(mine - {(v.dimension, normalize(v.preference)) for v in other})
        if fresh < differ:
            return f"differs from set {number} in {fresh} values, not in {differ}"
    return None


def run_systems(
    runner: LocalRunner, s: Janus, writer: Writer, instructions: Sequence[Instruction], bench: Leakage
) -> None:
    """Rows {id, system or None, rejected}, one a set."""
    sampling = Sampling(1, s.temperature, s.top_p, s.system_tokens)
    stage = runner.folder / f"{SYSTEMS}.jsonl"
    sets = {} if stage.exists() else _sets(runner.folder)

    def work(batch: Sequence[Instruction]) -> Iterable[Row]:
        texts, taken = {i.id: i.text for i in batch}, dict[str, list[str]]()
        asked = []
        for i in batch:
            for number, values in enumerate(sets[i.id]):
                chat = system_messages(i.text, values, s.least_words, s.most_words)
                asked.append((f"{i.id}-{number}", Prompt.of(chat)))

        def read(key: str, said: Said) -> tuple[str | None, str | None]:
            owner = key.rpartition("-")[0]
            text, reason = read_system(said.text or "", texts[owner], s.least_words, s.most_words)
            if text is None:
                return None, reason
            leak = bench.reason(text)
            if leak is not None:
                return None, leak
            if any(rouge_l(text, other) >= s.near for other in taken.get(owner, [])):
                return None, "nearly repeats another system message of the instruction"
            taken.setdefault(owner, []).append(text)
            return text, None

        told = writer.write(asked, read, sampling, s.attempts, s.seed)
        return [{"id": key, "system": r.value, "rejected": r.rejected} for key, r in told.items()]

    runner.run(SYSTEMS, units(instructions, s.batch), work)


def _sets(run: RunFolder) -> dict[str, list[tuple[Value, ...]]]:
    return {row["id"]: sets_of(row) for _, row in read_jsonl(run / f"{VALUES}.jsonl")}


def sets_of(row: Row) -> list[tuple[Value, ...]]:
    """The sets of a row of values.jsonl."""
    return [tuple(Value(**v) for v in values) for values in row["sets"]]


def find_repeats(run: RunFolder, threshold: float) -> dict[str, tuple[str, float]]:
    """System message -> (the earlier one it nearly repeats, their ROUGE-L), by ids; kept in repeats.json."""
    if not run.finished(REPEATS):
        keys, texts = [], []
        for _, row in read_jsonl(run / f"{SYSTEMS}.jsonl"):
            if row["system"] is not None:
                keys.append(row["id"])
                texts.append(row["system"])
        found = near_duplicates(texts, threshold)
        table = {keys[i]: [keys[j], round(similarity, 4)] for i, (j, similarity) in found.of.items()}
        write_atomic(run / REPEATS, json.dumps({"unchecked": found.unchecked, "of": table}, indent=1) + "\n")
    held = json.loads((run / REPEATS).read_text(encoding="utf-8"))["of"]
    return {key: (other, similarity) for key, (other, similarity) in held.items()}


def run_answers(
    runner: LocalRunner, s: Janus, writer: Writer, instructions: Sequence[Instruction], repeats: dict[str, Any]
) -> None:
    """Rows {id, output or None, rejected}, one a system message that is kept."""
    sampling = Sampling(1, s.temperature, s.top_p, s.answer_tokens)
    systems: dict[str, list[tuple[str, str]]] = {}
    if not (runner.folder / f"{ANSWERS}.jsonl").exists():
        for _, row in read_jsonl(runner.folder / f"{SYSTEMS}.jsonl"):
            if row["system"] is not None and row["id"] not in repeats:
                systems.setdefault(row["id"].rpartition("-")[0], []).append((row["id"], row["system"]))

    def read(key: str, said: Said) -> tuple[str | None, str | None]:
        return read_answer(said.text or "", said.finish)

    def work(batch: Sequence[Instruction]) -> Iterable[Row]:
        asked = [(key, answer_prompt(system, i.text)) for i in batch for key, system in systems.get(i.id, [])]
        told = writer.write(asked, read, sampling, s.attempts, s.seed)
        return [{"id": key, "output": r.value, "rejected": r.rejected} for key, r in told.items()]

    runner.run(ANSWERS, units(instructions, s.batch), work)
