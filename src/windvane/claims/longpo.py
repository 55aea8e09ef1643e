"""`windvane claim longpo` and `longpo-weight`: LongPO's claims (arXiv 2502.13922) re-run small: three rounds over growing lengths in the
embedded world; first at the lam that was declared first, then at the paper's ratio of preference to NLL.

In: longpo.toml or longpo-weight.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a
seed) is kept as it is done; the same command goes on with what is there. First LongPO runs at each declared rate on the development seed;
then every other arm does, on the data that LongPO made at the rate chosen there; then the fresh seeds: LongPO makes each seed's data and
all other arms are trained on them (documents, questions and answers; a placebo's rejected answers are its own). A rate is chosen by the
mean of long and short: right at the longest length trained on, and the mean of right at 128 tokens and of lists reversed. Theta alone has
no rate; the arms with `times` run at so many times LongPO's, those with `lam` weigh the preference so.

The start is the one model that is shipped; a seed draws documents, questions, samples and what is held out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.claims import longpo_run
from windvane.claims.assemble import assemble
from windvane.claims.declare import Declaration, declared, take_seeds
from windvane.claims.longpo_findings import findings
from windvane.claims.longpo_measure import world_sha256
from windvane.claims.longpo_run import Size
from windvane.claims.plot import draw
from windvane.claims.record import Claim, code_version, write_claim
from windvane.claims.sppo import told
from windvane.claims.units import Unit, run_units, tell
from windvane.errors import UserError
from windvane.schema import decode
from windvane.store import RunFolder
from windvane.world import facts

Results = dict[str, dict[str, Any]]
SOURCE = "longpo"  # the arm whose run makes the data


def work(unit: Unit, folder: Path) -> dict[str, Any]:
    """One unit; called in a process of its own. Data stand in DIR/data, named by the unit that made them."""
    s, data = unit.settings, folder.parents[1] / "data"
    source = None if s["data"] is None else data / s["data"]
    keep = data / unit.key if s["data"] is None and s["arm"] == SOURCE else None
    size = decode(Size, s["size"])
    return longpo_run.unit(
        longpo_run.settings(size, s["arm"], s["lr"], s["seed"], source, s.get("lam")), size, folder, keep
    )


def reduced(d: Declaration) -> Declaration:
    """A size that continuous integration can afford: the primary arms and theta alone, one rate, two short rounds, seeds of its own. It
    decides nothing, and looks at no declared seed."""
    size = {"lengths": "256,512", "theta": d.parts["size"]["theta"][:2], "documents": 16, "epochs": 1, "points": 2}
    size["sizes"] = {"lengths": [128, 512, 1024], "cases": 12, "along": 8}
    return replace(
        d,
        seeds=(1, 2, 3, 4, 5),
        parts={"size": size},
        arms={a: d.arms[a] for a in (*d.primary, "theta")},
        learning_rates=(d.learning_rates[1],),
    )


def source_key(lr: float, seed: int) -> str:
    return f"{SOURCE}-{lr:g}-{seed}"


def unit_of(d: Declaration, arm: str, lr: float, seed: int, source: str | None) -> Unit:
    """`source`: the unit whose data are taken; None for LongPO, which makes its own, and for theta alone, which needs none. An arm's
    `lam` is the preference's weight; without one it is the world's own."""
    held = d.arms[arm].settings
    taken = None if arm == SOURCE or held["arm"] == "theta" else source
    settings = {
        "size": d.parts["size"],
        "arm": held["arm"],
        "lr": lr,
        "seed": seed,
        "data": taken,
    }
    if "lam" in held:
        settings["lam"] = held["lam"]
    return Unit(source_key(lr, seed) if arm == SOURCE else f"{arm}-{lr:g}-{seed}", settings)


def swept(d: Declaration) -> list[str]:
    """The arms whose rate is chosen; LongPO first, since the others take its data."""
    return [a for a in d.arms if d.arms[a].settings["arm"] != "theta" and "times" not in d.arms[a].settings]


def sweep_of(d: Declaration, arms: Sequence[str], source: str | None) -> list[Unit]:
    """Every one of `arms` at every rate on the development seed; none where there is one rate."""
    if len(d.learning_rates) == 1:
        return []
    return [unit_of(d, arm, lr, d.development_seed, source) for arm in arms for lr in d.learning_rates]


def worth(d: Declaration, result: dict[str, Any]) -> float:
    """What a rate is chosen by: the mean of long and short."""
    return (long_of(d, result["end"]) + short_of(d, result["end"])) / 2


def target(d: Declaration) -> int:
    """The longest length trained on."""
    return max(int(n) for n in d.parts["size"]["lengths"].split(","))


def long_of(d: Declaration, end: dict[str, Any]) -> float:
    return float(end["right"][d.parts["size"]["sizes"]["lengths"].index(target(d))])


def short_of(d: Declaration, end: dict[str, Any]) -> float:
    return float(end["right"][d.parts["size"]["sizes"]["lengths"].index(facts.LENGTH)] + end["reversed"]) / 2


def choose(d: Declaration, arm: str, results: Results, source: str | None) -> dict[str, Any]:
    """The arm's sweep {rate: worth on the development seed} and the rate chosen from it, the lowest of equals."""
    if len(d.learning_rates) == 1:
        return {"learning_rate": d.learning_rates[0], "sweep": {}}
    found = {lr: worth(d, results[unit_of(d, arm, lr, d.development_seed, source).key]) for lr in d.learning_rates}
    best = max(found, key=lambda lr: found[lr])
    return {"learning_rate": best, "sweep": {f"{lr:g}": value for lr, value in found.items()}}


