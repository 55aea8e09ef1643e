"""What `windvane score` writes and says: the table of a row a transcript, the table of whole tests, counts for a terminal.

In: the transcripts as read, a row of the details each, the whole tests. Out: CSV text (what a spreadsheet would run as a formula is made
text) and the counts as one object.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.core.records import content_id
from windvane.evalyaks.scoring.score import LIMITS, TranscriptScorer
from windvane.evalyaks.scoring.whole_test import WholeTest
from windvane.evalyaks.transcripts.record import CRITERIA, ReadTranscripts

Row = dict[str, Any]


def table(read: ReadTranscripts, rows: Sequence[Row]) -> str:
    """CSV, a row a transcript; then those that could not be read."""
    named = [c for c in CRITERIA if any(b["criterion"] == c for r in rows for b in r["assessment"]["bands"])] or list(
        CRITERIA
    )
    columns = ["id", "name", "candidate", "split_group", "part", "source", "status", "reason", "words"]
    columns += [f"{kind}_{c}" for c in named for kind in ("predicted", "expected", "probability")]
    columns += [f"reference_{c}" for c in named if any(c in r.scores for r in read.records)]
    columns += ["review", "notes", "rationale"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    seen: Counter[str] = Counter()
    for record, row in zip(read.records, rows, strict=True):
        a = row["assessment"]
        seen[record.id] += 1
        line: Row = {**a, "id": record.id if seen[record.id] == 1 else f"{record.id}-{seen[record.id]}"}
        line |= {
            "name": record.name or "",
            "candidate": record.candidate or "",
            "split_group": record.split_group,
            "part": record.part or "",
            "source": record.source,
        }
        for b in a["bands"]:
            c = b["criterion"]
            line |= {f"predicted_{c}": f"{b['band']:g}", f"expected_{c}": f"{b['expected']:.3f}"}
            line[f"probability_{c}"] = "" if b["probability"] is None else f"{b['probability']:.3f}"
        line |= {f"reference_{c}": f"{band:g}" for c, band in record.scores.items()}
        line |= {"review": "; ".join(a["review"]), "notes": "; ".join(a["notes"]), "rationale": a["rationale"] or ""}
        writer.writerow({k: _safe(v) for k, v in line.items()})
    for q in read.quarantined:
        writer.writerow(
            {
                "id": f"unread-{content_id([q.source, q.text])}",
                "source": _safe(q.source),
                "status": "unread",
                "reason": _safe(q.reason),
            }
        )
    return out.getvalue()


def _safe(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def candidates_table(tests: Sequence[WholeTest]) -> str:
    """CSV, a row a candidate."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["candidate", "parts", *CRITERIA, "text_only_of_30", "missing"])
    for t in tests:
        bands = [f"{t.bands[c]:g}" if c in t.bands else "" for c in CRITERIA]
        total = "" if t.text_only is None else f"{t.text_only:g}"
        writer.writerow([_safe(t.candidate), " ".join(map(str, t.parts)), *bands, total, _safe("; ".join(t.missing))])
    return out.getvalue()


def tell(
    read: ReadTranscripts, rows: Sequence[Row], scorer: TranscriptScorer, fresh: int, seconds: float, tests: int
) -> dict[str, Any]:
    """What was done, in numbers."""
    status = Counter(row["assessment"]["status"] for row in rows)
    reasons = Counter(str(row["assessment"]["reason"]).split(":")[0] for row in rows if row["assessment"]["reason"])
    bands: dict[str, Counter[str]] = {}
    for row in rows:
        for b in row["assessment"]["bands"]:
            bands.setdefault(b["criterion"], Counter())[f"{b['band']:g}"] += 1
    return {
        "scorer": scorer.name,
        "about": scorer.about,
        "rows": read.rows,
        "unread": len(read.quarantined),
        **{s: status[s] for s in ("scored", "abstained", "invalid")},
        "reasons": dict(reasons),
        "not_read": [f"{q.source}: {q.reason}" for q in read.quarantined[:5]],
        "review": sum(bool(row["assessment"]["review"]) for row in rows),
        "bands": {c: dict(sorted(bands[c].items())) for c in CRITERIA if c in bands},
        "candidates": tests,
        "scored_now": fresh,
        "seconds": round(seconds, 3),
        "transcripts_per_hour": round(3600 * fresh / seconds) if fresh and seconds > 0 else None,
    }


def shown(told: dict[str, Any], out: Path) -> str:
    """For a terminal."""
    lines = [
        f"{told['scored']} scored, {told['abstained']} abstained, {told['invalid']} invalid, {told['unread']} unread -> {out}"
    ]
    lines += [f"  {reason}: {n}" for reason, n in told["reasons"].items()]
    lines += [f"  not read: {line}" for line in told["not_read"]]
    lines += [f"  {c}: " + ", ".join(f"band {b}: {n}" for b, n in found.items()) for c, found in told["bands"].items()]
    if told["review"]:
        lines.append(f"  {told['review']} rows for a person to look at (column review)")
    if told["candidates"]:
        lines.append(f"  {told['candidates']} candidates' whole tests -> {out.with_name(out.stem + '-candidates.csv')}")
    rate = told["transcripts_per_hour"]
    lines.append(f"  {told['scored_now']} scored now" + (f", {rate} transcripts an hour" if rate else ""))
    return "\n".join([*lines, f"scorer: {told['about']}", LIMITS])
