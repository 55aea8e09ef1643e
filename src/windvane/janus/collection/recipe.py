"""Janus, its collection (arXiv 2405.17977): for each instruction several people's values, system messages that hold them, and answers.

In: instructions, a writer. Out: a run folder with the collection, its training sets, and every rejected item with its reason. Each call
below does nothing where its file stands; killed at any moment, the same command goes on. What the paper does not say is in
docs/papers/janus.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.datasets.near_duplicates import need_packages
from windvane.engines.http.budget import Estimate, Usage
from windvane.engines.http.server import Server
from windvane.engines.writer import Writer
from windvane.janus.collection.cost import expected, tell_expected
from windvane.janus.collection.finish import finish
from windvane.janus.collection.instructions import Instruction, benchmarks, take_instructions
from windvane.janus.collection.settings import Janus
from windvane.janus.collection.stages import find_repeats, run_answers, run_systems, run_values
from windvane.janus.taxonomy import Taxonomy, read_taxonomy
from windvane.plan.time import writer_estimate
from windvane.runs.launch import launch
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings, resolved, use_threads
from windvane.runs.store import RunFolder


def run(settings: Janus, out: str, quiet: bool = False) -> None:
    """General to specific: dimension, subdimension, value; then the system message; then the answer."""
    s = resolved(settings, out)
    with RunFolder(out) as folder:
        if finished(folder):
            record_settings(folder / "recipe.toml", recorded(s))
            print(table(json.loads((folder / "summary.json").read_text(encoding="utf-8")), folder))
            return
        begin(folder, s)
        use_threads(s)
        taxonomy = read_taxonomy(Path(s.taxonomy) if s.taxonomy is not None else None)
        check(s, taxonomy)
        need_packages()  # rather than after the values are written and paid for
        bench = benchmarks(s.bench)
        instructions = take_instructions(folder, s.instructions, s.instruction_column, s.instruction_split, bench)
        writer = Writer(s.writer, s.device, s.dtype, s.server, folder / "calls.jsonl")
        writer.prepare()
        left = tell(folder, s, instructions, taxonomy)
        if left and not quiet:
            at_once = s.batch * max(1, left.calls // len(instructions))
            folder.tell(f"the writer {s.writer}: {writer_estimate(writer, left, at_once, folder.path)}")
        runner = LocalRunner(folder, quiet)
        try:
            run_values(runner, s, writer, taxonomy, instructions)  # 4 dimensions, `sets` values each
            run_systems(runner, s, writer, instructions, bench)  # one system message a set
            repeats = find_repeats(folder, s.near)  # before an answer is paid for
            run_answers(runner, s, writer, instructions, repeats)  # one answer a system message
        finally:
            writer.close()
        for note in writer.notes:
            print(f"windvane: note: {note}", file=sys.stderr)
        print(table(finish(folder, s, writer.notes), folder))


def begin(folder: RunFolder, s: Janus) -> None:
    """Settle the settings; a start that made nothing binds nobody."""
    if not folder.finished("instructions.jsonl"):
        discard_settings(folder, s)
    record_settings(folder / "recipe.toml", recorded(s))


def recorded(s: Janus) -> Janus:
    """What must be the same when the command is given again: all but how a server is asked, which changes no row."""
    return replace(s, server=Server())


def finished(folder: RunFolder) -> bool:
    """Whether everything that the manifest names is there."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    return all((folder / name).exists() for name in json.loads(manifest.read_text(encoding="utf-8")))


def check(s: Janus, taxonomy: Taxonomy) -> None:
    """A taxonomy too small for the sets that are drawn from it is refused before anything is asked."""
    for d in taxonomy.dimensions:
        if s.values == "taxonomy" and len(d.values) < s.sets:
            raise UserError(f"sets: {s.sets}; the taxonomy's dimension {d.name} has {len(d.values)} values; take fewer")
    if s.differ > len(taxonomy.dimensions):
        raise UserError(f"differ: {s.differ}; a set has {len(taxonomy.dimensions)} values; take fewer")


def tell(folder: RunFolder, s: Janus, instructions: Sequence[Instruction], taxonomy: Taxonomy) -> Estimate | None:
    """What the stages that are not finished may take, said, and all of it together; None where there is none."""
    left = {n: e for n, e in expected(s, instructions, taxonomy).items() if not folder.finished(f"{n}.jsonl")}
    tell_expected(s, left)
    return (
        Estimate(sum(e.calls for e in left.values()), sum((e.likely for e in left.values()), Usage())) if left else None
    )


def table(summary: dict[str, Any], folder: RunFolder) -> str:
    """For a terminal."""
    lines = [
        f"{summary['rows']} rows of {summary['instructions']} instructions "
        f"({summary['instructions_without_a_set']} with no set, {summary['instructions_without_a_pair']} with no pair)",
        f"{summary['near_duplicates']} of {summary['system_messages']} system messages nearly repeat another",
        "sets: " + ", ".join(f"{name} {count}" for name, count in summary["sets"].items()),
    ]
    if summary["rejected"]:
        lines.append("rejected: " + ", ".join(f"{count} {reason}" for reason, count in summary["rejected"].items()))
    return "\n".join([*lines, *summary["notes"], f"collection: {folder.path}/collection.jsonl"])


def main(argv: Sequence[str]) -> int:
    """`windvane run janus --instructions FILE --writer BACKEND --out RUN`."""
    return launch(Janus, run, argv, "windvane run janus", __doc__)
