"""The finished collection and its training sets, written from the stages' files side by side, a row at a time.

In: RUN/instructions.jsonl, values.jsonl, systems.jsonl, repeats.json, answers.jsonl, all sorted by id. Out: RUN/collection.jsonl in the
published layout; RUN/sets/: sft.jsonl, sft-one.jsonl, pairs.jsonl (DPO and ORPO), rm.jsonl, and sft-test.jsonl, rm-test.jsonl of
instructions that no other set has; RUN/rejected.jsonl, every rejected item with stage, reason, text; RUN/summary.json.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from windvane.core.records import seed_of
from windvane.datasets.near_duplicates import rouge_l
from windvane.janus.collection.instructions import REJECTED, Instruction
from windvane.janus.collection.settings import Janus
from windvane.janus.collection.stages import REPEATS, Row, find_repeats, sets_of
from windvane.janus.collection_rows import Sample
from windvane.janus.training_sets import held_out, one_each, preference_row, preferences, reward_row, sft_row
from windvane.runs.store import RunFolder, read_jsonl, read_records, write_atomic

PAIRS_LOOKED_AT, KEPT = (
    1000,
    20_000,
)  # pairs of descriptions a dimension, out of the first so many: ids are in no order of content


class Files:
    """Several files written side by side, each renamed into place when all are whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._open = folder, dict[str, IO[str]]()
        self.rows: Counter[str] = Counter()

    def add(self, name: str, rows: Iterable[Row] = ()) -> None:
        """Append; a file that is named with no rows is there and empty."""
        if name not in self._open:
            path = self.folder / f"{name}.tmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = path.open("w", encoding="utf-8", newline="\n")
        for row in rows:
            self._open[name].write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
            self.rows[name] += 1

    def close(self, publish: bool) -> None:
        for name, handle in self._open.items():
            if publish:
                handle.flush()
                os.fsync(handle.fileno())
            handle.close()
            if publish:
                (self.folder / f"{name}.tmp").replace(self.folder / name)


