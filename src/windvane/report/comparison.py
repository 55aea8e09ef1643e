"""`windvane report RUN_A RUN_B`: two runs side by side, on one self-contained page that opens with the answer.

In: two run folders. Out: beside.html (or --out FILE): which final model wins more against the start, by the paired difference over the
held-out prompts that both answered under the same judge; the settings that differ; both runs' curves, figures and evaluations; held-out
prompts with both answers, those that differ most and a seeded draw. Runs that cannot be compared (other judge, other start, no common
prompt) are shown beside each other and the page says why there is no difference. Two runs are one seed each: the interval is over
prompts and says so.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windvane.charts.panels import Axis, Point, Series
from windvane.core.errors import UserError
from windvane.report.evaluations import evaluations
from windvane.report.frame import fill
from windvane.report.gather import Gathered, gather
from windvane.report.panels import HALF, Panel, panel
from windvane.report.tables import Table, number
from windvane.report.verdict import percent
from windvane.runs.store import read_jsonl, write_new
from windvane.stats.paired import Difference, paired_difference

SECTIONS = (("answer", "Answer"), ("curves", "Curves"), ("numbers", "Numbers"), ("answers", "Answers"))
SHOWN = 12  # prompts where the two differ most, and as many drawn
SAME = ("evaluation_judge", "model")  # must be equal for the win rates to be of one kind


@dataclass(frozen=True, slots=True)
class Side:
    """One run; `wins`: its last evaluated iteration's P(beats the start) by prompt id."""

    letter: str
    name: str
    folder: Path
    found: Gathered
    last: int | None
    wins: dict[str, float]


@dataclass(frozen=True, slots=True)
class Shown:
    """A held-out prompt with both answers; `difference` is A's win probability minus B's."""

    prompt: str
    answers: tuple[str, str]
    wins: tuple[float, float]
    difference: float
    why: str


def side(letter: str, folder: Path) -> Side:
    found = gather(folder)
    numbers = [n for n, row in found.iterations.items() if n and (folder / f"iter-{n}/evaluation.jsonl").exists()]
    last, wins = max(numbers, default=None), {}
    if last is not None:
        rows = (row for _, row in read_jsonl(folder / f"iter-{last}/evaluation.jsonl"))
        wins = {row["id"]: row["win_start"] for row in rows if row.get("win_start") is not None}
    return Side(letter, folder.resolve().name, folder, found, last, wins)


def compared(a: Side, b: Side) -> tuple[Difference | None, str]:
    """The paired difference of the two win rates against the start (A minus B), or why there is none."""
    for key in SAME:
        values = [s.found.summary.get(key) for s in (a, b)]
        if values[0] != values[1]:
            what = {"evaluation_judge": "held-out judges", "model": "starts"}[key]
            return None, f"their {what} differ ({values[0]} and {values[1]}), so their win rates cannot be compared"
    if not a.wins or not b.wins:
        which = " and ".join(s.letter for s in (a, b) if not s.wins)
        return None, f"{which} has no win rate by a held-out judge"
    common = sorted(a.wins.keys() & b.wins.keys())
    if not common:
        return None, "they share no held-out prompt"
    return paired_difference([a.wins[i] for i in common], [b.wins[i] for i in common], common), ""


def headline(a: Side, b: Side, found: Difference | None, why: str) -> tuple[str, str, str]:
    """(tone, headline, sentence)."""
    if found is None:
        return "unsure", "Not comparable", f"{why[0].upper()}{why[1:]}."
    points = f"{100 * found.mean:+.1f} points (95% interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    lost = len(a.wins.keys() | b.wins.keys()) - found.n
    alone = f"; {lost:,} that only one of them answered are left out" if lost else ""
    detectable = f" A true difference below {100 * found.mde:.1f} points would mostly not show." if found.mde else ""
    judge = a.found.summary.get("evaluation_judge")
    sentence = (
        f"Against the same start A wins {percent(_mean(a, b))} and B {percent(_mean(b, a))}: {points}, paired over {found.n:,} "
        f"held-out prompts{alone}), says {judge}.{detectable} Each run is one seed: another seed of either may differ by more than "
        "this interval, which is over prompts alone."
    )
    if found.low > 0:
        return "good", "A is better than B", sentence
    if found.high < 0:
        return "bad", "B is better than A", sentence
    return "unsure", "No difference shown", sentence


def _mean(one: Side, other: Side) -> float:
    common = one.wins.keys() & other.wins.keys()
    return sum(one.wins[i] for i in common) / len(common)


def settings(a: Side, b: Side) -> Table:
    """The settings that differ."""
    flat = [
        {f"{table}.{key}" if table else key: value for table, rows in s.found.settings for key, value in rows}
        for s in (a, b)
    ]
    keys = [*flat[0], *(k for k in flat[1] if k not in flat[0])]
    rows = [[k, *(one.get(k, "–") for one in flat)] for k in keys if flat[0].get(k) != flat[1].get(k)]
    return Table("Settings that differ", "recipe.toml", ["Setting", "A", "B"], rows, (1, 2))


