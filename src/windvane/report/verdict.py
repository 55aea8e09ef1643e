"""Is it better? The page's first sentences, from the last evaluated iteration's win rate against the start.

In: a `Gathered`. Out: an `Answer`: a headline, the sentence with the interval and the judge's name, and what speaks for or against
it. "Better" is said only when the whole 95% interval lies above one half, by a judge that training never saw; anything else says
what it is. No threshold of ours decides: the interval does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windvane.report.gather import Gathered

NOT_MEASURED = "not measured: the judge that trained would also have evaluated"


@dataclass(frozen=True, slots=True)
class Answer:
    """`tone` is good, bad or unsure; `remarks` are (tone, sentence), tone "note" for what is neither."""

    tone: str
    headline: str
    sentence: str
    remarks: list[tuple[str, str]]
    iteration: int | None


def answer(found: Gathered) -> Answer:
    """The headline and its reasons."""
    numbers = [n for n, row in found.iterations.items() if n > 0]
    if not numbers:
        return Answer("unsure", "Not measured yet", "No iteration of this run has been evaluated so far.", [], None)
    last = max(numbers)
    row = found.iterations[last]
    remarks = [
        *_steps(found, last),
        *_proxy(found, row),
        *_length(found, last),
        *_drift(row),
        *_logps(found, row),
        *_judging(found),
    ]
    after = f"After {last} iteration{'s' if last > 1 else ''}"
    if row.get("win_rate") is None:
        sentence = "No win rate was measured."
        if not found.summary.get("evaluation_judge"):
            sentence = "The judge that trained would also have evaluated. To know whether it got better, evaluate with another judge."
        return Answer("unsure", "Not measured", sentence, remarks, last)
    judge = found.summary.get("evaluation_judge") or "the held-out judge"
    low, high = row.get("low"), row.get("high")
    many = f"{row['prompts']:,} held-out prompts" if row.get("prompts") else "held-out prompts"
    says = f"{after} the model’s answers win {percent(row['win_rate'])} of comparisons with those it gave at the start"
    sentence = f"{says} (95% interval {interval(low, high)}, {many}), says {judge}, a judge that training never saw."
    if low is not None and low > 0.5:
        return Answer("good", "Better than the start", sentence, remarks, last)
    if high is not None and high < 0.5:
        return Answer("bad", "Worse than the start", sentence, remarks, last)
    unsure = (
        " The interval holds 50%: no difference is shown."
        if low is not None
        else " Without an interval this shows nothing."
    )
    return Answer("unsure", "Not shown to be better than the start", sentence + unsure, remarks, last)


def percent(value: float | None, places: int = 1) -> str:
    """A fraction as percent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{places}f}%"


def interval(low: float | None, high: float | None) -> str:
    return "not known" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _steps(found: Gathered, last: int) -> list[tuple[str, str]]:
    row = found.iterations[last]
    rate, low, high = (row.get(k) for k in ("win_rate_previous", "low_previous", "high_previous"))
    if last < 2 or rate is None or low is None or high is None:
        return []
    text = f"Against iteration {last - 1} it wins {percent(rate)} ({interval(low, high)}): the last iteration "
    if low > 0.5:
        return [("good", text + "still helped.")]
    return (
        [("bad", text + "made it worse.")] if high < 0.5 else [("unsure", text + "alone is not shown to have helped.")]
    )


def _proxy(found: Gathered, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    rate, true = row.get("proxy_win_rate"), row.get("win_rate")
    if rate is None:
        return []
    trained, name = found.summary.get("judge"), found.summary.get("proxy_judge")
    stands = (
        f"The judge that trained it ({trained})"
        if trained == name
        else f"The proxy {name}, for the judge that trained it,"
    )
    text = f"{stands} says {percent(rate)} ({interval(row.get('proxy_low'), row.get('proxy_high'))})"
    if true is None:
        return [("unsure", f"{text}; a gain on the judge that one trains on is no evidence of better answers.")]
    points = 100 * (rate - true)
    if abs(points) < 0.05:
        return [("note", f"{text}: the same as the held-out judge.")]
    side = "above" if points > 0 else "below"
    low = row.get("low")
    fooled = (row.get("proxy_low") or 0.0) > 0.5 and low is not None and low <= 0.5
    more = " It sees a gain that the held-out judge does not." if fooled else ""
    return [("bad" if fooled else "note", f"{text}, {abs(points):.1f} points {side} the held-out judge.{more}")]


def _length(found: Gathered, last: int) -> list[tuple[str, str]]:
    start, now = (found.iterations.get(n, {}).get("mean_length") for n in (0, last))
    if not start or now is None:
        return []
    change = 100 * (now / start - 1)
    how = "as long as" if abs(change) < 0.5 else f"{abs(change):.0f}% {'longer' if change > 0 else 'shorter'} than"
    return [("note", f"Its answers are {how} the start’s ({start:.1f} → {now:.1f} tokens on average).")]


def _drift(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    if row.get("kl") is None:
        return []
    token = f", {row['kl_token']:.3g} per token" if row.get("kl_token") is not None else ""
    return [("note", f"It moved {row['kl']:.2f} nats per sequence from the start (KL){token}.")]


def measured_on(found: Gathered) -> str:
    """Whose log-probabilities summary.json follows."""
    batch = any(row.get("logps_of") == "the last training batch" for row in found.iterations.values())
    return "the last training batch, for want of any held aside" if batch else "pairs held aside from training"


def _logps(found: Gathered, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    chosen, rejected = row.get("chosen_logps"), row.get("rejected_logps")
    if chosen is None or rejected is None:
        return []
    text = f"On {measured_on(found)}, chosen answers became {_went(chosen)} and rejected ones {_went(rejected)}."
    return [("note" if chosen >= 0 else "unsure", text)]


def _went(change: float) -> str:
    return f"{'likelier' if change >= 0 else 'less likely'} by {abs(change):.2f} nats"


def _judging(found: Gathered) -> list[tuple[str, str]]:
    failed = sum(j.failed_pairs for j in found.judged.values())
    asked = failed + sum(j.judged_pairs for j in found.judged.values())
    if not failed:
        return []
    return [
        (
            "unsure",
            f"{failed:,} of {asked:,} training comparisons gave no usable verdict; they are counted, never scored.",
        )
    ]
