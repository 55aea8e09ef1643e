"""The Janus claim's own part of docs/claims.md and its drawings: what is held out, general skill, the reward model, best-of-N, what trees
share, the paper's figures beside them, and what this cannot show.

In: the claim. Out: Markdown; {name: (title, panels)} for `studies.plot.lines`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.page import table
from studies.plot import Panel, Series
from studies.record import Claim
from windvane.toy.values import family as values

WORDS = {
    "seen": "seen",
    "combinations": "unseen combinations",
    "recombined": "recombined wordings",
    "synonyms": "synonyms",
    "values": "a held-out value",
}

PAPER = """The paper's own table (Multifaceted Bench, 1 to 5, mean over 921 instances, judged by GPT-4), for comparison of kind, not of
size. Its full text was not read; in what was, there is no arm with one uniform message and no reward-model accuracy:

| model | average |
|---|---|
| Mistral 7B v0.2 base | 2.23 |
| Mistral 7B Instruct v0.2 | 3.93 |
| Janus 7B (SFT) | 4.17 |
| Janus + ORPO | 4.18 |
| Janus + DPO | 4.24 |"""

LIMITS = """What this cannot show: there is one base of 0.1 million parameters, so the seeds (instructions, messages, answers, cases)
say nothing about another. It was taught all 16 values and the synonyms, weakly and one or two at a time, before training held them out: as
a real base knows more words than its fine-tuning shows, but by our own hand. Answers are a programme's and show every value, where the
paper's are GPT-4's. Training rows always have a system message, and nothing else is mixed in, so what is lost without one is the price of
that too. The uniform arm's rows are shorter: rows and steps are equal, tokens are not. A rate was chosen by the primary metric alone, on
one seed. The rates of `dpo-low` in the table are the declared ones: it trained at a tenth of them."""


def section(claim: Claim) -> str:
    return "\n\n".join(
        part
        for part in (
            "### What is held out",
            f"Share of {claim.settings['size']['cases']} greedy replies that show all four values, on instructions that training never "
            "sees, means over an arm's seeds; of a held-out value also how often it alone is shown. Plain, without a system message: "
            "well-formed, and good (well-formed, on topic, no repeats).",
            _splits(claim),
            *_reward(claim),
            "### What trees share",
            _shared(claim),
            PAPER,
            LIMITS,
        )
        if part
    )


def _splits(claim: Claim) -> str:
    head = ["arm", *WORDS.values(), "the held-out value alone", "plain: well-formed", "plain: good"]
    rows = []
    for arm, runs in claim.figures["arms"].items():
        if "plain" not in runs[0]:
            continue
        mark = f", {len(runs)} seeds" if claim.arms[arm]["secondary"] else ""
        cells = [_mean([r["all"][split] for r in runs]) for split in values.CASES]
        cells += [_mean([r["adherence"]["values"] for r in runs])]
        cells += [_mean([r["plain"][name] for r in runs]) for name in ("well_formed", "good")]
        rows.append([f"`{arm}`{mark}", *cells])
    return table(head, rows)


def _reward(claim: Claim) -> list[str]:
    arms = {arm: runs for arm, runs in claim.figures["arms"].items() if "best" in runs[0]}
    if not arms:
        return []
    first = next(iter(arms.values()))
    accuracy = [
        [f"`{arm}`, {len(runs)} seeds", *(_mean([r["accuracy"][s] for r in runs]) for s in WORDS)]
        for arm, runs in arms.items()
    ]
    ns = list(first[0]["best"])
    best = [
        [f"`{arm}`", *(" ".join(_mean([r["best"][n][key] for r in runs]) for key in ("adherence", "all")) for n in ns)]
        for arm, runs in arms.items()
    ]
    return [
        "### The reward model",
        "Accuracy on two answers to one held-out instruction, one of them written for the system message, by what is held out:",
        table(("arm", *WORDS.values()), accuracy),
        "The favourite of N answers of the one-epoch model at temperature 1, unseen combinations, by what it truly shows (share of the "
        "values, all four):",
        table(("arm", *(f"N = {n}" for n in ns)), best),
    ]


def _shared(claim: Claim) -> str:
    """Tokens that trees do not compute again, by what an example is."""
    told: dict[str, list[float]] = {}
    for runs in claim.figures["arms"].values():
        for run in runs:
            for name, saved in run.get("shared", {}).items():
                told.setdefault(name, []).append(saved)
    names = {
        "janus": "an instruction's three system messages",
        "janus-star": "one system message, one answer",
        "janus-dpo": "two answers under one system message (DPO)",
        "janus-orpo": "two answers under one system message (ORPO)",
        "reward": "two answers under one system message (reward model)",
    }
    many = [run["shared"]["janus"] for run in claim.figures["arms"]["janus"]]
    told["janus"] = many  # under one uniform message three rows share their whole prompt: another matter
    rows = [[words, f"{np.mean(told[name]):.1%}"] for name, words in names.items() if name in told]
    return (
        "Share of the rows' tokens that trees do not compute again. Through a template that puts the system message first, three messages "
        "of one instruction share what stands before they part, and the instruction behind them not at all:\n\n"
        + table(("an example", "saved"), rows)
    )


def _mean(found: Sequence[float]) -> str:
    return f"{np.mean(found):.3f}"


def panels(claim: Claim) -> dict[str, tuple[str, list[Panel]]]:
    made = {"splits": ("What is followed, by what is held out", _split_panels(claim.figures["arms"]))}
    arms = {arm: runs for arm, runs in claim.figures["arms"].items() if "best" in runs[0]}
    if arms:
        made["best"] = (
            "Best-of-N by the reward model: what the picked answers truly show, unseen combinations",
            [Panel(title, "log2 of N", title, [Series(a, _best(runs, key), i) for i, (a, runs) in enumerate(arms.items())])
             for key, title in (("adherence", "share of the values shown"), ("all", "all four shown"))],
        )  # fmt: skip
    return made


def _best(runs: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(math.log2(int(n)), float(np.mean([r["best"][n][key] for r in runs]))) for n in runs[0]["best"]]


def _split_panels(arms: dict[str, list[dict[str, Any]]]) -> list[Panel]:
    """Splits from left to right, an arm a line; the last place is the held-out value alone."""

    def points(runs: list[dict[str, Any]], which: str) -> list[tuple[float, float]]:
        return [(float(i), float(np.mean([r[which][s] for r in runs]))) for i, s in enumerate(values.CASES)]

    shown = {arm: runs for arm, runs in arms.items() if "plain" in runs[0]}
    x = "split, in the order of the table"
    return [
        Panel(title, x, title, [Series(arm, points(runs, which), i) for i, (arm, runs) in enumerate(shown.items())])
        for which, title in (("all", "all four shown"), ("adherence", "share of the values shown"))
    ]
