"""`python -m studies.evalyaks`: EvalYaks' claim (arXiv 2408.12226) re-run small: adapters that grade, against cheaper ways to the same
bands.

In: evalyaks.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed, or all arms that
train no weights with a seed) is kept as it is done; the same command goes on with what is there. First the learning rates: each trained
arm runs at each of the declared ones on the development seed, the one with the most acceptable answers is taken. Then the fresh seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from studies.assemble import Outcome
from studies.declare import Declaration
from studies.evalyaks.findings import findings
from studies.evalyaks.measure import UNTRAINED, Size, unit
from studies.launch import Study, best_rate, launch, tell_rates, world_digest
from studies.units import Results, Unit, Workshop
from windvane.core.schema import decode, encode
from windvane.toy.grades import family as grades


def work(unit_: Unit, folder: Path) -> dict[str, Any]:
    """One unit; called in a process of its own."""
    s = unit_.settings
    return unit(decode(Size, s["size"]), s["arm"], s["lr"], s["seed"], folder)


def reduced(d: Declaration) -> Declaration:
    """A size that continuous integration can afford: the primary arms and those without training, one rate, seeds of its own."""
    size = {"train": 24, "test": 10, "held_out": 0.1, "epochs": 2, "batch": 16}
    return replace(
        d,
        seeds=(1, 2, 3, 4, 5),
        parts={"size": size},
        arms={name: arm for name, arm in d.arms.items() if name in (*UNTRAINED, *d.primary)},
        learning_rates=(d.learning_rates[1],),
        secondary_seeds=1,
    )


def trained_unit(d: Declaration, arm: str, lr: float, seed: int) -> Unit:
    return Unit(f"{arm}-{lr:g}-{seed}", {"size": d.parts["size"], "arm": d.arms[arm].settings, "lr": lr, "seed": seed})


def plain_unit(d: Declaration, seed: int) -> Unit:
    return Unit(f"untrained-{seed}", {"size": d.parts["size"], "arm": {}, "lr": 0.0, "seed": seed})


def trained(d: Declaration) -> list[str]:
    return [arm for arm in d.arms if arm not in UNTRAINED]


def sweeps(d: Declaration) -> list[Unit]:
    """Every trained arm at every rate on the development seed; none where there is one rate."""
    if len(d.learning_rates) == 1:
        return []
    return [trained_unit(d, arm, lr, d.development_seed) for arm in trained(d) for lr in d.learning_rates]


def choose(d: Declaration, results: Results) -> Results:
    """Each arm's sweep {rate: acceptable accuracy on the development seed} and the rate chosen from it (of equals the lower DOV)."""

    def measure(arm: str, name: str, sign: int, lr: float) -> float:
        return sign * float(results[trained_unit(d, arm, lr, d.development_seed).key][name])

    chosen: Results = {arm: {"learning_rate": 0.0, "sweep": {}} for arm in d.arms}
    for arm in trained(d):
        chosen[arm] = best_rate(d, partial(measure, arm, "acceptable", 1), partial(measure, arm, "dov", -1))
    return chosen


def fresh_units(d: Declaration, seeds: tuple[int, ...], chosen: Results) -> list[Unit]:
    """What is reported."""
    own = [
        trained_unit(d, arm, chosen[arm]["learning_rate"], seed) for arm in trained(d) for seed in d.fresh(arm, seeds)
    ]
    return [*(plain_unit(d, seed) for seed in seeds), *own]


def gather(
    d: Declaration, seeds: tuple[int, ...], chosen: Results, results: Results
) -> dict[str, list[dict[str, Any]]]:
    """{arm: [a fresh seed's measures, ...]}."""
    found = {}
    for arm in d.arms:
        if arm in UNTRAINED:
            found[arm] = [results[plain_unit(d, s).key]["arms"][arm] for s in d.fresh(arm, seeds)]
        else:
            rate = chosen[arm]["learning_rate"]
            found[arm] = [results[trained_unit(d, arm, rate, s).key] for s in d.fresh(arm, seeds)]
    return found


def outcome(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> Outcome:
    results = shop.run(sweeps(d))
    chosen = choose(d, results)
    tell_rates(chosen, trained(d))
    results |= shop.run(fresh_units(d, seeds, chosen))
    runs = gather(d, seeds, chosen, results)
    per_seed = {arm: [r["acceptable"] for r in own] for arm, own in runs.items()}
    per_prompt = {arm: [r["per_prompt"] for r in runs[arm]] for arm in d.primary}
    names = ("acceptable", "strict", "accurate", "dov", "qwk", "parts", "held_out")
    figures = {"arms": {arm: {name: [r[name] for r in own] for name in names} for arm, own in runs.items()}}
    return Outcome(chosen, results, per_seed, per_prompt, findings(d, runs), figures)


def world_sha256() -> str:
    """The world by what it does: weights, tokenizer, and ten graded conversations a part of every generator family."""
    told = []
    for family in ("train", "test"):
        records = grades.transcripts(0, 10, family)
        told.append([[grades.grading_prompt(r), encode(r.scores)] for r in records])
    return world_digest(grades.model_folder(), ("model.safetensors", "tokenizer.json"), told)


def main(argv: Sequence[str]) -> int:
    return launch("evalyaks", argv, Study(__doc__, work, reduced, world_sha256, outcome))
