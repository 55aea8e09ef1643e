"""`python -m studies.janus`: Janus' claims (arXiv 2405.17977) re-run small, in the embedded world's values.

In: janus.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it is
done; the same command goes on with what is there. Rates are chosen first, each arm's on the development seed from the same three: by the
share of unseen combinations that are followed whole, the reward model's by its accuracy. DPO starts from the Janus* of the rate chosen
for that arm, the reward model from one epoch at the rate chosen for `janus`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studies.assemble import Outcome
from studies.declare import Declaration
from studies.janus import arm as janus_run
from studies.janus.arm import Size, world_sha256
from studies.janus.findings import findings
from studies.launch import Study, best_rate, launch, tell_rates
from studies.units import Results, Unit, Workshop
from windvane.core.schema import decode

# an arm whose first model is trained at the rate chosen for another arm: (that model, that arm)
BEFORE = {
    "dpo": ("janus-star", "star"),
    "dpo-low": ("janus-star", "star"),
    "reward": ("janus-1-epoch", "janus"),
    "reward-900": ("janus-1-epoch", "janus"),
}


def work(unit: Unit, folder: Path) -> dict[str, Any]:
    """One unit; called in a process of its own."""
    s = unit.settings
    return janus_run.unit(decode(Size, s["size"]), s["arm"], s["rates"], s["seed"], s["whole"], folder)


def reduced(d: Declaration) -> Declaration:
    """A size that continuous integration can afford: the primary arms, the start, one rate, seeds of its own. It decides nothing, and looks
    at no declared seed."""
    size = {**d.parts["size"], "instructions": 120, "cases": 24, "epochs": 2}
    arms = {a: d.arms[a] for a in (*d.primary, "start")}
    return replace(
        d, seeds=(1, 2, 3, 4, 5), parts={"size": size}, arms=arms, learning_rates=(d.learning_rates[-1],)
    )  # fmt: skip


def unit_of(d: Declaration, arm: str, lr: float, seed: int, chosen: dict[str, Any], whole: bool) -> Unit:
    """`times` of an arm: its rates are so many times the declared ones; `size`: what of the size is its own."""
    held = d.arms[arm].settings
    rates = {held["models"][-1]: lr * held.get("times", 1.0)} if held["models"] else {}
    if arm in BEFORE:
        model, other = BEFORE[arm]
        rates[model] = chosen[other]["learning_rate"]
    size = {**d.parts["size"], **held.get("size", {})}
    settings = {"size": size, "arm": held, "rates": rates, "seed": seed, "whole": whole}
    return Unit(f"{arm}-{lr:g}-{seed}{'' if whole else '-sweep'}", settings)


def swept(d: Declaration) -> list[str]:
    """The arms whose rate is chosen: all that train."""
    return [a for a in d.arms if d.arms[a].settings["models"]]


def sweep_of(d: Declaration, arms: Sequence[str], chosen: dict[str, Any]) -> list[Unit]:
    """Every one of `arms` at every rate on the development seed; none where there is one rate."""
    if len(d.learning_rates) == 1:
        return []
    return [unit_of(d, a, lr, d.development_seed, chosen, False) for a in arms for lr in d.learning_rates]


def worth(result: dict[str, Any]) -> float:
    """What a rate is chosen by."""
    return float(result["accuracy"]["seen"] if "accuracy" in result else result["all"]["combinations"])


def choose(d: Declaration, arm: str, results: Results, chosen: dict[str, Any]) -> dict[str, Any]:
    """The arm's sweep {rate: worth on the development seed} and the rate chosen from it, the lowest of equals."""
    if not d.arms[arm].settings["models"]:
        return {"learning_rate": 0.0, "sweep": {}}
    return best_rate(d, lambda lr: worth(results[unit_of(d, arm, lr, d.development_seed, chosen, False).key]))


def run_all(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> tuple[Results, Results]:
    """(every unit's result, each arm's rate and sweep)."""
    results: Results = {}
    chosen: Results = {}
    for late in (False, True):
        arms = [a for a in d.arms if (a in BEFORE) is late]
        results |= shop.run(sweep_of(d, [a for a in arms if a in swept(d)], chosen))
        chosen |= {a: choose(d, a, results, chosen) for a in arms}
        tell_rates(chosen, arms)
    for secondary in (False, True):
        arms = [a for a in d.arms if d.arms[a].secondary is secondary]
        results |= shop.run([fresh_unit(d, a, chosen, s) for a in arms for s in d.fresh(a, seeds)])
    return results, {arm: chosen[arm] for arm in d.arms}


def fresh_unit(d: Declaration, arm: str, chosen: dict[str, Any], seed: int) -> Unit:
    return unit_of(d, arm, chosen[arm]["learning_rate"], seed, chosen, True)


def outcome(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> Outcome:
    results, chosen = run_all(d, seeds, shop)
    runs = {arm: [results[fresh_unit(d, arm, chosen, s).key] for s in d.fresh(arm, seeds)] for arm in d.arms}
    per_seed = {arm: [r["all"]["combinations"] for r in found] for arm, found in runs.items()}
    per_prompt = {arm: [r["each"] for r in runs[arm]] for arm in d.primary}
    kept = ("adherence", "all", "plain", "accuracy", "best", "shared")
    figures = {"arms": {arm: [{k: r[k] for k in kept if k in r} for r in found] for arm, found in runs.items()}}
    return Outcome(chosen, results, per_seed, per_prompt, findings(runs), figures)


def main(argv: Sequence[str]) -> int:
    return launch("janus", argv, Study(__doc__, work, reduced, world_sha256, outcome))
