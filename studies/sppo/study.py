"""`python -m studies.sppo`: the claims of SPPO (arXiv 2405.00675) re-run small: tabular games, the embedded world, a judge that goes round.

In: sppo.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it is
done; the same command goes on with what is there. First the learning rates: each arm runs at each of the declared ones on the development
seed, the one with the best final true win rate is taken. Then the fresh seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from studies.assemble import Outcome
from studies.declare import Declaration
from studies.launch import Study, best_rate, launch, tell_rates
from studies.sppo import cycle as sppo_cycle
from studies.sppo import games_part, styles_part
from studies.sppo.cycle import Cycle
from studies.sppo.findings import findings
from studies.sppo.games_part import Games
from studies.sppo.styles_part import Styles, world_sha256
from studies.units import Results, Unit, Workshop
from windvane.core.schema import decode


def work(unit: Unit, folder: Path) -> dict[str, Any]:
    """One unit, by its part; called in a process of its own."""
    s = unit.settings
    if s["part"] == "games":
        return {"games": games_part.unit(decode(Games, s["games"]))}
    if s["part"] == "cycle":
        return sppo_cycle.unit(decode(Cycle, s["size"]), s["arm"], s["seed"], folder)
    return styles_part.unit(decode(Styles, s["size"]), s["arm"], s["lr"], s["seed"], folder)


def reduced(d: Declaration) -> Declaration:
    """A size that continuous integration can afford: the primary arms, one learning rate, two short iterations, seeds
    of its own. It decides nothing, and looks at no declared seed."""
    parts = dict(d.parts)
    parts["styles"] = {"iterations": 2, "prompts": 64, "held_out": 40, "answers": 1}
    parts["games"] = {
        **d.parts["games"],
        "games": ["cycle"],
        "seeds": 3,
        "exact_steps": 20,
        "sampled_steps": 5,
        "horizons": [16, 64, 256],
    }
    size = {**d.parts["cycle"]["size"], "iterations": 2, "prompts": 20, "held_out": 10}
    parts["cycle"] = {**d.parts["cycle"], "size": size, "arms": {"sppo": d.parts["cycle"]["arms"]["sppo"]}, "seeds": 1}
    return replace(
        d,
        seeds=(1, 2, 3, 4, 5),
        parts=parts,
        arms={a: d.arms[a] for a in d.primary},
        learning_rates=(d.learning_rates[1],),
        secondary_seeds=1,
    )


def styles_unit(d: Declaration, arm: str, lr: float, seed: int) -> Unit:
    settings = {"part": "styles", "size": d.parts["styles"], "arm": d.arms[arm].settings, "lr": lr, "seed": seed}
    return Unit(f"styles-{arm}-{lr:g}-{seed}", settings)


def sweeps(d: Declaration) -> list[Unit]:
    """Every arm at every learning rate on the development seed; none where there is one rate."""
    if len(d.learning_rates) == 1:
        return []
    return [styles_unit(d, arm, lr, d.development_seed) for arm in d.arms for lr in d.learning_rates]


def fresh_units(d: Declaration, seeds: tuple[int, ...], chosen: Results) -> list[Unit]:
    """What is reported: the arms of (b) at their chosen rates, secondary ones last; the games; the judge that goes round."""
    cycle = d.parts["cycle"]
    rounds = [
        Unit(f"cycle-{name}-{seed}", {"part": "cycle", "size": cycle["size"], "arm": arm, "seed": seed})
        for seed in seeds[: cycle["seeds"]]
        for name, arm in cycle["arms"].items()
    ]

    def of(secondary: bool) -> list[Unit]:
        return [
            styles_unit(d, arm, chosen[arm]["learning_rate"], seed)
            for arm in d.arms
            if d.arms[arm].secondary is secondary
            for seed in d.fresh(arm, seeds)
        ]

    return [*of(False), Unit("games", {"part": "games", "games": d.parts["games"]}), *rounds, *of(True)]


def choose(d: Declaration, results: Results) -> Results:
    """Each arm's sweep {rate: final true win rate on the development seed} and the rate chosen from it."""

    def final(arm: str, lr: float) -> float:
        return float(results[styles_unit(d, arm, lr, d.development_seed).key]["win_rate"][-1])

    return {arm: best_rate(d, partial(final, arm)) for arm in d.arms}


def gather(
    d: Declaration, seeds: tuple[int, ...], chosen: Results, results: Results
) -> dict[str, list[dict[str, Any]]]:
    """{arm: [a fresh seed's result, ...]}."""
    return {
        arm: [results[styles_unit(d, arm, chosen[arm]["learning_rate"], s).key] for s in d.fresh(arm, seeds)]
        for arm in d.arms
    }


def outcome(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> Outcome:
    results = shop.run(sweeps(d))
    chosen = choose(d, results)
    tell_rates(chosen, d.arms)
    results |= shop.run(fresh_units(d, seeds, chosen))
    styles = gather(d, seeds, chosen, results)
    per_seed = {arm: [r["win_rate"][-1] for r in runs] for arm, runs in styles.items()}
    per_prompt = {arm: [r["per_prompt"] for r in styles[arm]] for arm in d.primary}
    names = ("win_rate", "proxy", "length", "kl", "malformed", "chosen", "rejected")
    cycle = {
        name: [results[f"cycle-{name}-{s}"] for s in seeds[: d.parts["cycle"]["seeds"]]]
        for name in d.parts["cycle"]["arms"]
    }
    figures = {
        "styles": {arm: {name: [r[name] for r in runs] for name in names} for arm, runs in styles.items()},
        "games": results["games"]["games"],
        "cycle": cycle,
    }
    return Outcome(chosen, results, per_seed, per_prompt, findings(d, styles, figures["games"], cycle), figures)


def main(argv: Sequence[str]) -> int:
    return launch("sppo", argv, Study(__doc__, work, reduced, world_sha256, outcome))
