"""An intransitivity result in words: whether a method that needs no scalar score can pay, and the numbers for a terminal.

In: a result of `evaluate.intransitivity` (fractions). Out: a verdict with its sentence, notes, a table. The interval of what lies beyond
noise decides; WORTH, the share that one might act on, is ours.
"""

from __future__ import annotations

from typing import Any

WORTH = 0.05
FEW = 20  # prompts below which no sentence is ventured


def percent(value: float | None) -> str:
    return "–" if value is None else f"{round(100 * value, 1) + 0.0:.1f}%".replace("-", "−")


def judgement(result: dict[str, Any]) -> tuple[str, str]:
    """(verdict, sentence): can a method that needs no scalar score pay here?"""
    share, null, beyond = result["share"], result["null"], result["beyond_null"]
    if share["mean"] is None or beyond["mean"] is None or beyond["high"] is None:
        return "unknown", "The judge prefers nothing here: every pair is a tie, so there is nothing to explain."
    head = (
        f"No scalar score explains {percent(share['mean'])} of the judge’s preferences; a transitive judge as noisy would show "
        f"{percent(null['mean'])}"
    )
    span = f"{percent(beyond['mean'])} ({percent(beyond['low'])} to {percent(beyond['high'])}) is beyond noise"
    methods = (
        "a general-preference method (GPM as judge; SPPO’s average policy or INPO with a slow reference as trainer)"
    )
    if result["prompts"] < FEW:
        return "unknown", f"{head}. {result['prompts']} prompts are too few to say more; judge at least {FEW}."
    if result["noise"]["measured_by"] != "orders":
        why = (
            "the two orders never differ, so they are no second reading of the judge"
            if result["noise"]["measured_by"] == "none seen"
            else "each pair was judged once, in one order"
        )
        head = head.replace("as noisy", "without noise")
        if beyond["high"] < WORTH:
            return (
                "no",
                f"{head}. Hence {methods} has at most {percent(max(0.0, beyond['high']))} to gain: a scalar score will do.",
            )
        return "unknown", (
            f"{head}. How much of that is chance these verdicts do not say ({why}): {methods} can pay only if the judge would repeat it."
        )
    if beyond["low"] <= 0:
        if beyond["high"] < WORTH:
            return "no", f"{head}; {span}, so {methods} has nothing to gain: a scalar score will do."
        seen = f"; under {percent(beyond['detectable'])} would probably go unseen with this many prompts"
        return "not shown", f"{head}; {span}: it is not shown that {methods} can pay{seen}."
    if beyond["high"] < WORTH:
        return (
            "no",
            f"{head}; {span}: real but small, so {methods} has at most {percent(max(0.0, beyond['high']))} to gain.",
        )
    if beyond["low"] < WORTH:
        return "may", f"{head}; {span}: {methods} may pay, if that part is more than {percent(WORTH)}."
    return "can", f"{head}; {span}: {methods} can pay, for that part of the preferences."


def notes(result: dict[str, Any]) -> list[str]:
    found = []
    if result["noise"]["measured_by"] == "orders":
        found.append("Noise is what changes with the order; a whim that both orders share counts as the judge’s own.")
    if 1 < result["seeds"] < 5:
        found.append(f"{result['seeds']} seeds: an interval that resamples so few is too narrow.")
    if result["prompts_without_cycle"]:
        found.append(
            f"{result['prompts_without_cycle']} prompts whose pairs hold no cycle are left out: they cannot show one."
        )
    if result["failed_pairs"]:
        found.append(f"{result['failed_pairs']} verdicts without a usable probability are left out.")
    if result["local_cycles"] is None:
        found.append("Some prompts’ pairs are too many to tell local from global cycles; they are counted as one.")
    return found


def table(result: dict[str, Any]) -> str:
    """For a terminal: the sentence, then the numbers."""
    lines = [result["sentence"]]
    if result["share"] is not None:
        for name, key in (
            ("unexplained", "share"),
            ("transitive judge", "null"),
            ("beyond that", "beyond_null"),
            ("cyclic triples", "cyclic_triples"),
        ):
            r = result[key]
            more = ""
            if key == "cyclic_triples":
                more = f"  {r['cyclic']} of {r['triples']}; a transitive judge {percent(r['null']['mean'])}"
            if key == "share":
                more = f"  local cycles {percent(result['local_cycles'])}, global {percent(result['global_cycles'])}"
            lines.append(f"  {name:16}{percent(r['mean']):>7} [{percent(r['low'])}, {percent(r['high'])}]{more}")
        lines.append(f"  {result['prompts']} prompts, {result['pairs']} pairs, noise: {result['noise']['measured_by']}")
    for key in ("by_iteration", "by_seed"):
        for row in result.get(key, []):
            lines.append(
                f"  {row['name']}: {percent(row['share'])}, beyond that {percent(row['beyond_null'])}, {row['prompts']} prompts"
            )
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])
