"""How intransitive the training judge was, by iteration and over all of them, from the run's own verdicts.

In: a run folder. Out: `Cycles`: the results of `evaluate.intransitivity` (with fewer resamples than its own command takes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.evals.intransitivity.command import measure
from windvane.evals.intransitivity.preference_matrix import Table, source, table_of

RESAMPLES = 500


@dataclass(slots=True)
class Cycles:
    """`overall`: None where nothing has been judged."""

    overall: dict[str, Any] | None = None
    by_iteration: dict[int, dict[str, Any]] = field(default_factory=dict)


def cycles(run: Path, numbers: list[int]) -> Cycles:
    """Of the iterations that have verdicts; those whose compared pairs hold no cycle are left out."""
    found, everything = Cycles(), Table()
    for number in numbers:
        path = run / f"iter-{number}" / "verdicts.jsonl"
        if not path.exists():
            continue
        table = table_of([(number, path)])
        everything.told.update(table.told)
        everything.failed += table.failed
        result = measure([source(path.parent.name, table)], resamples=RESAMPLES)
        if result["share"] is not None and result["share"]["mean"] is not None:
            found.by_iteration[number] = result
    if everything.told:
        overall = measure([source(run.name, everything)], resamples=RESAMPLES)
        found.overall = overall if overall["share"] is not None else None
    return found
