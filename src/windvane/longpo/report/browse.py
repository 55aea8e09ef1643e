"""The browser's sets of a LongPO run: a question with its chunk, the chosen and the rejected answer, or why there is no pair.

In: a run folder. Out: one set a round, newest first, within a byte budget; which questions are shown depends on their ids alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from windvane.longpo.report.gather import answers, rows
from windvane.report.browse import BUDGET, fit, pick, shown

Row = dict[str, Any]


def long_browse(run: Path, numbers: list[int]) -> list[Row]:
    """The sets: {"key", "label", "file", "total", "entries"}."""
    sets = [s for n in reversed(numbers) if (s := _round(run, n))["total"]]
    left = BUDGET
    for place, one in enumerate(sets):
        one["entries"], used = fit(one["entries"], left // (len(sets) - place))
        left -= used
    return sets


def _round(run: Path, number: int) -> Row:
    folder = run / f"iter-{number}"
    status = {
        q["id"]: "not filtered yet" if q["text"] is not None else "no question"
        for q in rows(folder / "questions.jsonl")
    }
    for row in rows(folder / "turns.jsonl"):
        status |= dict.fromkeys(row["turns"], "pair") | {d["id"]: f"dropped: {d['reason']}" for d in row["dropped"]}
    chosen, rejected = (answers(folder / f"{name}.jsonl") for name in ("chosen", "rejected"))
    logps = {r["id"]: r["logps"] for r in rows(folder / "reference.jsonl")}

    def same(row: Row) -> float | None:
        key = row["id"]
        return 1.0 if key in chosen.ids and chosen.ids[key] == rejected.ids.get(key) else None

    def ahead(row: Row) -> float | None:
        a, b = (logps.get(f"{row['id']}-{side}") for side in (0, 1))
        return None if a is None or b is None or b <= a else b - a

    kinds = [
        ("the short model finds the rejected answer likelier", ahead),
        ("same answer twice", same),
        ("an answer was cut off", lambda r: 1.0 if r["id"] in chosen.cut | rejected.cut else None),
        ("dropped", lambda r: 1.0 if status[r["id"]].startswith("dropped") else None),
        ("no question", lambda r: 1.0 if status[r["id"]] == "no question" else None),
    ]
    why = pick([{"id": key} for key in status], kinds, f"iter-{number}")
    asked = {q["id"]: q for q in rows(folder / "questions.jsonl") if q["id"] in why}
    places = {c["id"]: (d, c) for d in rows(folder / "documents.jsonl") for c in d["chunks"] if c["id"] in why}
    sources = {h["id"]: h["source"] for h in rows(run / "documents.jsonl")}
    said = [
        {r["prompt_id"]: r for r in rows(folder / f"{n}.jsonl") if r["prompt_id"] in why}
        for n in ("chosen", "rejected")
    ]
    entries = []
    for key, reasons in why.items():
        question, (document, chunk) = asked[key], places.get(key, ({}, {}))
        messages: list[list[Any]] = []
        if chunk and (text := _chunk(run, document["id"], chunk)) is not None:
            messages.append(["chunk", *shown(text)])
        messages.append(
            ["question", *shown(question["text"] or "")] if question["text"] else ["question", "none was usable", 0]
        )
        found = [_answer(one[key], mark, logps) for one, mark in zip(said, ("chosen", "rejected")) if key in one]
        if question["text"] is None:
            found = [_reply(r, n) for n, r in enumerate(question["replies"], 1)]
        entries.append(
            {
                "kind": "question",
                "id": key,
                "why": reasons,
                "status": status[key],
                "messages": messages,
                "tokens": chunk.get("tokens"),
                "document": [
                    sources.get(question["document"], question["document"]),
                    document.get("tokens"),
                ],
                "tries": len(question["replies"]),
                "answers": found,
            }
        )
    return {
        "key": f"iter-{number}",
        "label": f"Questions, round {number}",
        "file": f"iter-{number}/questions.jsonl, chosen.jsonl, rejected.jsonl, turns.jsonl, reference.jsonl",
        "total": len(status),
        "entries": entries,
    }


def _chunk(run: Path, document: str, chunk: Row) -> str | None:
    try:
        data = (run / "documents" / f"{document}.txt").read_bytes()
    except FileNotFoundError:
        return None
    return data.decode("utf-8", errors="replace")[chunk["start"] : chunk["stop"]]


def _answer(response: Row, mark: str, logps: dict[str, float]) -> Row:
    text, more = shown(response["text"])
    reference = logps.get(response["id"])
    return {
        "name": "From the chunk" if mark == "chosen" else "From the document",
        "mark": mark,
        "text": text,
        "more": more,
        "tokens": len(response["token_ids"]),
        "finish": response["finish"],
        "reference": None if reference is None else round(reference, 3),
    }


def _reply(reply: Row, number: int) -> Row:
    text, more = shown(reply["text"])
    return {"name": f"Reply {number}", "mark": "", "text": text, "more": more, "reason": reply["reason"]}
