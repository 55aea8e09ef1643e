"""`python -m studies.longpo` and `python -m studies.longpo_weight`: LongPO's claims (arXiv 2502.13922) re-run small.

Three rounds over growing lengths in the embedded world: first at the lam that was declared first, then at the paper's ratio of preference
to NLL.

In: longpo.toml or longpo-weight.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a
seed) is kept as it is done; the same command goes on with what is there. First LongPO runs at each declared rate on the development seed;
then every other arm does, on the data that LongPO made at the rate chosen there; then the fresh seeds: LongPO makes each seed's data and
all other arms are trained on them (documents, questions and answers; a placebo's rejected answers are its own). A rate is chosen by the
mean of long and short: right at the longest length trained on, and the mean of right at 128 tokens and of lists reversed. Theta alone has
no rate; the arms with `times` run at so many times LongPO's, those with `lam` weigh the preference so.

The start is the one model that is shipped; a seed draws documents, questions, samples and what is held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studies.assemble import Outcome
from studies.declare import Declaration
from studies.launch import Study, best_rate, launch, tell_rates
from studies.longpo import arm as longpo_run
from studies.longpo.arm import Size
from studies.longpo.findings import findings
from studies.longpo.measure import world_sha256
from studies.units import Results, Unit, Workshop
from windvane.core.schema import decode
from windvane.toy.facts import family as facts

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
    return best_rate(d, lambda lr: worth(d, results[unit_of(d, arm, lr, d.development_seed, source).key]))


def fixed(d: Declaration, arm: str, source_rate: float) -> dict[str, Any]:
    """The rate of an arm that has no sweep."""
    return {"learning_rate": source_rate * d.arms[arm].settings.get("times", 0.0), "sweep": {}}


def run_all(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> tuple[Results, Results, str]:
    """(every unit's result, each arm's rate and sweep, the development seed's data), in the order that data need."""
    makers = {source_key(lr, seed) for lr in d.learning_rates for seed in (d.development_seed, *d.seeds)}
    for key in sorted(makers):
        if not (shop.out / "data" / key).exists():
            (shop.out / "units" / f"{key}.json").unlink(missing_ok=True)  # its data are gone: it is run again

    results = shop.run(sweep_of(d, [SOURCE], None))
    chosen = {SOURCE: choose(d, SOURCE, results, None)}
    rate = chosen[SOURCE]["learning_rate"]
    development = source_key(rate, d.development_seed)
    others = [arm for arm in swept(d) if arm != SOURCE]
    results |= shop.run([unit_of(d, SOURCE, rate, s, None) for s in seeds] + sweep_of(d, others, development))
    for arm in d.arms:
        if arm != SOURCE:
            chosen[arm] = choose(d, arm, results, development) if arm in others else fixed(d, arm, rate)
    tell_rates(chosen, d.arms)
    for secondary in (False, True):
        arms = [a for a in d.arms if a != SOURCE and d.arms[a].secondary is secondary]
        results |= shop.run([fresh_unit(d, a, chosen, s) for a in arms for s in d.fresh(a, seeds)])
    return results, {arm: chosen[arm] for arm in d.arms}, development


def fresh_unit(d: Declaration, arm: str, chosen: dict[str, dict[str, Any]], seed: int) -> Unit:
    source = source_key(chosen[SOURCE]["learning_rate"], seed)
    return unit_of(d, arm, chosen[arm]["learning_rate"], seed, source)


def outcome(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> Outcome:
    results, chosen, development = run_all(d, seeds, shop)
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
    return Outcome(chosen, results, per_seed, per_prompt, findings(runs, figures), figures)


def _sweep_figures(d: Declaration, results: Results, development: str) -> dict[str, list[dict[str, float]]]:
    """{arm: [a rate's long, short and drift on the development seed]}."""
    found: dict[str, list[dict[str, float]]] = {}
    for arm in swept(d) if len(d.learning_rates) > 1 else []:
        for lr in d.learning_rates:
            end = results[unit_of(d, arm, lr, d.development_seed, development).key]["end"]
            row = {"rate": lr, "long": long_of(d, end), "short": short_of(d, end), "kl": end["kl"]}
            found.setdefault(arm, []).append(row)
    return found


STUDY = Study(__doc__, work, reduced, world_sha256, outcome)


def main(argv: Sequence[str]) -> int:
    return launch("longpo", argv, STUDY)


def weight(argv: Sequence[str]) -> int:
    """The second declaration: the same study at the paper's ratio of preference to NLL."""
    return launch("longpo-weight", argv, STUDY)
