"""A LongPO run on the page: its first sentences, its charts, its tables.

In: a `Gathered` and a `LongRun`. Out: an `Answer`, `Panel`s and `Table`s by name, ready for the template. The run itself measures
no skill: the headline says so, and "better" is left to the evaluations on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windvane.charts.panels import Axis, Point, Series
from windvane.longpo.report.browse import long_browse
from windvane.longpo.report.gather import KL, LongRun, Round, long_run
from windvane.report.evaluations import evaluations
from windvane.report.gather import Gathered, Quantiles, gather, iteration_numbers
from windvane.report.page import Contents, render_contents
from windvane.report.panels import SPREAD, Panel, panel, stretches, traced
from windvane.report.tables import Table, number
from windvane.report.verdict import Answer, percent

UNTRAINED = "theta"  # the arm in which nothing is trained
STATUS = {"kept": "kept", "short": "too short", "long": "too long, refused", "split": "too long, split in parts"}


SECTIONS = (
    ("answer", "Answer"),
    ("documents", "Data"),
    ("training", "Training"),
    ("drift", "KL"),
    ("evaluations", "Evaluations"),
    ("browse", "Questions"),
    ("settings", "Settings"),
)


def render(run: Path) -> str | None:
    """The page of a LongPO run; None where the folder is another recipe's."""
    numbers = iteration_numbers(run)
    long = long_run(run, numbers)
    if long is None:
        return None
    gathered, measured = gather(run), evaluations(run)
    contents = Contents(
        "long",
        SECTIONS,
        long_answer(gathered, long, [one.name for one in measured]),
        long_panels(gathered, long),
        long_tables(long),
        long_browse(run, numbers),
        "longpo",
        long,
    )
    return render_contents(gathered, measured, contents)


def long_answer(found: Gathered, long: LongRun, evaluations: Sequence[str]) -> Answer:
    """What became of the run, in sentences; `evaluations` are those on the page."""
    done = [r for r in long.rounds if r.number in found.curves or r.kl]
    last = done[-1] if done else None
    remarks: list[tuple[str, str]] = []
    for one in long.rounds:
        remarks += _remarks(one)
    many = f"{len(done)} round{'' if len(done) == 1 else 's'}" if done else "No round"
    reach = f", the last over {last.length:,} tokens" if last and last.length else ""
    what = (
        "raised theta alone"
        if long.arm == UNTRAINED
        else f"{'ran' if found.summary else 'ran so far'} with the arm {long.arm}{reach}"
    )
    sentence = f"{many} {what}." if long.arm != UNTRAINED else "Nothing is trained in this arm: theta is raised."
    if evaluations:
        return Answer(
            "unsure",
            "What it can do: see the evaluations",
            f"{sentence} Measured here: {', '.join(evaluations)}.",
            remarks,
            last.number if last else None,
        )
    told = (
        "A LongPO run measures no skill of its own; what the loss and the KL show is how training went. To know whether it reads long "
        "texts better, and short ones no worse, evaluate its model and the start."
    )
    return Answer("unsure", "Not evaluated", f"{sentence} {told}", remarks, last.number if last else None)


def _remarks(one: Round) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    name = f"Round {one.number}"
    if one.pairs is not None:
        share = f" ({percent(one.pairs / one.chunks, 0)} of {one.chunks:,} chunks)" if one.chunks else ""
        found.append(("note", f"{name}: {one.pairs:,} pairs{share} on {one.trained_on:,} documents."))
        if one.pairs and one.same > one.pairs / 2:
            told = f"{name}: in {percent(one.same / one.pairs, 0)} of the pairs both answers are the same: they prefer nothing."
            found.append(("unsure", told))
        for side, cut in zip(("chosen", "rejected"), one.cut):
            if one.pairs and cut > one.pairs / 10:
                found.append(
                    (
                        "unsure",
                        f"{name}: {percent(cut / one.pairs, 0)} of the {side} answers were cut at their longest.",
                    )
                )
    if len(one.kl) == 2:
        before, after = one.kl["before"][0], one.kl["after"][0]
        tone, went = ("good", "fell") if after < before else ("bad", "rose")
        told = f"{name}: the KL from the long side to the short model on the chunk {went} from {before:.2f} to {after:.2f} nats a sequence."
        found.append((tone, told))
    if one.short is not None:
        start, after, chunks, _ = one.short
        went = "rose" if after > start else "fell" if after < start else "stayed"
        told = f"{name}: short texts ({chunks:,} chunks) {went} from {start:.3f} to {after:.3f} nats a token."
        found.append(("unsure" if after > start else "note", told))
    return found


