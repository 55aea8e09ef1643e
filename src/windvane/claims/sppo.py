"""`windvane claim sppo`: the claims of SPPO (arXiv 2405.00675) re-run small: tabular games, the embedded world, a judge that goes round.

In: sppo.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it is
done; the same command goes on with what is there. First the learning rates: each arm runs at each of the declared ones on the development
seed, the one with the best final true win rate is taken. Then the fresh seeds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.claims import sppo_cycle, sppo_games, sppo_styles
from windvane.claims.assemble import assemble
from windvane.claims.declare import Declaration, declared, take_seeds
from windvane.claims.plot import draw
from windvane.claims.record import Claim, code_version, write_claim
from windvane.claims.sppo_cycle import Cycle
from windvane.claims.sppo_findings import findings
from windvane.claims.sppo_games import Games
from windvane.claims.sppo_styles import Styles, world_sha256
from windvane.claims.units import Unit, run_units, tell
from windvane.errors import UserError
from windvane.schema import decode
from windvane.store import RunFolder


def work(unit: Unit, folder: Path) -> dict[str, Any]:
    """One unit, by its part; called in a process of its own."""
    s = unit.settings
    if s["part"] == "games":
        return {"games": sppo_games.unit(decode(Games, s["games"]))}
    if s["part"] == "cycle":
        return sppo_cycle.unit(decode(Cycle, s["size"]), s["arm"], s["seed"], folder)
    return sppo_styles.unit(decode(Styles, s["size"]), s["arm"], s["lr"], s["seed"], folder)


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


def fresh_units(d: Declaration, seeds: tuple[int, ...], chosen: dict[str, dict[str, Any]]) -> list[Unit]:
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


def choose(d: Declaration, results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each arm's sweep {rate: final true win rate on the development seed} and the rate chosen from it."""
    if len(d.learning_rates) == 1:
        return {arm: {"learning_rate": d.learning_rates[0], "sweep": {}} for arm in d.arms}
    found = {}
    for arm in d.arms:
        sweep = {
            lr: results[styles_unit(d, arm, lr, d.development_seed).key]["win_rate"][-1] for lr in d.learning_rates
        }
        best = max(sweep, key=lambda lr: sweep[lr])
        found[arm] = {"learning_rate": best, "sweep": {f"{lr:g}": rate for lr, rate in sweep.items()}}
    return found


def gather(d: Declaration, seeds: tuple[int, ...], chosen: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """{arm: [a fresh seed's result, ...]}."""
    return {
        arm: [results[styles_unit(d, arm, chosen[arm]["learning_rate"], s).key] for s in d.fresh(arm, seeds)]
        for arm in d.arms
    }


def make_claim(
    d: Declaration,
    seeds: tuple[int, ...],
    chosen: dict[str, Any],
    results: dict[str, Any],
    is_reduced: bool,
    workers: int,
) -> Claim:
    """Everything that claim.json holds. Its seconds are the units' over the number of workers: what an undisturbed run takes, also where
    this one was resumed."""
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
    found = findings(d, styles, figures["games"], cycle)
    return assemble(d, seeds, chosen, results, per_seed, per_prompt, found, figures, is_reduced, workers)


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
        for arm in d.arms:
            tell(f"{arm}: learning rate {chosen[arm]['learning_rate']:g}")
        results |= run_units(fresh_units(d, seeds, chosen), work, out, workers, version)
        claim = make_claim(d, seeds, chosen, results, is_reduced, workers)
        write_claim(claim, out / "claim.json")
        for name, text in draw(claim).items():
            (out / name).write_text(text, encoding="utf-8")
    return claim


def told(claim: Claim) -> str:
    """What the terminal shows."""
    first, second = claim.primary
    lines = [f"{'arm':>12}  {'mean':>6}  {'spread':>6}  a seed each"]
    for arm, values in claim.per_seed.items():
        spread = claim.spread[arm]
        lines.append(
            f"{arm:>12}  {claim.mean[arm]:6.3f}  {'     -' if spread is None else f'{spread:6.3f}'}  "
            + " ".join(f"{v:.3f}" for v in values)
        )
    i = claim.interval
    between = "no interval from one seed" if i.low is None else f"[{i.low:+.3f}, {i.high:+.3f}]"
    lines.append(f"{first} - {second}: {i.mean:+.3f} {between}: {claim.verdict}")
    lines += [f"{f.verdict:>14}  {f.statement} ({f.numbers})" for f in claim.findings]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """`windvane claim sppo [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    parser = Parser(prog="windvane claim sppo", description=__doc__)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default="runs/claim-sppo", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = reduced(declared("sppo")) if given.reduced else declared("sppo")
    claim = run_claim(d, take_seeds(d, given.seeds), Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0
