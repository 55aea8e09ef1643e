"""`windvane score FILE...`: bands for speaking transcripts, as a table.

    windvane score answers.csv --out scores.csv
    windvane score part3.txt --part 3 --scorer local:MODEL --adapter 3=RUN/part3 --rationale --out scores.csv

In: transcripts (evalyaks/transcripts/read.py says in what forms), a scorer: `default` (shipped, weight-free), a scorer.json of `windvane
eval
cefr-baseline --save`, or a model. Out: scores.csv, a row a transcript in the order read (unread rows too, with their reason), and
scores.jsonl with every probability, note and contribution; whole-test bands where rows name a candidate. A finished row is kept at once in
scores.journal: the same command goes on after a kill, and rows of the same transcript, part and scorer are not scored again (a scorer
whose files changed is another one).
`windvane eval cefr scores.csv` measures the bands where the transcripts had reference scores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.families import spelled
from windvane.core.records import content_id
from windvane.core.schema import decode, encode
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.evalyaks.scoring.open import DEFAULT, made_of, open_scorer
from windvane.evalyaks.scoring.score import LIMITS, Assessment, TranscriptScorer
from windvane.evalyaks.scoring.table import Row, candidates_table, shown, table, tell
from windvane.evalyaks.scoring.whole_test import whole_tests
from windvane.evalyaks.transcripts.command import parse_speakers
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import Transcript
from windvane.runs.store import Journal, read_jsonl, write_atomic


def main(argv: Sequence[str]) -> int:
    """Read, score, write, tell."""
    options = _options(argv)
    out: Path = options.out
    if out.suffix.lower() != ".csv":
        raise UserError(f"--out {out}: give a .csv file; the details stand beside it as .jsonl")
    _refuse_other(out, options.files)
    read = read_transcripts(
        options.files, options.part, parse_speakers(options.speaker), 0.5 if options.half_bands else 1.0
    )
    if not read.records:
        first = read.quarantined[0]
        raise UserError(f"{first.source}: {first.reason}; no transcript of {len(read.quarantined)} could be read")
    adapters = parse_adapters(options.adapter)
    more = {} if options.scorer == DEFAULT or options.scorer.endswith(".json") else _model_options(options, adapters)
    if not more and (adapters or options.method != "auto"):
        raise UserError(f"--scorer {options.scorer}: is weight-free; --adapter and --method are a model's")
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{out}: another process is writing it; wait for it or name another --out") from None
    with lock:
        scorer = open_scorer(options.scorer, **more)
        if more and (cost := getattr(scorer, "cost", lambda *_: None)(read.records, more["server"])):
            print(f"windvane: {options.scorer}: {cost}", file=sys.stderr)
        files = [made_of(place) for place in (options.scorer, *(adapters[p] for p in sorted(adapters)))]
        about = scorer.about.replace(options.scorer, spelled(options.scorer))
        parts = [(part, spelled(adapter)) for part, adapter in sorted(adapters.items())]
        said = [spelled(options.scorer), about, parts, options.method, options.form, options.rationale]
        said += [files, options.dtype]
        rows, fresh, seconds = score_all(read.records, scorer, content_id(said), out, options.rationale, options.batch)
        out.with_suffix(".lock").unlink(missing_ok=True)
    tests = whole_tests((r, decode(Assessment, row["assessment"])) for r, row in zip(read.records, rows))
    write_atomic(out, table(read, rows))
    if tests:
        write_atomic(out.with_name(f"{out.stem}-candidates.csv"), candidates_table(tests))
    told = tell(read, rows, scorer, fresh, seconds, len(tests))
    print(json.dumps(told) if options.json else shown(told, out))
    return 0


def _refuse_other(out: Path, files: Sequence[Any]) -> None:
    """A table that this verb has not made is never written over, nor is what it reads."""
    details = out.with_suffix(".jsonl")
    for made in (out, details):
        if made.resolve() in {Path(f).resolve() for f in files}:
            raise UserError(f"--out {out}: would be written over {made}, which is read; name a new file")
    if out.exists() and not details.exists():
        raise UserError(
            f"--out {out}: is there already, and is something else (no {details.name} beside it); name a new file"
        )


def score_all(
    records: Sequence[Transcript], scorer: TranscriptScorer, asked: str, out: Path, rationale: bool, batch: int
) -> tuple[list[Row], int, float]:
    """(a row a record, in order; how many were scored now; seconds that took). Rows kept from before are taken over."""
    journal = Journal(out.with_suffix(".jsonl"))
    kept = _kept(journal)
    keys = [content_id([asked, r.id, r.part]) for r in records]
    left = list({k: r for k, r in zip(keys, records) if k not in kept}.items())
    start = time.perf_counter()
    for i in range(0, len(left), batch):
        part = left[i : i + batch]
        found = scorer.assess([r for _, r in part], rationale)
        rows = [{"id": k, "assessment": encode(a)} for (k, _), a in zip(part, found, strict=True)]
        journal.add(content_id([k for k, _ in part]), rows)
        kept |= {row["id"]: row for row in rows}
        if sys.stderr.isatty():
            print(f"\r{min(i + batch, len(left))} of {len(left)}", end="", file=sys.stderr)
    seconds = time.perf_counter() - start
    journal.close()
    whole = [
        {"id": f"{n:06d}-{k}", "key": k, "record": encode(r), "assessment": kept[k]["assessment"]}
        for n, (k, r) in enumerate(zip(keys, records))
    ]
    # the finished file takes the journal's place; a kill between the two leaves both, which is read the same
    write_atomic(out.with_suffix(".jsonl"), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in whole))
    journal.path.unlink()
    return whole, len(left), seconds


def _kept(journal: Journal) -> dict[str, Row]:
    """Rows of the finished file and of the journal of a killed run, by key."""
    found: dict[str, Row] = {}
    if journal.final.exists():
        for number, row in read_jsonl(journal.final):
            if not isinstance(row, dict) or not isinstance(row.get("key"), str) or "assessment" not in row:
                raise UserError(f"{journal.final}: row {number}: not written by windvane score; name another --out")
            found[row["key"]] = {"id": row["key"], "assessment": row["assessment"]}
    with journal.path.open("rb") as file:  # what Journal left standing is whole
        for line in file:
            found |= {row["id"]: row for row in json.loads(line.partition(b"\t")[2])["rows"]}
    return found


def parse_adapters(flags: Sequence[str]) -> dict[int, str]:
    """PART=MODEL flags as a table."""
    found = {}
    for flag in flags:
        part, sign, place = flag.partition("=")
        if not sign or part not in ("1", "2", "3", "4") or not place:
            raise UserError(f"--adapter {flag}: give PART=FOLDER, with a part of 1, 2, 3, 4")
        found[int(part)] = place
    return found


def _model_options(options: argparse.Namespace, adapters: dict[int, str]) -> dict[str, Any]:
    return {
        "device": options.device,
        "dtype": options.dtype,
        "method": options.method,
        "form": options.form,
        "adapters": adapters,
        "server": server_of(options),
        "calls": options.out.with_name(f"{options.out.stem}.calls.jsonl"),
    }


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser("windvane score", description="Bands for speaking transcripts. " + LIMITS)
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help=".csv, .tsv, .jsonl, .json, .parquet or plain text")
    add("--out", type=Path, required=True, metavar="FILE.csv", help="the table; FILE.jsonl beside it has the details")
    add(
        "--scorer",
        default=DEFAULT,
        metavar="S",
        help="default (shipped, weight-free), FILE.json, local:MODEL, world:grades, http://HOST:PORT/v1#MODEL, py:module:object",
    )
    add(
        "--adapter",
        action="append",
        default=[],
        metavar="PART=FOLDER",
        help="a LoRA adapter for a part, over the model (or another backend's name)",
    )
    add(
        "--method",
        default="auto",
        choices=("auto", "likelihood", "json"),
        help="of a model: bands by the likelihood of every valid answer, or a checked answer (auto: likelihood where it can be had)",
    )
    add(
        "--form",
        default=None,
        choices=("steps", "descriptors", "example", "compact"),
        help="of the prompt (descriptors; compact for the embedded world)",
    )
    add("--rationale", action="store_true", help="ask why, too")
    add("--part", type=int, choices=(1, 2, 3, 4), help="of rows that do not say theirs")
    add("--speaker", action="append", default=[], metavar="NAME=ROLE", help="who NAME is: examiner, candidate, partner")
    add("--half-bands", action="store_true", help="the file's reference scores go by halves")
    add("--batch", type=int, default=16, metavar="N", help="transcripts kept at a time (16)")
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--json", action="store_true", help="print one JSON object")
    add_server_flags(parser, "a model behind a server")
    options = parser.parse_args(list(argv))
    if options.batch < 1:
        raise UserError(f"--batch {options.batch}: must be at least 1")
    return options
