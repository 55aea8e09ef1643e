"""The rubric-sppo claim's own part of docs/claims.md, and its drawing.

In: the claim. Out: Markdown; {name: (title, panels)} for `studies.plot.lines`.
"""

from __future__ import annotations

import numpy as np

from studies.page import table
from studies.plot import Panel, Series
from studies.record import Claim
from studies.rubric_sppo.study import SPLITS

LIMITS = """No paper claims this. The judge that trains reads a rubric for each value and turns a fifth of its grades round; what is
reported is the programme's word. The rubrics for everybody ask for one trained value of each dimension, so the `uniform` arm is what one
judge for all users teaches where users differ; it is not the best that one judge could do. The learning rates were written down after
single runs on another development seed, at which 2e-3 made a quarter of the replies malformed. The shuffled arm's rate is the lowest, as
its sweep chose, so that it moved least. Values never trained on are lost: nothing rewards them, and each takes the place of a trained one.
What this cannot show: one base model of 0.1 million parameters, one programme as the truth, values that a pattern can find; eta, K and
the noise were not varied."""


def section(claim: Claim) -> str:
    arms = claim.figures["arms"]
    head = [
        "arm",
        *(f"{name}" for name in SPLITS),
        "malformed",
        "off topic",
        "words",
        "win rate, an iteration each",
        "KL",
    ]
    rows = []
    for arm, found in arms.items():
        mark = f", {len(claim.per_seed[arm])} seeds" if claim.arms[arm]["secondary"] else ""
        shares = [f"{np.mean([a[name] for a in found['adherence']]):.3f}" for name in SPLITS]
        rest = [f"{np.mean(found[n]):.3f}" for n in ("malformed", "off_topic")] + [f"{np.mean(found['words']):.1f}"]
        rates = [" ".join(f"{np.mean(v):.3f}" for v in _course(found, name)) or "-" for name in ("win_rate", "kl")]
        rows.append([f"`{arm}`{mark}", *shares, *rest, *rates])
    size = claim.settings["size"]
    return "\n\n".join(
        [
            f"{size['iterations']} iterations of {size['prompts']} prompts and {size['k']} answers. Adherence by what is held out (means "
            "over an arm's seeds; of unseen values the held-out one alone counts); the win rate against the start is the programme's judge "
            f"of pairs on {size['watched']} of the run's own held-out prompts, KL in nats a reply:",
            table(head, rows),
            LIMITS,
        ]
    )


def panels(claim: Claim) -> dict[str, tuple[str, list[Panel]]]:
    """Win rate against the start, and drift, by iteration; means over an arm's seeds."""
    made = []
    for name, title in (("win_rate", "win rate vs start"), ("kl", "KL to the start, nats a reply")):
        series = [
            Series(arm, [(float(t), float(np.mean(v))) for t, v in enumerate(_course(found, name))], style)
            for style, (arm, found) in enumerate(claim.figures["arms"].items())
            if found["course"][0]
        ]
        made.append(Panel(title, "iteration", title, series, rule=0.5 if name == "win_rate" else None))
    return {"iterations": ("Self-play under rubrics in the values world", made)}


def _course(found: dict[str, list[list[dict[str, float]]]], name: str) -> list[list[float]]:
    """[iteration][seed]."""
    return [[row[name] for row in step] for step in zip(*found["course"])]