def finish(run: RunFolder, s: Janus, notes: list[str]) -> dict[str, Any]:
    """Write everything; returns the summary."""
    instructions = {i.id: i for i in read_records(run / "instructions.jsonl", Instruction)}
    test = held_out(instructions, s.test, s.seed)
    repeats = find_repeats(run, s.near)
    counts, rejected = Counter[str](), Counter[str]()
    described: dict[str, list[str]] = {}
    files = Files(run.path)
    names = ("sft", "sft-one", "pairs", "rm", "rm-test", "sft-test")
    for name in ("collection.jsonl", "rejected.jsonl", *(f"sets/{n}.jsonl" for n in names)):
        files.add(name)
    published = False
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: files.close(published))
        for _, row in read_jsonl(run / REJECTED):
            _reject(files, rejected, "instructions", row["place"], row["reason"], row["text"])
        for values, systems, answers in _together(run):
            owner = instructions[values["id"]]
            samples = _samples(files, rejected, counts, owner, values, systems, answers, repeats)
            for sample in samples:
                for v in sample.preference_set:
                    texts = described.setdefault(v.dimension, [])
                    texts += [v.description] if len(texts) < KEPT else []
            rows = [sft_row(x) for x in samples]
            files.add("collection.jsonl", ({"instruction_id": owner.id, **row} for row in rows))
            files.add("sets/sft-test.jsonl" if owner.id in test else "sets/sft.jsonl", rows)
            _pairs(files, counts, owner.id, samples, owner.id in test, s.seed)
        published = True
    summary = {
        "recipe": "janus",
        "writer": s.writer,
        "instructions": len(instructions),
        "instructions_without_a_set": counts["no set"],
        "system_messages": counts["systems"],
        "near_duplicates": len(repeats),
        "near_duplicates_unchecked": json.loads((run / REPEATS).read_text())["unchecked"],
        "rows": files.rows["collection.jsonl"],
        "sets": {name: files.rows[f"sets/{name}.jsonl"] for name in names},
        "instructions_without_a_pair": counts["no pair"],
        "rejected": dict(sorted(rejected.items())),
        "diversity": {name: _diversity(name, texts, s.seed) for name, texts in described.items()},
        "notes": notes,
    }
    write_atomic(run / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    run.write_manifest()
    return summary


def _together(run: RunFolder) -> Iterator[tuple[Row, list[Row], dict[str, Row]]]:
    """(row of values, its rows of systems, of answers by id), an instruction at a time: the three files have the same order."""
    parts = {}
    for name in ("systems", "answers"):
        rows = (row for _, row in read_jsonl(run / f"{name}.jsonl"))
        parts[name] = _Groups(rows)
    for _, values in read_jsonl(run / "values.jsonl"):
        answers = {row["id"]: row for row in parts["answers"].of(values["id"])}
        yield values, parts["systems"].of(values["id"]), answers


class _Groups:
    """Rows sorted by their instruction, taken one instruction after another; one without rows has none."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._groups = itertools.groupby(rows, key=lambda row: row["id"].rpartition("-")[0])
        self._next: tuple[str, list[Row]] | None = None
        self._step()

    def _step(self) -> None:
        found = next(self._groups, None)
        self._next = None if found is None else (found[0], list(found[1]))

    def of(self, instruction: str) -> list[Row]:
        if self._next is None or self._next[0] != instruction:
            return []
        rows = self._next[1]
        self._step()
        return rows


def _samples(
    files: Files,
    rejected: Counter[str],
    counts: Counter[str],
    owner: Instruction,
    values: Row,
    systems: list[Row],
    answers: dict[str, Row],
    repeats: dict[str, tuple[str, float]],
) -> list[Sample]:
    """What an instruction gave; everything else goes to rejected.jsonl."""
    for r in values["rejected"]:
        _reject(files, rejected, "values", f"{owner.id}-{r.get('dimension', r.get('set'))}", r["reason"], r["text"])
    if values["reason"] is not None:
        counts["no set"] += 1
        _reject(files, rejected, "values", owner.id, f"an instruction with no set: {values['reason']}", owner.text)
    found, sets = [], sets_of(values)
    for row in systems:
        key = row["id"]
        for r in row["rejected"]:
            _reject(files, rejected, "systems", key, r["reason"], r["text"])
        if row["system"] is None:
            continue
        counts["systems"] += 1
        if key in repeats:
            other, similarity = repeats[key]
            _reject(files, rejected, "systems", key, f"nearly repeats {other} (ROUGE-L {similarity})", row["system"])
            continue
        answer = answers[key]
        for r in answer["rejected"]:
            _reject(files, rejected, "answers", key, r["reason"], r["text"])
        if answer["output"] is not None:
            chosen = sets[int(key.rpartition("-")[2])]
            found.append(
                Sample(owner.main_source, owner.original_source, chosen, row["system"], owner.text, answer["output"])
            )
    return found


def _reject(files: Files, rejected: Counter[str], stage: str, key: str, reason: str, text: str | None) -> None:
    files.add("rejected.jsonl", [{"stage": stage, "id": key, "reason": reason, "text": text}])
    kind = reason.partition(":")[0]
    rejected[f"{stage}: {'nearly repeats another of the collection' if ' (ROUGE-L ' in kind else kind[:80]}"] += 1


def _pairs(files: Files, counts: Counter[str], key: str, samples: list[Sample], testing: bool, seed: int) -> None:
    """Everything but the full SFT rows."""
    groups = {key: samples} if samples else {}
    pairs, _ = preferences(groups, seed)
    counts["no pair"] += not pairs
    if testing:
        files.add("sets/rm-test.jsonl", map(reward_row, pairs))
        return
    files.add("sets/sft-one.jsonl", map(sft_row, one_each(groups, seed)))
    files.add("sets/pairs.jsonl", map(preference_row, pairs))
    files.add("sets/rm.jsonl", map(reward_row, pairs))


def _diversity(name: str, texts: list[str], seed: int) -> dict[str, float | int]:
    """Mean ROUGE-L of drawn pairs of descriptions of one dimension: the lower, the more diverse (the paper's measure)."""
    rng = random.Random(seed_of(seed, "diversity", name))
    drawn = [rng.sample(texts, 2) for _ in range(PAIRS_LOOKED_AT)] if len(texts) > 1 else []
    mean = sum(rouge_l(a, b) for a, b in drawn) / len(drawn) if drawn else 0.0
    return {"descriptions": len(texts), "rouge_l": round(mean, 4)}