def fixed(d: Declaration, arm: str, source_rate: float) -> dict[str, Any]:
    """The rate of an arm that has no sweep."""
    return {"learning_rate": source_rate * d.arms[arm].settings.get("times", 0.0), "sweep": {}}


def run_all(
    d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, version: str
) -> tuple[Results, dict[str, dict[str, Any]], str]:
    """(every unit's result, each arm's rate and sweep, the development seed's data), in the order that data need."""
    makers = {source_key(lr, seed) for lr in d.learning_rates for seed in (d.development_seed, *d.seeds)}
    for key in sorted(makers):
        if not (out / "data" / key).exists():
            (out / "units" / f"{key}.json").unlink(missing_ok=True)  # its data are gone: it is run again

    def run(units: Sequence[Unit]) -> Results:
        return run_units(units, work, out, workers, version) if units else {}

    results = run(sweep_of(d, [SOURCE], None))
    chosen = {SOURCE: choose(d, SOURCE, results, None)}
    rate = chosen[SOURCE]["learning_rate"]
    development = source_key(rate, d.development_seed)
    others = [arm for arm in swept(d) if arm != SOURCE]
    results |= run([unit_of(d, SOURCE, rate, s, None) for s in seeds] + sweep_of(d, others, development))
    for arm in d.arms:
        if arm != SOURCE:
            chosen[arm] = choose(d, arm, results, development) if arm in others else fixed(d, arm, rate)
        tell(f"{arm}: learning rate {chosen[arm]['learning_rate']:g}")
    for secondary in (False, True):
        arms = [a for a in d.arms if a != SOURCE and d.arms[a].secondary is secondary]
        results |= run([fresh_unit(d, a, chosen, s) for a in arms for s in d.fresh(a, seeds)])
    return results, {arm: chosen[arm] for arm in d.arms}, development


def fresh_unit(d: Declaration, arm: str, chosen: dict[str, dict[str, Any]], seed: int) -> Unit:
    source = source_key(chosen[SOURCE]["learning_rate"], seed)
    return unit_of(d, arm, chosen[arm]["learning_rate"], seed, source)


def make_claim(
    d: Declaration,
    seeds: tuple[int, ...],
    chosen: dict[str, dict[str, Any]],
    results: Results,
    development: str,
    is_reduced: bool,
    workers: int,
) -> Claim:
    """Everything that claim.json holds. Its seconds are the units' over the number of workers: what an undisturbed run takes, also where
    this one was resumed."""
    runs = {arm: [results[fresh_unit(d, arm, chosen, s).key] for s in d.fresh(arm, seeds)] for arm in d.arms}
    per_seed = {arm: [long_of(d, r["end"]) for r in found] for arm, found in runs.items()}
    per_prompt = {arm: [r["end"]["each"] for r in runs[arm]] for arm in d.primary}
    figures = {
        "lengths": d.parts["size"]["sizes"]["lengths"],
        "target": target(d),
        "start": [r["start"] for r in runs[SOURCE]],
        "arms": {
            arm: {
                "end": [{k: v for k, v in r["end"].items() if k != "each"} for r in found],
                "points": [r["points"] for r in found],
            }
            for arm, found in runs.items()
        },
        "sweep": _sweep_figures(d, results, development),
        "data": {arm: [r["data"] for r in runs[arm]] for arm in (SOURCE, "placebo") if arm in runs},
    }
    found = findings(runs, figures)
    return assemble(d, seeds, chosen, results, per_seed, per_prompt, found, figures, is_reduced, workers)


def _sweep_figures(d: Declaration, results: Results, development: str) -> dict[str, list[dict[str, float]]]:
    """{arm: [a rate's long, short and drift on the development seed]}."""
    found: dict[str, list[dict[str, float]]] = {}
    for arm in swept(d) if len(d.learning_rates) > 1 else []:
        for lr in d.learning_rates:
            end = results[unit_of(d, arm, lr, d.development_seed, development).key]["end"]
            row = {"rate": lr, "long": long_of(d, end), "short": short_of(d, end), "kl": end["kl"]}
            found.setdefault(arm, []).append(row)
    return found


def run_claim(d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, is_reduced: bool) -> Claim:
    """Run what is missing, write DIR/claim.json and the drawings."""
    if world_sha256() != d.world_sha256:
        raise UserError(
            f"{d.name}: {d.world} is not the world that was declared (world_sha256 in claims/{d.name}.toml); declare it anew"
        )
    with RunFolder(out):
        results, chosen, development = run_all(d, seeds, out, workers, code_version())
        claim = make_claim(d, seeds, chosen, results, development, is_reduced, workers)
        write_claim(claim, out / "claim.json")
        for name, text in draw(claim).items():
            (out / name).write_text(text, encoding="utf-8")
    return claim


def main(argv: Sequence[str]) -> int:
    """`windvane claim longpo [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    return run_declared("longpo", argv)


def weight(argv: Sequence[str]) -> int:
    """`windvane claim longpo-weight`, likewise: the second declaration."""
    return run_declared("longpo-weight", argv)


def run_declared(name: str, argv: Sequence[str]) -> int:
    parser = Parser(prog=f"windvane claim {name}", description=__doc__)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default=f"runs/claim-{name}", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = reduced(declared(name)) if given.reduced else declared(name)
    claim = run_claim(d, take_seeds(d, given.seeds), Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0
