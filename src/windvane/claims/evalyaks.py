"""`windvane claim evalyaks`: EvalYaks' claim (arXiv 2408.12226) re-run small: adapters that grade, against cheaper ways to the same bands.

In: evalyaks.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed, or all arms that
train no weights with a seed) is kept as it is done; the same command goes on with what is there. First the learning rates: each trained
arm runs at each of the declared ones on the development seed, the one with the most acceptable answers is taken. Then the fresh seeds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.claims.assemble import assemble
from windvane.claims.declare import Declaration, declared, take_seeds
from windvane.claims.evalyaks_findings import findings
from windvane.claims.evalyaks_measure import UNTRAINED, Size, unit
from windvane.claims.plot import draw
from windvane.claims.record import Claim, code_version, write_claim
from windvane.claims.sppo import told
from windvane.claims.units import Unit, run_units, tell
from windvane.errors import UserError
from windvane.schema import decode, dumps, encode
from windvane.store import RunFolder, file_sha256
from windvane.world import grades

Results = dict[str, dict[str, Any]]


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
    found: Results = {arm: {"learning_rate": 0.0, "sweep": {}} for arm in d.arms}
    for arm in trained(d):
        if len(d.learning_rates) == 1:
            found[arm] = {"learning_rate": d.learning_rates[0], "sweep": {}}
            continue
        sweep = {lr: results[trained_unit(d, arm, lr, d.development_seed).key] for lr in d.learning_rates}
        best = max(sweep, key=lambda lr: (round(sweep[lr]["acceptable"], 9), -sweep[lr]["dov"]))
        found[arm] = {"learning_rate": best, "sweep": {f"{lr:g}": r["acceptable"] for lr, r in sweep.items()}}
    return found


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


def make_claim(
    d: Declaration, seeds: tuple[int, ...], chosen: Results, results: Results, is_reduced: bool, workers: int
) -> Claim:
    """Everything that claim.json holds."""
    runs = gather(d, seeds, chosen, results)
    per_seed = {arm: [r["acceptable"] for r in own] for arm, own in runs.items()}
    per_prompt = {arm: [r["per_prompt"] for r in runs[arm]] for arm in d.primary}
    names = ("acceptable", "strict", "accurate", "dov", "qwk", "parts", "held_out")
    figures = {"arms": {arm: {name: [r[name] for r in own] for name in names} for arm, own in runs.items()}}
    return assemble(d, seeds, chosen, results, per_seed, per_prompt, findings(d, runs), figures, is_reduced, workers)


def world_sha256() -> str:
    """The world by what it does: weights, tokenizer, and ten graded conversations a part of every generator family."""
    digest = hashlib.sha256()
    for name in ("model.safetensors", "tokenizer.json"):
        digest.update(file_sha256(grades.model_folder() / name).encode())
    for family in ("train", "test"):
        records = grades.transcripts(0, 10, family)
        digest.update(dumps([[grades.grading_prompt(r), encode(r.scores)] for r in records]).encode())
    return digest.hexdigest()


def run_claim(d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, is_reduced: bool) -> Claim:
    """Run what is missing, write DIR/claim.json and the drawings."""
    if world_sha256() != d.world_sha256:
        raise UserError(
            f"{d.name}: {d.world} is not the world that was declared (world_sha256 in claims/{d.name}.toml); declare it anew"
        )
    version = code_version()
    with RunFolder(out):
        results = run_units(sweeps(d), work, out, workers, version)
        chosen = choose(d, results)
        for arm in trained(d):
            tell(f"{arm}: learning rate {chosen[arm]['learning_rate']:g}")
        results |= run_units(fresh_units(d, seeds, chosen), work, out, workers, version)
        claim = make_claim(d, seeds, chosen, results, is_reduced, workers)
        write_claim(claim, out / "claim.json")
        for name, text in draw(claim).items():
            (out / name).write_text(text, encoding="utf-8")
    return claim


def main(argv: Sequence[str]) -> int:
    """`windvane claim evalyaks [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    parser = Parser(prog="windvane claim evalyaks", description=__doc__)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default="runs/claim-evalyaks", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = reduced(declared("evalyaks")) if given.reduced else declared("evalyaks")
    claim = run_claim(d, take_seeds(d, given.seeds), Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0