def long_panels(found: Gathered, long: LongRun) -> dict[str, Panel]:
    """The charts by name."""
    offsets, bands = stretches(found.curves)
    bands = [(at, name.replace("it.", "round")) for at, name in bands]
    x = Axis("Optimizer steps, all rounds", "whole", include=(0.0,), limits=(0.0, float("inf")))
    thin = max((c.per_point for c in found.curves.values()), default=1.0)
    mean = f" Each training point is a mean of about {thin:.0f} steps." if thin >= 1.5 else ""
    file, empty = "iter-*/train/metrics.jsonl", "Nothing of this kind was trained or kept."

    def both(key: str, percents: bool = False) -> list[Series]:
        return [
            traced(found, offsets, "Training", "train", "train", key, percents),
            traced(found, offsets, "Held aside", "heldout", "held-out", key, percents),
        ]

    def sides(key: str) -> list[Series]:
        return [
            traced(found, offsets, "Chosen, training", "chosen-train", "train", f"chosen_{key}", False),
            traced(found, offsets, "Rejected, training", "rejected-train", "train", f"rejected_{key}", False),
            traced(found, offsets, "Chosen, held aside", "chosen", "held-out", f"chosen_{key}", False),
            traced(found, offsets, "Rejected, held aside", "rejected", "held-out", f"rejected_{key}", False),
        ]

    rounds = Axis(
        "Round", "whole", ticks=tuple(float(r.number) for r in long.rounds[:: max(1, len(long.rounds) // 12)])
    )
    floor = (0.0, float("inf"))
    kl = [_spread(long, name, label, kind, nudge) for (name, _), label, kind, nudge in _KL_LOOKS]
    return {
        "kl": panel(
            "kl-long", "KL, long side to short model", f"KL[π(y|document) ‖ π_S(y|chunk)]. {SPREAD} of questions.",
            "iter-*/kl-start.jsonl, kl.jsonl", kl, rounds, Axis("Nats per sequence", include=(0.0,), limits=floor),
            empty="Not measured (kl_documents 0, or not yet).",
        ),
        "loss": panel("loss", "Loss", f"The arm’s own units.{mean}", file, both("loss"), x, Axis("Loss"), None, bands, empty),
        "nll": panel(
            "nll", "NLL of the chosen row", f"Nats a token: document, questions and chosen answers.{mean}", file, both("nll"), x,
            Axis("Nats per token"), None, bands, "Not kept: no such term stands beside another in this arm’s loss.",
        ),
        "accuracy": panel(
            "accuracy", "Reward accuracy", f"How often the chosen answers have the higher log-ratio.{mean}", file, both("accuracy", True),
            x, Axis("Accuracy", "percent", (0.5,), (0.0, 1.0)), (0.5, "chance"), bands, empty,
        ),
        "logps": panel(
            "logps", "Log-prob of chosen and of rejected", "log π(y|document), summed over a document’s answers, nats.", file,
            sides("logps"), x, Axis("Log-prob, nats"), None, bands, empty,
        ),
        "ratios": panel(
            "ratios", "Log-ratio of chosen and of rejected", "The same, less the frozen reference’s.", file, sides("logratio"), x,
            Axis("Log-ratio, nats", include=(0.0,)), (0.0, "the reference"), bands, empty,
        ),
    }  # fmt: skip


_KL_LOOKS = tuple(zip(KL, ("Before the round", "After it"), ("noise", "true"), (-4.0, 4.0)))


def _spread(long: LongRun, key: str, name: str, kind: str, nudge: float) -> Series:
    points = []
    for one in long.rounds:
        if key in one.kl:
            mean, token, (p5, p25, p50, p75, p95) = one.kl[key]
            tip = f"{name}, round {one.number}: mean {mean:.3f} ({token:.4f} a token), median {p50:.3f}, 90% from {p5:.3f} to {p95:.3f}"
            points.append(Point(one.number, p50, p5, p95, (p25, p75), tip))
    return Series(name, kind, (tuple(points),), nudge)


def long_tables(long: LongRun) -> dict[str, Table]:
    """The tables by name: documents, rounds, dropped, kl, retention."""
    documents = [[STATUS.get(name, name), number(count, 0)] for name, count in long.status.items()]
    spread = ""
    if long.lengths:
        spread = f"; tokens of the kept, 5th, 50th, 95th percentile: {_percentiles(long.lengths)}"
    head = [
        "Round",
        "Length, tokens",
        "RoPE base",
        "Documents",
        "Without a chunk",
        "Chunks",
        "With a question",
        "Pairs",
    ]
    head += ["Same answer twice", "Cut off, chosen", "Cut off, rejected", "Tokens, chosen", "Tokens, rejected"]
    rounds, reasons, drift, kept = [], [], [], []
    for one in long.rounds:
        cells = [str(one.number), number(one.length, 0), "its own" if not one.theta else f"{one.theta:g}"]
        cells += [
            number(one.documents, 0),
            number(one.without_chunk, 0),
            number(one.chunks, 0),
            _of(one.asked, one.chunks),
        ]
        cells += [
            _of(one.pairs, one.asked),
            *(number(n if one.pairs is not None else None, 0) for n in (one.same, *one.cut)),
        ]
        cells += ["–" if q is None else _percentiles(q) for q in (one.tokens_chosen, one.tokens_rejected)]
        rounds.append(cells)
        for what, why in (("reply not used as a question", one.unused), ("question dropped", one.dropped)):
            many = one.replies if why is one.unused else one.asked
            reasons += [[str(one.number), what, reason, _of(count, many)] for reason, count in why.items()]
        for (name, _), label, *_ in _KL_LOOKS:
            if name in one.kl:
                mean, token, q = one.kl[name]
                drift.append([str(one.number), label, number(mean, 3), number(q[2], 3), number(token, 4)])
        if one.short is not None:
            start, after, chunks, aside = one.short
            what = f"{chunks:,} of documents {'held aside' if aside else 'trained on'}"
            kept.append([str(one.number), what, number(start, 4), number(after, 4), number(after - start, 4)])
    where = "iter-*/documents.jsonl, questions.jsonl, turns.jsonl, chosen.jsonl, rejected.jsonl"
    return {
        "documents": Table(f"Documents{spread}", "documents.jsonl", ["What became of them", "Documents"], documents),
        "rounds": Table("From documents to pairs; tokens: 5th, 50th, 95th percentile", where, head, rounds),
        "dropped": Table(
            "What was left out, and why",
            "iter-*/questions.jsonl, iter-*/turns.jsonl",
            ["Round", "What", "Reason", "Count"],
            reasons,
            (1, 2),
        ),
        "kl": Table(
            "KL of the long side to the short model, nats",
            "iter-*/kl-start.jsonl, iter-*/kl.jsonl",
            ["Round", "When", "Mean per sequence", "Median", "Per token"],
            drift,
            (1,),
        ),
        "retention": Table(
            "Short texts: nats a token of chunks by themselves (lower is better)",
            "iter-*/retention.jsonl",
            ["Round", "Chunks", "At the start", "After the round", "Difference"],
            kept,
            (1,),
        ),
    }


def _of(count: int | None, many: int | None) -> str:
    if count is None:
        return "–"
    return f"{count:,} ({percent(count / many, 0)})" if many else f"{count:,}"


def _percentiles(q: Quantiles) -> str:
    return f"{q[0]:,.0f} · {q[2]:,.0f} · {q[4]:,.0f}"
