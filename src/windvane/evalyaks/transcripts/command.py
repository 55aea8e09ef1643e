"""`windvane data transcripts FILE...`: what files of speaking transcripts hold, read, repaired, split.

    windvane data transcripts Part1_Introduction.csv Part2_LongTurn.csv --json
    windvane data transcripts answers.csv --speaker "Ms Rao=examiner" --out transcripts.jsonl --quarantine left.jsonl --folds 5

In: files (evalyaks/transcripts/read.py says which). Out: counts (--json: one object), with --out the typed records, with --quarantine
the rows that
could not be read, each with its reason and line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import dumps
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import ROLES, details, summary
from windvane.runs.store import write_new


def main(argv: Sequence[str]) -> int:
    """Read, count, write."""
    parser = Parser("windvane data transcripts", description="Read speaking transcripts of any usual form.")
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help=".csv, .tsv, .jsonl, .json, .parquet or plain text")
    add("--part", type=int, choices=(1, 2, 3, 4), help="of rows that do not say theirs (told from name and content)")
    add("--speaker", action="append", default=[], metavar="NAME=ROLE", help=f"who NAME is: {', '.join(ROLES)}")
    add("--half-bands", action="store_true", help="scores go by halves")
    add("--out", metavar="FILE.jsonl", help="write the records there")
    add("--quarantine", metavar="FILE.jsonl", help="write the rows that could not be read there")
    add(
        "--folds",
        type=int,
        metavar="K",
        help="put near-duplicates into one group and groups into K folds (needs --out)",
    )
    add("--seed", type=int, default=0, help="of the folds")
    add("--details", action="store_true", help="repairs, reasons, parts, levels, conflicting and missing scores too")
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(list(argv))
    if options.folds is not None and not options.out:
        raise UserError("--folds: name a file for the records with --out")
    speakers = parse_speakers(options.speaker)
    read = read_transcripts(options.files, options.part, speakers, 0.5 if options.half_bands else 1.0)
    found, more = summary(read), details(read)
    records = read.records
    if options.folds is not None:
        from windvane.evalyaks.transcripts.split import cluster, folds

        records = folds(cluster(records), options.folds, options.seed)
        more["groups"] = len({r.split_group for r in records})
        more["largest_group"] = max(Counter({r.conversation: r.split_group for r in records}.values()).values())
    if options.out:
        write_new(Path(options.out), "".join(dumps(r) + "\n" for r in records))
    if options.quarantine:
        write_new(Path(options.quarantine), "".join(dumps(q) + "\n" for q in read.quarantined))
    if options.json:
        print(json.dumps({**found, **more} if options.details else found))
    else:
        print("\n".join([f"{k:16}{_shown(v)}" for k, v in {**found, **(more if options.details else {})}.items()]))
        for q in read.quarantined[:5]:
            print(f"  not read: {q.source}: {q.reason}")
    return 0


def parse_speakers(flags: Sequence[str]) -> dict[str, str]:
    """NAME=ROLE flags as a table."""
    found = {}
    for flag in flags:
        name, sign, role = flag.rpartition("=")
        if not (sign and name.strip() and role.strip().casefold() in ROLES):
            raise UserError(f"--speaker {flag}: give NAME=ROLE with a role of {', '.join(ROLES)}")
        found[name.strip()] = role.strip().casefold()
    return found


def _shown(value: object) -> str:
    return "; ".join(f"{k}: {v}" for k, v in value.items()) or "-" if isinstance(value, dict) else str(value)
