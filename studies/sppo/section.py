"""The SPPO claim's own part of docs/claims.md: its three parts in tables, the paper's figures beside them, and what this cannot show.

In: the claim. Out: Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.page import table
from studies.record import Claim
from studies.sppo.cycle_judge import KINDS

PAPER = """The paper's own table (AlpacaEval 2.0, Mistral-7B-Instruct-v0.2, judged by GPT-4; length-controlled / raw win rate in percent,
mean length in characters), for comparison of kind, not of size; DPO and IPO are the paper's own iterative runs:

| arm | start | iteration 1 | 2 | 3 |
|---|---|---|---|---|
| SPPO | 17.11 / 14.72, 1676 | 24.79 / 23.51, 1855 | 26.89 / 27.62, 2019 | 28.53 / 31.02, 2163 |
| iterative DPO | | 23.81 / 20.44, 1723 | 24.23 / 24.46, 2028 | 22.30 / 23.39, 2189 |
| iterative IPO | | 23.78 / 20.77, 1693 | 21.08 / 23.38, 2660 | 20.06 / 22.47, 2760 |"""

LIMITS = """What this cannot show: there is one base model of 0.1 million parameters and one programme as the truth, so the seeds (which
prompts train, which are held out, every sample) say nothing about another base or task. The noise of the judge that trains is fixed by the
texts it reads, not by the seed. eta, the betas and the epochs were not swept; eta 10 was taken from the demo, which was tuned with SPPO on
other seeds. The arms do not move equally far from the start (the KL column): they were compared at the same iteration, not at the same KL.
Part (c)'s settings were fixed on the development seed, without a sweep. Exact IPO with a moving reference is SPPO's own step
(`studies/games/exact.py` has why), so the two cannot differ there."""


def ends(values: Sequence[Sequence[float]]) -> str:
    """Means over seeds, an iteration each."""
    return " ".join(f"{v:.3f}" for v in np.mean(values, axis=0))


def section(claim: Claim) -> str:
    return "\n\n".join(
        [
            "### (a) Tabular games",
            _games(claim),
            "### (b) The embedded world",
            "Means over an arm's seeds, a value an iteration (the start first; log-ratios begin with the first iteration, in nats against "
            "the policy that sampled, on held-out groups):",
            _styles(claim),
            PAPER,
            "### (c) A judge that goes round",
            _cycle(claim),
            LIMITS,
        ]
    )


def _games(claim: Claim) -> str:
    games = claim.figures["games"]
    parts = claim.settings["games"]
    head = ["method", *(f"{game}: last, average" for game in games)]
    rows = [["the start", *(f"{found['start']:.3f}" for found in games.values())]]
    for kind in ("exact", "sampled"):
        for name in next(iter(games.values()))[kind]:
            cells = []
            for found in games.values():
                c = found[kind][name]
                cells.append(f"{np.mean(c['last_per_seed']):.3f}, {np.mean(c['average_per_seed']):.3f}")
            rows.append([f"{kind}: `{name}`", *cells])
    rates = [
        [
            game,
            f"{np.mean(found['rate']['slopes']):.3f} ± {np.std(found['rate']['slopes'], ddof=1):.3f}",
            " ".join(f"{g:.3f}" for g in found["rate"]["gaps"]),
            " ".join(f"{b:.3f}" for b in found["rate"]["bounds"]),
        ]
        for game, found in games.items()
    ]
    horizons = " ".join(map(str, parts["horizons"]))
    return "\n\n".join(
        [
            f"Duality gap (0 at Nash, mean of {parts['seeds']} seeds) after {parts['exact_steps']} exact updates and "
            f"{parts['sampled_steps']} sampled iterations of {parts['budget']['prompts']} prompts and {parts['budget']['k']} answers. "
            "Settings of each method are in `studies/declarations/sppo.toml`.",
            table(head, rows),
            "The theorem's rate: slope of log gap on log T of the average policy at eta = sqrt(8 log N / T), mean and spread over seeds; "
            f"gaps and the regret bound at T = {horizons}:",
            table(("game", "slope", "gaps", "bound"), rates),
        ]
    )


def _styles(claim: Claim) -> str:
    runs = claim.figures["styles"]
    names = ("win_rate", "proxy", "length", "malformed", "kl", "chosen", "rejected")
    head = ["arm", "true win rate", "proxy", "tokens", "malformed", "KL, nats a reply", "chosen", "rejected"]
    rows = []
    for arm, found in runs.items():
        mark = f", {len(claim.per_seed[arm])} seeds" if claim.arms[arm]["secondary"] else ""
        cells = [
            " ".join(f"{v:.1f}" for v in np.mean(found[n], axis=0)) if n == "length" else ends(found[n]) for n in names
        ]
        rows.append([f"`{arm}`{mark}", *cells])
    return table(head, rows)


def _cycle(claim: Claim) -> str:
    runs = claim.figures["cycle"]
    size = claim.settings["cycle"]["size"]
    words = ", ".join(KINDS)
    rows = []
    for arm, found in runs.items():
        for seed, r in zip(claim.seeds, found):
            lowest = min(range(len(r["gap_average"])), key=lambda t: r["gap_average"][t])
            rows.append(
                [
                    f"`{arm}`, seed {seed}",
                    f"{r['gap_last'][0]:.3f}",
                    f"{r['gap_last'][-1]:.3f}",
                    f"{r['gap_average'][-1]:.3f}",
                    f"{r['gap_average'][lowest]:.3f} at {lowest}",
                    " ".join(f"{v:.2f}" for v in r["kinds"][-1]),
                    f"{max(r['malformed']):.2f}",
                ]
            )
    head = (
        "arm",
        "gap, start",
        "last",
        "average",
        "average, lowest",
        f"last policy over {words}, other",
        "malformed, most",
    )
    return (
        f"The judge sees a reply's first word alone and prefers in a circle; {size['iterations']} iterations of {size['prompts']} prompts "
        f"and {size['k']} answers. {'One seed' if claim.settings['cycle']['seeds'] == 1 else 'Two seeds'}: no interval is drawn.\n\n"
        + table(head, rows)
    )
