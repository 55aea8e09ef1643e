"""A claim's result from its parts: what every claim.json holds in the same way.

In: the declaration, the seeds run, the chosen rates, the units' results, the primary metric by arm and seed, the primary arms' values by
prompt, the figures. Out: a `Claim` whose findings are still to be looked at. Its seconds are the units' over the number of workers: what
an undisturbed run takes, also where this one was resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windvane.claims.declare import Declaration
from windvane.claims.record import Claim, Finding, contrast, figures_of, verdict
from windvane.store import file_sha256


def assemble(
    d: Declaration,
    seeds: tuple[int, ...],
    chosen: Mapping[str, Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    per_seed: dict[str, list[float]],
    per_prompt: dict[str, list[list[float]]],
    found: list[Finding],
    figures: dict[str, Any],
    is_reduced: bool,
    workers: int,
) -> Claim:
    """`chosen`: each arm's rate and the sweep it was chosen from; `results`: every unit's, with its seconds and the code's version."""
    means, spreads = figures_of(per_seed)
    interval = contrast(per_prompt[d.primary[0]], per_prompt[d.primary[1]])
    return Claim(
        claim=d.name,
        statement=d.statement,
        metric=d.metric,
        primary=d.primary,
        seeds=seeds,
        per_seed=per_seed,
        mean=means,
        spread=spreads,
        interval=interval,
        verdict=verdict(interval),
        findings=found,
        arms={
            name: {
                "what": arm.what,
                "secondary": arm.secondary,
                "seeds": list(d.fresh(name, seeds)),
                "settings": arm.settings,
                **chosen[name],
            }
            for name, arm in d.arms.items()
        },
        settings={"learning_rates": list(d.learning_rates), "development_seed": d.development_seed, **d.parts},
        world=d.world,
        world_sha256=d.world_sha256,
        declaration_sha256=file_sha256(Path(__file__).parent / f"{d.name}.toml"),
        code_version=", ".join(sorted({r["code_version"] for r in results.values()})),
        reduced=is_reduced,
        seconds=round(sum(r["seconds"] for r in results.values()) / workers, 1),
        cpu_seconds=round(sum(r["cpu_seconds"] for r in results.values()), 1),
        figures=figures,
        per_prompt=per_prompt,
    )