def figures(a: Side, b: Side) -> Table:
    rows = []
    for n in sorted({*a.found.iterations, *b.found.iterations}):
        cells = [(s.found.iterations.get(n) or {}) for s in (a, b)]
        row = ["0, the start" if n == 0 else str(n)]
        for key, low, high in (("win_rate", "low", "high"), ("proxy_win_rate", "proxy_low", "proxy_high")):
            row += [
                "–" if c.get(key) is None else f"{percent(c[key])} [{percent(c.get(low))}, {percent(c.get(high))}]"
                for c in cells
            ]
        row += [number(c.get("mean_length"), 1) for c in cells] + [number(c.get("kl"), 2) for c in cells]
        rows.append(row)
    head = [f"{what}, {s}" for what in ("Win rate", "Proxy", "Tokens", "KL") for s in "AB"]
    return Table("By iteration", "summary.json", ["Iteration", *head], rows)


def charts(a: Side, b: Side) -> list[Panel]:
    def points(one: Side, key: str, ends: tuple[str, str] | None, over: str | None) -> Iterator[Point]:
        for n, row in sorted(one.found.iterations.items()):
            x = row.get(over) if over else n
            if row.get(key) is not None and x is not None:
                low, high = (row.get(end) for end in ends) if ends else (None, None)
                yield Point(x, row[key], low, high, tag=str(n) if over else "")

    def series(key: str, ends: tuple[str, str] | None = None, over: str | None = None) -> list[Series]:
        return [
            Series(f"{one.letter} · {one.name}", kind, (tuple(points(one, key, ends, over)),), 0.0 if over else nudge)
            for one, kind, nudge in ((a, "true", -3.0), (b, "proxy", 3.0))
        ]

    known = sorted({*a.found.iterations, *b.found.iterations})
    x = Axis("Iteration", "whole", ticks=tuple(float(n) for n in known))
    rate = Axis("Win rate", "percent", (0.5,), (0.0, 1.0))
    kl = Axis("KL to the start, nats per sequence", include=(0.0,), limits=(0.0, float("inf")))
    judge = f"By {a.found.summary.get('evaluation_judge') or 'no held-out judge'}; bars: 95% intervals over prompts."
    return [
        panel("wins", "Win rate against the start", judge, "summary.json", series("win_rate", ("low", "high")), x, rate, HALF),
        panel("kl", "Win rate against KL", "What each bought for its drift; the numbers are iterations.", "summary.json",
              series("win_rate", ("low", "high"), "kl"), kl, rate, HALF),
        panel("length", "Length of answers", "Mean tokens of held-out answers.", "summary.json", series("mean_length"), x,
              Axis("Tokens", include=(0.0,))),
    ]  # fmt: skip


def measured(a: Side, b: Side) -> Table:
    """Evaluations of either run by name, with their leading number."""
    by = [{one.name: one for one in evaluations(s.folder)} for s in (a, b)]
    rows = []
    for name in sorted({*by[0], *by[1]}):
        ones = [found.get(name) for found in by]
        what = next((one.what for one in ones if one and one.what), "")
        rows.append([name, what, *(one.value or "no number" if one else "–" for one in ones)])
    return Table("Evaluations", "evaluations/*/result.json", ["Evaluation", "What", "A", "B"], rows, (1,))


def prompts(a: Side, b: Side) -> tuple[list[Shown], int]:
    """The prompts to show, and how many both answered."""
    common = sorted(a.wins.keys() & b.wins.keys())
    order = sorted(common, key=lambda i: (-abs(a.wins[i] - b.wins[i]), i))
    most = order[:SHOWN]
    drawn = random.Random(0).sample(sorted(order[SHOWN:]), min(SHOWN, max(0, len(order) - SHOWN)))
    wanted = set(most) | set(drawn)
    asked = {}
    for _, row in read_jsonl(a.folder / "heldout.jsonl") if (a.folder / "heldout.jsonl").exists() else ():
        if row["id"] in wanted:
            asked[row["id"]] = "\n\n".join(m["content"] for m in row["messages"])
    said = [_answers(s, wanted) for s in (a, b)]
    found = [
        Shown(
            asked.get(i, i),
            (said[0].get(i, "–"), said[1].get(i, "–")),
            (a.wins[i], b.wins[i]),
            a.wins[i] - b.wins[i],
            why,
        )
        for why, ids in (("differ most", most), ("drawn at random", drawn))
        for i in ids
    ]
    return found, len(common)


def _answers(one: Side, wanted: set[str]) -> dict[str, str]:
    path, found = one.folder / f"iter-{one.last}/answers.jsonl", dict[str, str]()
    for _, row in read_jsonl(path) if path.exists() else ():
        if row["prompt_id"] in wanted and row["prompt_id"] not in found:
            found[row["prompt_id"]] = row["text"]
    return found


def render(first: Path, second: Path) -> str:
    """The page's text. `UserError` where one is no run folder, or both are the same."""
    if first.resolve() == second.resolve():
        raise UserError(f"{first} and {second} are one folder; name two runs")
    a, b = side("A", first), side("B", second)
    found, why = compared(a, b)
    shown, common = prompts(a, b)
    tone, title, sentence = headline(a, b, found, why)
    return fill(
        "beside.html", SECTIONS, tone=tone, headline=title, sentence=sentence, sides=(a, b), panels=charts(a, b), shown=shown,
        common=common, tables=[figures(a, b), settings(a, b), measured(a, b)],
    )  # fmt: skip


def write_beside(folders: Sequence[Path], out: Path) -> Path:
    if (out.parent / "recipe.toml").exists():
        raise UserError(f"--out {out}: inside a run folder, whose files are listed in its manifest; write it elsewhere")
    write_new(out, render(*folders), redrawn="Windvane</title>")
    return out
