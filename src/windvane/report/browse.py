"""What the page's browser holds: prompts with their answers, a seeded sample and the extremes, within a byte budget.

In: a run folder. Out: one `set` an iteration (the training answers, their probabilities and the judge's K x K matrix) and one of
held-out prompts (each iteration's answer side by side). Which prompts are shown depends on their ids alone, so the page is the
same at every writing. Big files are read once, line by line, and only the picked rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from windvane.core.records import seed_of
from windvane.core.schema import dumps
from windvane.report.gather import iteration_numbers, zeroed
from windvane.runs.store import read_jsonl

SAMPLE = 300  # prompts of a set picked by seed
EXTREMES = 12  # prompts of each extreme kind
BUDGET = 14_000_000  # bytes of JSON in the page, all sets together
TEXT = 20_000  # characters of one text; what is longer says how much is left out

Row = dict[str, Any]


def browse(run: Path) -> list[Row]:
    """The sets: {"key", "label", "file", "total", "entries"}, newest training iteration first, held-out prompts at the head."""
    numbers = iteration_numbers(run)
    sets = []
    if (run / "heldout.jsonl").exists():
        sets.append(_heldout(run, numbers))
    sets += [_training(run, n) for n in reversed(numbers) if (run / f"iter-{n}" / "groups.jsonl").exists()]
    sets = [s for s in sets if s["total"]]
    left = BUDGET
    for place, one in enumerate(sets):
        share = left // (len(sets) - place)
        one["entries"], used = fit(one["entries"], share)
        left -= used
    return sets


def fit(entries: Sequence[Row], budget: int) -> tuple[list[Row], int]:
    """The first entries whose JSON fits the budget, one too large passed over; (entries, bytes used)."""
    kept, used = [], 0
    for entry in entries:
        text = dumps(entry)
        size = len(text.encode()) + 1 + 5 * sum(text.count(sign) for sign in "<>&")  # each is written as six bytes
        if used + size <= budget:
            kept.append(entry)
            used += size
    return kept, used


def pick(
    rows: Sequence[Row], kinds: Sequence[tuple[str, Callable[[Row], float | None]]], salt: str
) -> dict[str, list[str]]:
    """id -> why it is shown. For each kind the EXTREMES rows of the highest score (None: not eligible), then the seeded sample,
    or every row where there are no more than SAMPLE. Ties go to the lower id. Extremes and sample alternate, so that a tight
    budget cuts both."""
    why: dict[str, list[str]] = {}
    for name, score in kinds:
        scored = [(s, row["id"]) for row in rows if (s := score(row)) is not None]
        for _, key in sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:EXTREMES]:
            why.setdefault(key, []).append(name)
    extremes = list(why)
    sample = sorted((row["id"] for row in rows), key=lambda key: seed_of("report", salt, key))[:SAMPLE]
    for key in sample:
        why.setdefault(key, []).extend(["seeded sample"] if len(rows) > SAMPLE else [])
    first = [key for pair in zip(extremes, sample) for key in pair]
    order = dict.fromkeys([*first, *extremes, *sample])
    return {key: why[key] for key in order}


def _training(run: Path, number: int) -> Row:
    folder = run / f"iter-{number}"
    groups = {g["id"]: g for _, g in read_jsonl(folder / "groups.jsonl")}
    kinds = [
        ("surest choice", _gap),
        ("closest choice", lambda g: None if (gap := _gap(g)) is None else -gap),
        ("most order disagreement", lambda g: zeroed(g["disagreement"] or 0.0) or None),
        ("most cyclic triples", lambda g: g["cyclic_triples"] or None),
        ("nothing chosen", lambda g: 1.0 if g["status"] != "pair" else None),
        ("verdicts failed", lambda g: g["failed_pairs"] or None),
    ]
    why = pick(list(groups.values()), kinds, f"iter-{number}")
    prompts = {p["id"]: p for p in _rows(folder / "prompts.jsonl", why, "id")}
    answers = _by_prompt(_rows(folder / "responses.jsonl", why, "prompt_id"))
    verdicts = _by_prompt(_rows(folder / "verdicts.jsonl", why, "prompt_id"))
    entries = [
        _group(groups[key], reasons, prompts.get(key), answers.get(key, []), verdicts.get(key, []))
        for key, reasons in why.items()
    ]
    return {
        "key": f"iter-{number}",
        "label": f"Training, iteration {number}",
        "file": f"iter-{number}/prompts.jsonl, responses.jsonl, verdicts.jsonl, groups.jsonl",
        "total": len(groups),
        "entries": entries,
    }


def _gap(group: Row) -> float | None:
    if group["status"] != "pair":
        return None
    p = {m["index"]: m["p_loo"] for m in group["members"]}
    return p[group["chosen"]] - p[group["rejected"]]


def _group(group: Row, why: list[str], prompt: Row | None, answers: list[Row], verdicts: list[Row]) -> Row:
    answers = sorted(answers, key=lambda r: r["index"])
    members = {m["index"]: m for m in group["members"]}
    marks = {group["chosen"]: "chosen", group["rejected"]: "rejected"} if group["status"] == "pair" else {}
    place = {r["index"]: i for i, r in enumerate(answers)}
    matrix: list[list[float | None]] = [[None] * len(answers) for _ in answers]
    for verdict in verdicts:
        if verdict["p"] is not None and verdict["a"] in place and verdict["b"] in place:
            a, b = place[verdict["a"]], place[verdict["b"]]
            matrix[a][b], matrix[b][a] = round(verdict["p"], 4), round(1 - verdict["p"], 4)
    shown = []
    for answer in answers:
        member = members.get(answer["index"])
        shown.append(
            {
                **_answer(answer),
                "name": f"Answer {answer['index'] + 1}",
                "mark": marks.get(answer["index"], ""),
                "p_loo": round(member["p_loo"], 4) if member else None,
                "p_incl": round(member["p_incl"], 4) if member else None,
            }
        )
    return {
        **_prompt(group["id"], prompt, why),
        "status": group["status"],
        "disagreement": None if group["disagreement"] is None else round(group["disagreement"], 4),
        "cyclic": [group["cyclic_triples"], group["triples"]],
        "pairs": [group["judged_pairs"], group["failed_pairs"], group["tied_pairs"]],
        "answers": shown,
        "p": matrix,
    }


def _heldout(run: Path, numbers: Sequence[int]) -> Row:
    scores = {n: {r["id"]: r for r in _all(run / f"iter-{n}" / "evaluation.jsonl")} for n in numbers}
    last = next((n for n in reversed(numbers) if n and scores[n]), None)
    final = scores[last] if last is not None else {}
    total = [{"id": p["id"]} for _, p in read_jsonl(run / "heldout.jsonl")]

    def of(key: str, name: str) -> float | None:
        return final.get(key, {}).get(name)

    def over(row: Row) -> float | None:
        true, proxy = of(row["id"], "win_start"), of(row["id"], "proxy_start")
        return None if true is None or proxy is None or proxy <= true else proxy - true

    kinds = [
        ("clearest win over the start", lambda r: w if (w := of(r["id"], "win_start")) and w > 0.5 else None),
        (
            "clearest loss to the start",
            lambda r: -w if (w := of(r["id"], "win_start")) is not None and w < 0.5 else None,
        ),
        ("proxy far above the held-out judge", over),
        ("furthest from the start (KL)", lambda r: of(r["id"], "kl")),
    ]
    why = pick(total, kinds, "heldout")
    prompts = {p["id"]: p for p in _rows(run / "heldout.jsonl", why, "id")}
    answers = {n: _by_prompt(_rows(run / f"iter-{n}" / "answers.jsonl", why, "prompt_id")) for n in numbers}
    entries = []
    for key, reasons in why.items():
        shown = []
        for n in numbers:
            given = sorted(answers[n].get(key, []), key=lambda r: r["index"])[:1]
            score = scores[n].get(key, {})
            told = {
                name: score.get(name) for name in ("win_start", "win_previous", "proxy_start", "proxy_previous", "kl")
            }
            rounded = {name: None if v is None else round(v, 4) for name, v in told.items()}
            name = f"Iteration {n}" if n else "The start"
            many = len(answers[n].get(key, []))
            shown += [{**_answer(r), **rounded, "name": name, "iteration": n, "of": many, "mark": ""} for r in given]
        entries.append({**_prompt(key, prompts.get(key), reasons), "status": "held-out", "answers": shown})
    return {
        "key": "heldout",
        "label": "Held-out prompts",
        "file": "heldout.jsonl, iter-*/answers.jsonl, iter-*/evaluation.jsonl",
        "total": len(total),
        "entries": entries,
    }


def _prompt(key: str, prompt: Row | None, why: list[str]) -> Row:
    messages = [] if prompt is None else [[m["role"], *shown(m["content"])] for m in prompt["messages"]]
    tokens = len(prompt["token_ids"]) if prompt and prompt.get("token_ids") else None
    return {"id": key, "why": why, "messages": messages, "tokens": tokens}


def _answer(response: Row) -> Row:
    text, more = shown(response["text"])
    return {"text": text, "more": more, "tokens": len(response["token_ids"]), "finish": response["finish"]}


def shown(text: str) -> tuple[str, int]:
    """(what is shown, characters left out)."""
    return text[:TEXT], max(0, len(text) - TEXT)


def _all(path: Path) -> Iterable[Row]:
    return (row for _, row in read_jsonl(path)) if path.exists() else ()


def _rows(path: Path, wanted: dict[str, list[str]], name: str) -> list[Row]:
    """The rows whose `name` is in `wanted`. Where a line shows its own without being parsed, as the store writes it, no other is parsed:
    a run's answers are gigabytes."""
    if not path.exists():
        return []
    mark = f'"{name}":"'

    def may_be(line: str) -> bool:
        _, found, rest = line.partition(mark)
        return not found or rest.partition('"')[0] in wanted

    return [row for _, row in read_jsonl(path, may_be) if row[name] in wanted]


def _by_prompt(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["prompt_id"], []).append(row)
    return found
