"""The page's tables: every number of the charts that is one number, with its file.

In: a `Gathered`. Out: `Table`s of text cells, ready for the template, which escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windvane.report.gather import STATUSES, Gathered
from windvane.report.verdict import percent


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    file: str
    head: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = ()  # columns of words, set to the left


def tables(found: Gathered) -> dict[str, Table]:
    """The tables by name: wins, drift, judge, cycles, reasons."""
    return {
        "wins": _wins(found),
        "drift": _drift(found),
        "judge": _judge(found),
        "cycles": _cycles(found),
        "reasons": _reasons(found),
    }


def number(value: float | None, places: int = 2) -> str:
    """With thousands separated and a true minus; a dash where there is none."""
    return "–" if value is None else f"{value:,.{places}f}".replace("-", "−")


def _name(iteration: int) -> str:
    return str(iteration) if iteration else "0, the start"


def _rate(row: Mapping[str, Any], rate: str, low: str, high: str) -> str:
    if row.get(rate) is None:
        return "–"
    span = (
        f" [{percent(row[low])}, {percent(row[high])}]"
        if row.get(low) is not None and row.get(high) is not None
        else ""
    )
    return percent(row[rate]) + span


def _wins(found: Gathered) -> Table:
    head = ["Iteration", "Held-out prompts", "Wins against the start", "Wins against the one before"]
    head += ["Proxy: wins against the start", "Proxy: against the one before"]
    rows = []
    for n, row in sorted(found.iterations.items()):
        cells = [_name(n), number(row.get("prompts"), 0), _rate(row, "win_rate", "low", "high")]
        cells.append(_rate(row, "win_rate_previous", "low_previous", "high_previous") if n else "–")
        cells.append(_rate(row, "proxy_win_rate", "proxy_low", "proxy_high"))
        cells.append(percent(row.get("proxy_win_rate_previous")) if n else "–")
        rows.append(cells)
    return Table("Win rates with their 95% intervals", "summary.json", head, rows)


def _drift(found: Gathered) -> Table:
    head = ["Iteration", "Mean length, tokens", "Cut off at the limit", "KL per sequence, nats", "KL per token, nats"]
    head += [
        "Chosen log-prob change, nats",
        "Rejected log-prob change, nats",
        "Of its target, chosen",
        "Of its target, rejected",
    ]
    rows = []
    for n, row in sorted(found.iterations.items()):
        cells = [_name(n), number(row.get("mean_length"), 1), percent(found.cut_off.get(n)), number(row.get("kl"), 3)]
        cells += [
            number(row.get("kl_token"), 4),
            number(row.get("chosen_logps"), 3),
            number(row.get("rejected_logps"), 3),
            percent(row.get("chosen_reached")),
            percent(row.get("rejected_reached")),
        ]
        rows.append(cells)
    return Table("Length, KL to the start, and log-probabilities", "summary.json, iter-*/answers.jsonl", head, rows)


def _judge(found: Gathered) -> Table:
    head = [
        "Iteration",
        "Prompts",
        "Pairs",
        "Ties",
        "Same answer",
        "Too few",
        "Failed",
        "Verdicts",
        "of them ties",
        "failed",
    ]
    head += ["Order disagreement", "Cyclic triples"]
    rows = []
    for n, judged in sorted(found.judged.items()):
        cells = [str(n), number(judged.prompts, 0), *(number(judged.status.get(s, 0), 0) for s in STATUSES)]
        cells += [number(judged.judged_pairs, 0), number(judged.tied_pairs, 0), number(judged.failed_pairs, 0)]
        share = f" ({percent(judged.cyclic_triples / judged.triples)})" if judged.triples else ""
        cells += [number(judged.mean_disagreement, 3), f"{judged.cyclic_triples:,} of {judged.triples:,}{share}"]
        rows.append(cells)
    title = "What the judge said of the training answers, and what became of the prompts"
    return Table(title, "iter-*/groups.jsonl, iter-*/verdicts.jsonl", head, rows)


def _cycles(found: Gathered) -> Table:
    head = [
        "Iteration",
        "Prompts",
        "No scalar score explains",
        "A transitive judge shows",
        "Beyond that",
        "A transitive judge's cyclic triples",
    ]
    rows = []
    for n, result in sorted(found.cycles.by_iteration.items()):
        rows.append(
            [
                str(n),
                number(result["prompts"], 0),
                _rate(result["share"], "mean", "low", "high"),
                percent(result["null"]["mean"]),
                _rate(result["beyond_null"], "mean", "low", "high"),
                percent(result["cyclic_triples"]["null"]["mean"]),
            ]
        )
    return Table("How intransitive the judge is", "iter-*/verdicts.jsonl", head, rows)


def _reasons(found: Gathered) -> Table:
    rows = [
        [str(n), reason, number(count, 0)]
        for n, judged in sorted(found.judged.items())
        for reason, count in sorted(judged.reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    ]
    return Table("Why verdicts failed", "iter-*/verdicts.jsonl", ["Iteration", "Reason", "Verdicts"], rows, (1,))
