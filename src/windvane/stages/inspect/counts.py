"""What is counted of a file of one's own: rows, lengths, repeats, test prompts, refusals.

In: `Rows`, and `Made` where a model was named. Out: one table of plain values, what --json prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.datasets.fingerprints import known_sets, overlaps
from windvane.datasets.leakage import Leakage
from windvane.datasets.near_duplicates import near_duplicates, need_packages
from windvane.datasets.prompts import read_prompts
from windvane.datasets.row_kinds import Row
from windvane.datasets.rows import Rows
from windvane.datasets.sources import Unread
from windvane.stages.rows import Made, told

NEAR_LIMIT = 20_000


def counts(data: Rows, made: Made | None, near: str = "auto", against: str | None = None) -> dict[str, Any]:
    """Everything that is told; lengths are in tokens where there is a model, else in words."""
    refused: Sequence[Unread] = made.refused if made is not None else data.refused
    rows = data.rows
    prompts = Counter(row.prompt.id for row in rows)
    whole = Counter((row.prompt.id, row.responses) for row in rows)
    texts = {row.prompt.id: row.prompt.text for row in rows}
    found: dict[str, Any] = {
        "source": data.source,
        "layout": data.layout.kind,
        "columns": dict(data.layout.columns),
        "unread": list(data.layout.unread),
        "rows": len(rows) + len(data.refused),
        "usable": len(rows) + len(data.refused) - len({r.place for r in refused}),
        "prompts": len(prompts),
        "repeated_prompts": sum(n - 1 for n in prompts.values()),
        "repeated_rows": sum(n - 1 for n in whole.values()),
        "with_system": sum(row.prompt.messages[0].role == "system" for row in rows),
        "several_turns": sum(len(row.prompt.messages) > 2 or any(len(a) > 1 for a in row.responses) for row in rows),
        "unit": "words" if made is None else "tokens",
        "lengths": _lengths(rows, made),
        "near_duplicates": _near(list(texts.values()), near),
        "test_prompts": _tests(rows) + ([_against(rows, against)] if against else []),
        "refused": [{"place": r.place, "reason": r.reason} for r in refused],
    }
    labels = [row.desirable for row in rows if row.desirable is not None]
    if labels:
        found["desirable"], found["undesirable"] = sum(labels), len(labels) - sum(labels)
    if data.layout.kind in ("pairs", "groups"):
        found["answers_a_prompt"] = dict(sorted(Counter(str(len(row.responses)) for row in rows).items()))
        found["with_scores"] = sum(row.scores is not None for row in rows)
        found["with_probabilities"] = sum(row.wins is not None for row in rows)
        longer = [
            len(told(row.responses[0])) - len(told(row.responses[1]))
            for row in rows
            if row.chosen == 0 and row.rejected == 1
        ]
        found["chosen_not_above"] = sum(
            row.scores is not None and row.chosen == 0 and row.scores[0] <= row.scores[1] for row in rows
        )
        if longer:
            found["chosen_longer"] = sum(x > 0 for x in longer) / len(longer)
    if made is not None:
        names = ("duplicates", "border", "split", "endless", "inner", "unknown")
        found["noticed"] = {name: made.counts[name] for name in names if made.counts[name]}
    return found


def quantiles(values: Iterable[int]) -> dict[str, float] | None:
    """Smallest, median, 95th percentile and largest."""
    ordered = sorted(values)
    if not ordered:
        return None
    at = [ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95)]
    return {"min": ordered[0], "median": at[0], "p95": at[1], "max": ordered[-1], "sum": sum(ordered)}


def _lengths(rows: Sequence[Row], made: Made | None) -> dict[str, dict[str, float] | None]:
    if made is None:
        prompts = [len(row.prompt.text.split()) for row in rows]
        answers = [[len(told(a).split()) for a in row.responses] for row in rows]
    else:
        prompts = [len(p.token_ids) for p in made.prompts]
        by_prompt: dict[str, list[int]] = {p.id: [] for p in made.prompts}
        for r in made.responses:
            by_prompt[r.prompt_id].append(len(r.token_ids))
        answers = list(by_prompt.values())
    found = {"prompt": quantiles(prompts)}
    if any(answers):
        found["answer"] = quantiles(n for row in answers for n in row)
        found["row"] = quantiles(p + max(a, default=0) for p, a in zip(prompts, answers))
    if all(len(a) == 2 for a in answers) and answers:
        found["chosen" if made is None or rows[0].chosen == 0 else "first"] = quantiles(a[0] for a in answers)
        found["rejected" if made is None or rows[0].chosen == 0 else "second"] = quantiles(a[1] for a in answers)
    return found


def _near(texts: Sequence[str], near: str) -> int | None:
    """Distinct prompts that nearly repeat an earlier one (ROUGE-L of 0.7 or more); None where it was not looked for."""
    if near == "no" or (near == "auto" and len(texts) > NEAR_LIMIT):
        return None
    if near == "auto":
        try:
            need_packages()
        except UserError:
            return None
    return len(near_duplicates(texts).of)


def _tests(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows whose prompt is, or holds, a prompt of a test set."""
    sets = known_sets()
    seen: dict[str, list[int | None]] = {}
    places: list[list[dict[str, Any]]] = [[] for _ in sets]
    for row in rows:
        texts = [m.content for m in row.prompt.messages if m.role == "user"]
        for text in texts:
            if text not in seen:
                seen[text] = overlaps(text, sets)
        for place, listed in enumerate(places):
            held = next((seen[text][place] for text in texts if seen[text][place] is not None), None)
            if held is not None:
                listed.append({"place": row.place, "test_row": held})
    return [
        {"set": tests.name, "prompts": tests.prompts, "rows": len(listed), "places": listed[:100]}
        for tests, listed in zip(sets, places)
    ]


def _against(rows: Sequence[Row], source: str) -> dict[str, Any]:
    """The same of a test set at hand, by its words (`data.leakage`)."""
    tests = read_prompts(source).prompts
    texts = [m.content for p in tests for m in p.messages if m.role == "user"]
    known = Leakage(texts, [f"{n}" for n in range(1, len(texts) + 1)])
    places = []
    for row in rows:
        told = next((r for m in row.prompt.messages if m.role == "user" and (r := known.reason(m.content))), None)
        if told is not None:
            places.append({"place": row.place, "test_row": int(told.rpartition(" ")[2])})
    return {"set": source, "prompts": len(tests), "rows": len(places), "places": places[:100]}


def reasons(refused: Sequence[dict[str, str]]) -> list[tuple[str, int]]:
    """Reasons with their numbers and names taken out, the most frequent first."""
    bare = Counter(re.sub(r"\d+", "N", one["reason"].removeprefix(one["place"]).lstrip(": "))[:110] for one in refused)
    return bare.most_common(12)
