"""`windvane claim rubric-sppo`: self-play under each user's rubric (SPPO x Janus), re-run small in the embedded world's values.

In: rubric-sppo.toml, how many of its seeds, a folder. Out: DIR/claim.json and its drawings. Every unit (an arm with a seed) is kept as it
is done; the same command goes on with what is there. First each arm's learning rate, from the same three on the development seed, by its
own adherence; then the fresh seeds. No paper claims this: it is the question that SPPO and Janus leave between them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.claims import rubric_run
from windvane.claims.assemble import assemble
from windvane.claims.declare import Declaration, declared, take_seeds
from windvane.claims.plot import draw
from windvane.claims.record import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Contrast,
    Finding,
    code_version,
    over_seeds,
    write_claim,
)
from windvane.claims.rubric_run import Size, world_sha256
from windvane.claims.sppo import told
from windvane.claims.units import Unit, run_units, tell
from windvane.errors import UserError
from windvane.schema import decode
from windvane.store import RunFolder

Results = dict[str, dict[str, Any]]
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


def choose(d: Declaration, results: Results) -> dict[str, dict[str, Any]]:
    """Each arm's rate and the sweep it was chosen from, {rate: adherence on "seen" cases of the development seed}."""
    found: dict[str, dict[str, Any]] = {}
    for arm in d.arms:
        found[arm] = {"learning_rate": d.learning_rates[0] if arm in trained(d) else 0.0, "sweep": {}}
        if arm in trained(d) and len(d.learning_rates) > 1:
            sweep = {
                lr: results[unit_of(d, arm, lr, d.development_seed, False).key]["adherence"]["seen"]
                for lr in d.learning_rates
            }
            best = max(sweep, key=lambda lr: sweep[lr])
            found[arm] = {"learning_rate": best, "sweep": {f"{lr:g}": value for lr, value in sweep.items()}}
    return found


def fresh_units(d: Declaration, seeds: tuple[int, ...], chosen: dict[str, Any]) -> list[Unit]:
    """What is reported, secondary arms last."""
    order = sorted(d.arms, key=lambda a: d.arms[a].secondary)
    return [unit_of(d, a, chosen[a]["learning_rate"], s, True) for a in order for s in d.fresh(a, seeds)]


def make_claim(
    d: Declaration, seeds: tuple[int, ...], chosen: dict[str, Any], results: Results, is_reduced: bool, workers: int
) -> Claim:
    """Everything that claim.json holds."""
    runs = {
        arm: [results[unit_of(d, arm, chosen[arm]["learning_rate"], s, True).key] for s in d.fresh(arm, seeds)]
        for arm in d.arms
    }
    per_seed = {arm: [r["adherence"]["seen"] for r in found] for arm, found in runs.items()}
    per_prompt = {arm: [r["each"] for r in runs[arm]] for arm in d.primary}
    names = ("adherence", "malformed", "off_topic", "words", "course")
    figures = {"arms": {arm: {n: [r[n] for r in found] for n in names} for arm, found in runs.items()}}
    return assemble(d, seeds, chosen, results, per_seed, per_prompt, findings(runs), figures, is_reduced, workers)


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
    if gap.low is None or gap.high is None:
        return Finding(statement, UNDECIDED, f"{gap.mean:+.3f}, one seed")
    ends = sorted((side * gap.low, side * gap.high))
    verdict = HOLDS if ends[0] > 0 else FAILS if ends[1] < 0 else UNDECIDED
    return Finding(statement, verdict, f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], {gap.n} seeds")


def run_claim(d: Declaration, seeds: tuple[int, ...], out: Path, workers: int, is_reduced: bool) -> Claim:
    """Everything, resumable."""
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
    """`windvane claim rubric-sppo [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    parser = Parser(prog=f"windvane claim {NAME}", description=__doc__)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default=f"runs/claim-{NAME}", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = reduced(declared(NAME)) if given.reduced else declared(NAME)
    claim = run_claim(d, take_seeds(d, given.seeds), Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0
