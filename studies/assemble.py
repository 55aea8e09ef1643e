"""A claim's result from its parts: what every claim.json holds in the same way.

In: the declaration, the seeds run, and what the claim's module read from its units (an `Outcome`). Out: a `Claim`. Its seconds are the
units' over the number of workers: what an undisturbed run takes, also where this one was resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.declare import Declaration
from studies.record import Claim, Finding, contrast, figures_of, verdict
from studies.units import Results
from windvane.runs.store import file_sha256


@dataclass(frozen=True, slots=True)
class Outcome:
    """`chosen`: each arm's rate and the sweep it was chosen from; `results`: every unit's, with its seconds and the code's version;
    `per_seed`: the metric by arm and seed; `per_prompt`: the primary arms' values, a list a seed; `figures`: what the page draws."""

    chosen: dict[str, dict[str, Any]]
    results: Results
    per_seed: dict[str, list[float]]
    per_prompt: dict[str, list[list[float]]]
    findings: list[Finding]
    figures: dict[str, Any]


def assemble(d: Declaration, seeds: tuple[int, ...], found: Outcome, is_reduced: bool, workers: int) -> Claim:
    """Everything that claim.json holds."""
    means, spreads = figures_of(found.per_seed)
    interval = contrast(found.per_prompt[d.primary[0]], found.per_prompt[d.primary[1]])
    spent = found.results.values()
    return Claim(
        claim=d.name,
        statement=d.statement,
        metric=d.metric,
        primary=d.primary,
        seeds=seeds,
        per_seed=found.per_seed,
        mean=means,
        spread=spreads,
        interval=interval,
        verdict=verdict(interval),
        findings=found.findings,
        arms={
            name: {
                "what": arm.what,
                "secondary": arm.secondary,
                "seeds": list(d.fresh(name, seeds)),
                "settings": arm.settings,
                **found.chosen[name],
            }
            for name, arm in d.arms.items()
        },
        settings={"learning_rates": list(d.learning_rates), "development_seed": d.development_seed, **d.parts},
        world=d.world,
        world_sha256=d.world_sha256,
        declaration_sha256=file_sha256(Path(__file__).parent / "declarations" / f"{d.name}.toml"),
        code_version=", ".join(sorted({r["code_version"] for r in spent})),
        reduced=is_reduced,
        seconds=round(sum(r["seconds"] for r in spent) / workers, 1),
        cpu_seconds=round(sum(r["cpu_seconds"] for r in spent), 1),
        figures=found.figures,
        per_prompt=found.per_prompt,
    )
