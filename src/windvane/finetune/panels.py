"""A run of `windvane train` on the page: its first sentences and its tables.

In: a `Gathered` whose summary is own_finish's. Out: an `Answer` and `Table`s. What is measured is the loss, and the accuracy where there
are pairs, on held-out rows: whether answers became better is another question, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.report.browse import browse
from windvane.report.evaluations import evaluations
from windvane.report.gather import Gathered, gather
from windvane.report.page import Contents, render_contents
from windvane.report.panels import panels
from windvane.report.tables import Table, number
from windvane.report.verdict import Answer, interval, percent

SECTIONS = (
    ("answer", "Answer"),
    ("rows", "Data"),
    ("training", "Training"),
    ("evaluations", "Evaluations"),
    ("browse", "Rows"),
    ("settings", "Settings"),
)
WORDS = {
    "pair": "a chosen and a rejected answer",
    "single": "one answer",
    "tie": "equal scores: compared by no loss of pairs",
    "same": "the same tokens twice: compared by no loss of pairs",
    "few": "fewer than two answers judged",
    "failed": "no usable verdict",
}
NAMES = {
    "loss": "Loss",
    "accuracy": "Chosen ahead of rejected",
    "chosen_logratio": "Log-ratio of chosen, nats",
    "rejected_logratio": "Log-ratio of rejected, nats",
    "chosen_logps": "Log-prob of chosen, nats",
    "rejected_logps": "Log-prob of rejected, nats",
    "nll": "NLL, nats a token",
    "kl_estimate": "KL estimate, nats",
}


def render(run: Path) -> str | None:
    """The page of a run of `windvane train`; None where the folder is another recipe's."""
    gathered = gather(run)
    if gathered.summary.get("recipe") != "train":
        return None
    measured = evaluations(run)
    answer = own_answer(gathered, [one.name for one in measured])
    contents = Contents("own", SECTIONS, answer, panels(gathered), own_tables(gathered), browse(run))
    return render_contents(gathered, measured, contents)


def own_answer(found: Gathered, evaluations: Sequence[str]) -> Answer:
    """What training on these rows showed, and what it cannot show."""
    s, remarks = found.summary, list[tuple[str, str]]()
    held = s.get("held_out")
    what = f"{s['rows']:,} rows, {s['steps']:,} steps of {s['objective']}"
    if s.get("refused"):
        remarks.append(
            ("unsure", f"{s['refused']:,} rows were refused and left out; refused.jsonl has each with its reason.")
        )
    beyond = (
        f"Measured here besides: {', '.join(evaluations)}."
        if evaluations
        else "Whether its answers are better is not measured by this: evaluate its model and the start, by a judge."
    )
    if held is None:
        return Answer(
            "unsure",
            "Trained, not measured",
            f"{what}. No row was held out, so nothing was measured. {beyond}",
            remarks,
            1,
        )
    before, after = held["start"]["loss"], held["end"]["loss"]
    sentence = f"{what}. On {held['rows']:,} held-out rows the loss went from {number(before, 4)} to {number(after, 4)}"
    learnt = after < before
    if "accuracy_low" in held:
        told = interval(held["accuracy_low"], held["accuracy_high"])
        sentence += (
            f", and the chosen answer is ahead in {percent(held['end']['accuracy'])} of them (95% interval {told})"
        )
        if held["accuracy_low"] <= 0.5 <= held["accuracy_high"]:
            remarks.append(
                ("unsure", "The accuracy's interval holds 50%: that it tells chosen from rejected is not shown.")
            )
    remarks.append(("note", beyond))
    headline = (
        "It learnt what the held-out rows prefer" if "accuracy_low" in held else "It learnt what the held-out rows say"
    )
    if not learnt:
        headline = "It did not learn what held-out rows hold"
    return Answer("good" if learnt else "bad", headline, f"{sentence}.", remarks, 1)


def own_tables(found: Gathered) -> dict[str, Table]:
    """data: what the rows are; measured: held-out figures before and after."""
    s = found.summary
    used: dict[str, Any] = s.get("used", {})
    rows = [[WORDS.get(name, name), number(count, 0)] for name, count in used.items()]
    rows += [["refused, with its reason in refused.jsonl", number(s.get("refused", 0), 0)]]
    held, measured = s.get("held_out"), list[list[str]]()
    if held:
        for name, label in NAMES.items():
            if name in held["start"] and name in held["end"]:
                form = percent if name == "accuracy" else lambda v: number(v, 4)
                measured.append([label, form(held["start"][name]), form(held["end"][name])])
    files = "iter-1/groups.jsonl, iter-1/refused.jsonl"
    return {
        "data": Table("What a row holds", files, ["Rows with", "Count"], rows, (0,)),
        "measured": Table("On held-out rows", "summary.json", ["Measure", "Before", "After"], measured, (0,)),
    }
