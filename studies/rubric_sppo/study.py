"""`python -m studies.rubric_sppo`: self-play under each user's rubric (SPPO x Janus), re-run small in the embedded world's values.

In: rubric-sppo.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it
is done; the same command goes on with what is there. First each arm's learning rate, from the same three on the development seed, by its
own adherence; then the fresh seeds. No paper claims this: it is the question that SPPO and Janus leave between them.
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
from studies.record import Contrast, Finding, over_seeds, shown, verdict
from studies.rubric_sppo import arm as rubric_run
from studies.rubric_sppo.arm import Size, world_sha256
from studies.units import Results, Unit, Workshop
from windvane.core.schema import decode

NAME = "rubric-sppo"
SPLITS = {
    "seen": "with nothing else held out",
    "combinations": "on combinations never trained together",
    "recombined": "in new wordings made of trained words",
    "synonyms": "in wordings of words never trained on",
    "values": "on values never trained on",
}


def work(unit: Unit, folder: Path) -> dict[str, Any]:
    """One unit; called in a process of its own."""
    s = unit.settings
    return rubric_run.unit(decode(Size, s["size"]), s["arm"], s["lr"], s["seed"], s["whole"], folder)


def reduced(d: Declaration) -> Declaration:
    """A size that continuous integration can afford: the primary arms and the start, one rate, seeds of its own. It decides nothing, and
    looks at no declared seed."""
    size = {**d.parts["size"], "iterations": 1, "prompts": 48, "k": 3, "cases": 24, "watched": 12}
    arms = {a: d.arms[a] for a in (*d.primary, "start")}
    return replace(d, seeds=(1, 2, 3, 4, 5), parts={"size": size}, arms=arms, learning_rates=(d.learning_rates[-1],))


def unit_of(d: Declaration, arm: str, lr: float, seed: int, whole: bool) -> Unit:
    held = {"size": d.parts["size"], "arm": d.arms[arm].settings, "lr": lr, "seed": seed, "whole": whole}
    return Unit(f"{arm}-{lr:g}-{seed}{'' if whole else '-sweep'}", held)


def trained(d: Declaration) -> list[str]:
    """The arms that a rate is chosen for."""
    return [a for a in d.arms if d.arms[a].settings["rubrics"]]


def sweeps(d: Declaration) -> list[Unit]:
    """Every trained arm at every rate on the development seed; none where there is one rate."""
    if len(d.learning_rates) == 1:
        return []
    return [unit_of(d, arm, lr, d.development_seed, False) for arm in trained(d) for lr in d.learning_rates]


def choose(d: Declaration, results: Results) -> Results:
    """Each arm's rate and the sweep it was chosen from, {rate: adherence on "seen" cases of the development seed}."""

    def seen(arm: str, lr: float) -> float:
        return float(results[unit_of(d, arm, lr, d.development_seed, False).key]["adherence"]["seen"])

    untrained: dict[str, Any] = {"learning_rate": 0.0, "sweep": {}}
    return {arm: best_rate(d, partial(seen, arm)) if arm in trained(d) else untrained for arm in d.arms}


def fresh_units(d: Declaration, seeds: tuple[int, ...], chosen: Results) -> list[Unit]:
    """What is reported, secondary arms last."""
    order = sorted(d.arms, key=lambda a: d.arms[a].secondary)
    return [unit_of(d, a, chosen[a]["learning_rate"], s, True) for a in order for s in d.fresh(a, seeds)]


def outcome(d: Declaration, seeds: tuple[int, ...], shop: Workshop) -> Outcome:
    results = shop.run(sweeps(d))
    chosen = choose(d, results)
    tell_rates(chosen, trained(d))
    results |= shop.run(fresh_units(d, seeds, chosen))
    runs = {
        arm: [results[unit_of(d, arm, chosen[arm]["learning_rate"], s, True).key] for s in d.fresh(arm, seeds)]
        for arm in d.arms
    }
    per_seed = {arm: [r["adherence"]["seen"] for r in found] for arm, found in runs.items()}
    per_prompt = {arm: [r["each"] for r in runs[arm]] for arm in d.primary}
    names = ("adherence", "malformed", "off_topic", "words", "course")
    figures = {"arms": {arm: {n: [r[n] for r in found] for n in names} for arm, found in runs.items()}}
    return Outcome(chosen, results, per_seed, per_prompt, findings(runs), figures)


def findings(runs: dict[str, list[dict[str, Any]]]) -> list[Finding]:
    """Each a paired difference over the seeds that both arms ran on."""
    found = []
    for split, where in SPLITS.items():
        gap = _gap(runs, "rubric", "start", split)
        found.append(_finding(f"Self-play under each user's rubric follows values better than the start {where}", gap))
    gap = _gap(runs, "uniform", "start", "seen")
    found.append(_finding("Under one rubric for everybody values are followed less than by the start", gap, -1))
    if "shuffled" in runs:
        gap = _gap(runs, "rubric", "shuffled", "seen")
        found.append(_finding("Each user's own rubric beats another user's (a control: nothing else differs)", gap))
    if "dpo" in runs:
        gap = _gap(runs, "rubric", "dpo", "seen")
        found.append(_finding("SPPO beats iterative DPO under the same rubrics", gap))
    worse = over_seeds([a["malformed"] - b["malformed"] for a, b in zip(runs["rubric"], runs["start"])])
    found.append(_finding("Replies are malformed more often than the start's", worse))
    return found


def _gap(runs: dict[str, list[dict[str, Any]]], first: str, second: str, split: str) -> Contrast:
    return over_seeds([a["adherence"][split] - b["adherence"][split] for a, b in zip(runs[first], runs[second])])


def _finding(statement: str, gap: Contrast, side: int = 1) -> Finding:
    """Holds where the interval lies on the side of 0 that the statement names."""
    signed = gap
    if side < 0 and gap.low is not None and gap.high is not None:
        signed = Contrast(-gap.mean, -gap.high, -gap.low, gap.n)
    return Finding(statement, verdict(signed), shown(gap))


def main(argv: Sequence[str]) -> int:
    return launch(NAME, argv, Study(__doc__, work, reduced, world_sha256, outcome))
