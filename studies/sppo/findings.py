"""What else the SPPO claim looks at beside its primary contrast, each with a rule that was fixed before the run.

In: the runs of every part. Out: findings. But where a statement says otherwise, it holds
where the 95% interval over seeds lies on its side of 0, and does not where it lies on the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.declare import Declaration
from studies.record import FAILS, HOLDS, UNDECIDED, Finding, agreed, contrast, over_seeds, shown, verdict

SHALLOWEST = -0.45  # log gap on log T: -1/2, less a tenth for finite T


def findings(
    d: Declaration, styles: dict[str, list[Any]], games: dict[str, Any], cycle: dict[str, list[Any]]
) -> list[Finding]:
    """In the order of the parts: (a) games, (b) the embedded world, (c) the judge that goes round."""
    return [*of_games(games), *of_styles(d, styles), *of_cycle(cycle)]


def of_games(games: dict[str, Any]) -> list[Finding]:
    """The games that may cycle are all but "transitive" ("random" has a best answer in some seeds); a seed counts by its mean over them."""
    cyclic = [g for g in games if g != "transitive"]
    slopes = {g: float(np.mean(games[g]["rate"]["slopes"])) for g in games}
    beyond = sum(games[g]["rate"]["beyond"] for g in games)
    found = [
        Finding(
            "(a) exact: with eta ~ 1/sqrt(T) the duality gap of SPPO's average policy is O(1/sqrt(T)) (theorem 4.1): never above the "
            f"regret bound, and in no game a mean slope of log gap on log T above {SHALLOWEST}",
            HOLDS if beyond == 0 and max(slopes.values()) <= SHALLOWEST else FAILS,
            f"slopes {', '.join(f'{g} {s:.2f}' for g, s in slopes.items())}; {beyond} runs above the bound",
        )
    ]

    def gaps(kind: str, name: str, which: str) -> np.ndarray:
        return np.mean([games[g][kind][name][f"{which}_per_seed"] for g in cyclic], axis=0)

    for kind in ("exact", "sampled"):
        orbit = over_seeds((gaps(kind, "sppo", "last") - gaps(kind, "sppo", "average")).tolist())
        found.append(
            Finding(
                f"(a) {kind}, games that may cycle: SPPO's last policy stays farther from Nash than its average",
                verdict(orbit),
                f"gap of last - average {shown(orbit)}",
            )
        )
        for other in (
            "dpo",
            "dpo-beta01",
            "dpo-fixed",
            *(("ipo",) if kind == "sampled" else ()),
        ):  # exact IPO is SPPO's step
            gain = over_seeds((gaps(kind, other, "average") - gaps(kind, "sppo", "average")).tolist())
            found.append(
                Finding(
                    f"(a) {kind}, games that may cycle: SPPO's average policy ends nearer to Nash than {other}'s",
                    verdict(gain),
                    f"gap of {other} - sppo {shown(gain)}",
                )
            )
        cure = over_seeds((gaps(kind, "sppo", "last") - gaps(kind, "inpo-slow", "last")).tolist())
        found.append(
            Finding(
                f"(a) {kind}, games that may cycle: with INPO's slow reference the last policy ends nearer to Nash than SPPO's",
                verdict(cure),
                f"gap of sppo - inpo-slow {shown(cure)}",
            )
        )
    return found


def of_styles(d: Declaration, styles: dict[str, list[Any]]) -> list[Finding]:
    first = "sppo"
    steps = [
        over_seeds([r["win_rate"][t] - r["win_rate"][t - 1] for r in styles[first]]) for t in _after(styles, first)
    ]
    found = [
        Finding(
            "(b) SPPO's true win rate against the start rises in every iteration",
            HOLDS
            if all(verdict(s) == HOLDS for s in steps)
            else FAILS
            if any(verdict(s) == FAILS for s in steps)
            else UNDECIDED,
            "; ".join(f"iteration {t}: {shown(s)}" for t, s in zip(_after(styles, first), steps)),
        )
    ]
    if "ipo" in styles:
        gain = contrast([r["per_prompt"] for r in styles[first]], [r["per_prompt"] for r in styles["ipo"]])
        found.append(
            Finding(
                "(b) SPPO's final true win rate is above IPO's (the primary contrast's interval)",
                verdict(gain),
                shown(gain),
            )
        )
    for arm, side, sign, words in (
        ("sppo", "chosen", 1, "SPPO raises the log-prob of chosen answers"),
        ("sppo", "rejected", -1, "SPPO lowers the log-prob of rejected answers"),
        ("dpo", "chosen", -1, "DPO lowers the log-prob of chosen answers, too"),
        ("ipo", "chosen", -1, "IPO lowers the log-prob of chosen answers, too"),
    ):
        if arm in styles:
            moved = over_seeds([float(np.mean(r[side])) for r in styles[arm]])
            signed = over_seeds([sign * float(np.mean(r[side])) for r in styles[arm]])
            found.append(
                Finding(
                    f"(b) {words} (held-out groups)",
                    verdict(signed),
                    f"nats {shown(moved)}",
                )
            )
    second = d.primary[1]
    spoilt = over_seeds([b["malformed"][-1] - a["malformed"][-1] for a, b in zip(styles[first], styles[second])])
    found.append(
        Finding(
            "(b) SPPO's final replies are less often malformed than DPO's",
            verdict(spoilt),
            f"dpo - sppo {shown(spoilt)}",
        )
    )
    return found


def of_cycle(cycle: dict[str, list[Any]]) -> list[Finding]:
    found = []
    runs = cycle["sppo"]
    nearer = [r["gap_average"][-1] < r["gap_average"][0] for r in runs]
    found.append(
        Finding(
            "(c) a judge that goes round: SPPO's average policy ends nearer to Nash than the start, in every seed",
            agreed(nearer),
            ", ".join(f"{r['gap_average'][0]:.3f} -> {r['gap_average'][-1]:.3f}" for r in runs),
        )
    )
    for other in (name for name in cycle if name != "sppo"):
        better = [a["gap_average"][-1] < b["gap_average"][-1] for a, b in zip(runs, cycle[other])]
        found.append(
            Finding(
                f"(c) SPPO's average policy ends nearer to Nash than {other}'s, in every seed",
                agreed(better),
                ", ".join(
                    f"{a['gap_average'][-1]:.3f} against {b['gap_average'][-1]:.3f}" for a, b in zip(runs, cycle[other])
                ),
            )
        )
    if "inpo-slow" in cycle:
        ends = [(a["gap_last"][-1], b["gap_last"][-1]) for a, b in zip(runs, cycle["inpo-slow"])]
        found.append(
            Finding(
                "(c) with INPO's slow reference the last policy ends nearer to Nash than SPPO's, in every seed",
                agreed([ours > cured for ours, cured in ends]),
                ", ".join(f"{ours:.3f} against {cured:.3f}" for ours, cured in ends),
            )
        )
    return found


def _after(styles: dict[str, list[Any]], arm: str) -> list[int]:
    return list(range(1, len(styles[arm][0]["win_rate"])))
