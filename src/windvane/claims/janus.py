"""`windvane claim janus`: Janus' claims (arXiv 2405.17977) re-run small, in the embedded world's values.

In: janus.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it is
done; the same command goes on with what is there. Rates are chosen first, each arm's on the development seed from the same three: by the
share of unseen combinations that are followed whole, the reward model's by its accuracy. DPO starts from the Janus* of the rate chosen
for that arm, the reward model from one epoch at the rate chosen for `janus`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.claims import janus_run
from windvane.claims.assemble import assemble
from windvane.claims.declare import Declaration, declared, take_seeds
from windvane.claims.janus_findings import findings
from windvane.claims.janus_run import Size, world_sha256
from windvane.claims.plot import draw
from windvane.claims.record import Claim, code_version, write_claim
from windvane.claims.sppo import told
from windvane.claims.units import Unit, run_units, tell
from windvane.errors import UserError
from windvane.schema import decode
from windvane.store import RunFolder

Results = dict[str, dict[str, Any]]
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
    if len(d.learning_rates) == 1:
        return {"learning_rate": d.learning_rates[0], "sweep": {}}
    rates = sorted(d.learning_rates)
    found = {lr: worth(results[unit_of(d, arm, lr, d.development_seed, chosen, False).key]) for lr in rates}
    best = max(found, key=lambda lr: found[lr])
    return {"learning_rate": best, "sweep": {f"{lr:g}": value for lr, value in found.items()}}


def run_all(
    d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, version: str
) -> tuple[Results, dict[str, dict[str, Any]]]:
    """(every unit's result, each arm's rate and sweep)."""

    def run(units: Sequence[Unit]) -> Results:
        return run_units(units, work, out, workers, version) if units else {}

    results: Results = {}
    chosen: dict[str, dict[str, Any]] = {}
    for late in (False, True):
        arms = [a for a in d.arms if (a in BEFORE) is late]
        results |= run(sweep_of(d, [a for a in arms if a in swept(d)], chosen))
        chosen |= {a: choose(d, a, results, chosen) for a in arms}
        for a in arms:
            tell(f"{a}: learning rate {chosen[a]['learning_rate']:g}")
    for secondary in (False, True):
        arms = [a for a in d.arms if d.arms[a].secondary is secondary]
        results |= run([fresh_unit(d, a, chosen, s) for a in arms for s in d.fresh(a, seeds)])
    return results, {arm: chosen[arm] for arm in d.arms}


def fresh_unit(d: Declaration, arm: str, chosen: dict[str, Any], seed: int) -> Unit:
    return unit_of(d, arm, chosen[arm]["learning_rate"], seed, chosen, True)


def make_claim(
    d: Declaration, seeds: tuple[int, ...], chosen: dict[str, Any], results: Results, is_reduced: bool, workers: int
) -> Claim:
    """Everything that claim.json holds."""
    runs = {arm: [results[fresh_unit(d, arm, chosen, s).key] for s in d.fresh(arm, seeds)] for arm in d.arms}
    per_seed = {arm: [r["all"]["combinations"] for r in found] for arm, found in runs.items()}
    per_prompt = {arm: [r["each"] for r in runs[arm]] for arm in d.primary}
    kept = ("adherence", "all", "plain", "accuracy", "best", "shared")
    figures = {"arms": {arm: [{k: r[k] for k in kept if k in r} for r in found] for arm, found in runs.items()}}
    return assemble(d, seeds, chosen, results, per_seed, per_prompt, findings(runs), figures, is_reduced, workers)


def run_claim(d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, is_reduced: bool) -> Claim:
    """Run what is missing, write DIR/claim.json and the drawings."""
    if world_sha256() != d.world_sha256:
        raise UserError(
            f"{d.name}: {d.world} is not the world that was declared (world_sha256 in claims/{d.name}.toml); declare it anew"
        )
    with RunFolder(out):
        results, chosen = run_all(d, seeds, out, workers, code_version())
        claim = make_claim(d, seeds, chosen, results, is_reduced, workers)
        write_claim(claim, out / "claim.json")
        for name, text in draw(claim).items():
            (out / name).write_text(text, encoding="utf-8")
    return claim


def main(argv: Sequence[str]) -> int:
    """`windvane claim janus [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    parser = Parser(prog="windvane claim janus", description=__doc__)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default="runs/claim-janus", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = reduced(declared("janus")) if given.reduced else declared("janus")
    claim = run_claim(d, take_seeds(d, given.seeds), Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0
