"""`windvane eval cefr-baseline FILE...`: how far readable features get without a language model.

    windvane eval cefr-baseline Part1_Introduction.csv Part2_LongTurn.csv --folds 5 --json
    windvane eval cefr-baseline transcripts.jsonl --save scorer.json

In: scored transcripts. Out: the weight-free scorers (ridge, ordinal) on folds that keep near-duplicate conversations together and the
package's default scorer ("shipped", trained on none of them), beside constants, majority and length alone (each fitted on the training
folds), with intervals over those clusters. --save fits on everything and writes the scorer.
Departure from EvalYaks (arXiv 2408.12226): the paper has no such baseline and no split is published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.evals.result_files import keep_result
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.reference_lines import fit_length, majority, predict_length
from windvane.evalyaks.evaluation.result import overview, plot, table
from windvane.evalyaks.evaluation.rows import scored_of
from windvane.evalyaks.evaluation.systems import Bands, Scored, System, compare
from windvane.evalyaks.scoring.fit import Kind, fit
from windvane.evalyaks.scoring.weights import Scorer, save, score, shipped
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import Transcript, unique
from windvane.evalyaks.transcripts.split import cluster, folds

KINDS: tuple[Kind, ...] = ("ridge", "ordinal")
SHIPPED = "shipped"  # the package's default scorer, which saw none of the rows


def main(argv: Sequence[str]) -> int:
    """Cross-validate, print; with --save write the scorer too."""
    parser = Parser(
        "windvane eval cefr-baseline", description="The weight-free scorer of speaking transcripts, cross-validated."
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="transcripts with scores")
    add(
        "--folds", type=int, default=5, metavar="K", help="conversations and their near-duplicates stay in one fold (5)"
    )
    add("--seed", type=int, default=0, help="of the folds")
    add("--resamples", type=int, default=2000, metavar="N", help="of the clusters, for the intervals (2000)")
    add("--save", type=Path, metavar="FILE.json", help="fit on everything and write the scorer there")
    add("--kind", choices=KINDS, default="ordinal", help="of the saved scorer (ordinal)")
    add("--about", default="", metavar="TEXT", help="what the saved scorer was trained on, in words")
    add("--out", type=Path, metavar="DIR", help="keep result.json there")
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(list(argv))
    if options.resamples < 1:
        raise UserError(f"--resamples {options.resamples}: must be at least 1")
    read = read_transcripts(options.files)
    records = [r for r in unique(read.records) if r.scores]
    if not records:
        raise UserError(f"{options.files[0]}: no transcript has scores to learn from")
    result = cross_validate(records, options.folds, options.seed, options.resamples)
    result["left_out"] = {"not read": len(read.quarantined)} if read.quarantined else {}
    if options.save:
        names = ", ".join(Path(f).name for f in options.files)
        save(
            fit(cluster(records), options.kind, options.about or f"{len(records)} conversations of {names}"),
            options.save,
        )
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        keep_result(options.out, result, plot(result))
    print(json.dumps(result, allow_nan=False) if options.json else f"{table(result)}\n{ahead(result)}")
    return 0


def cross_validate(
    records: Sequence[Transcript], count: int = 5, seed: int = 0, resamples: int = 2000
) -> dict[str, Any]:
    """`records`: one a conversation, scored."""
    held = folds(cluster(records), count, seed)
    rows = [scored_of(r, r.split_group) for r in held]
    own: dict[str, list[Bands | None]] = {name: [None] * len(rows) for name in (*KINDS, "length only", "majority")}
    for fold in range(count):
        train = [r for r in held if r.fold != fold]
        at = [i for i, r in enumerate(held) if r.fold == fold]
        train_rows = [row for row, r in zip(rows, held) if r.fold != fold]
        asked = [rows[i] for i in at]
        for kind in KINDS:
            scorer = fit(train, kind, "training folds")
            _fill(own[kind], at, [expected(scorer, held[i]) if knows(scorer, held[i]) else None for i in at])
        _fill(own["length only"], at, predict_length(fit_length(train_rows), asked))
        _fill(own["majority"], at, majority(train_rows, asked))
    scale = Scale()
    systems = [System(kind, own[kind], "model", "readable features") for kind in KINDS]
    default = shipped()
    systems.append(
        System(SHIPPED, [expected(default, r) if knows(default, r) else None for r in held], "model", default.about)
    )
    systems += [System(f"constant {b:g}", [dict.fromkeys(r.reference, b) for r in rows], "line") for b in scale.bands]
    systems.append(System("majority", own["majority"], "line", "of the training folds"))
    systems.append(
        System("length only", own["length only"], "line", "words of the candidate, fitted on the training folds")
    )
    compared = compare(rows, systems, scale, resamples, seed)
    return {
        "name": "cefr-baseline",
        "folds": count,
        **overview(compared),
        **compared,
        "invalid": invalid(rows, systems),
    }


def knows(scorer: Scorer, record: Transcript) -> bool:
    """Whether the record's part is one that the scorer was trained on."""
    return any(line.part == (str(record.part) if record.part else "all") for line in scorer.lines)


def expected(scorer: Scorer, record: Transcript) -> Bands:
    """Expected bands by criterion."""
    return {e.criterion: e.expected for e in score(scorer, record)}


def invalid(rows: Sequence[Scored], systems: Sequence[System]) -> dict[str, dict[str, int]]:
    """What a system could not predict: a part that its training folds lack."""
    counts = {
        s.name: sum(not p or any(c not in p for c in r.reference) for r, p in zip(rows, s.predictions)) for s in systems
    }
    return {name: {"no prediction": n} for name, n in counts.items() if n}


def ahead(result: Mapping[str, Any]) -> str:
    """Where each scorer is ahead of, level with or behind its lines: the sign of a paired difference whose interval leaves out 0."""
    better = {"acceptable_accuracy": 1, "strict_acceptable_accuracy": 1, "dov": -1, "qwk": 1}
    constants = [s for s in result["systems"] if s["name"].startswith("constant")]
    best = min(constants, key=lambda s: s["average"]["dov"]["value"])["name"]
    lines = ["scorer minus line, paired over clusters (ahead: the 95% interval leaves out 0)"]
    for d in result["differences"]:
        if d["other"] not in ("length only", "majority", best) or d["value"] is None:
            continue
        sign = better[d["measure"]]
        low, high = sorted((sign * d["low"], sign * d["high"]))
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "not ahead"
        where = "mean of parts" if d["part"] == "average" else f"part {d['part']} {d['criterion'] or ''}"
        value = f"{d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"
        lines.append(f"  {d['model']:8} {where:13} {d['measure']:27} vs {d['other']:12} {value}  {verdict}")
    return "\n".join(lines)


def _fill(column: list[Bands | None], at: Sequence[int], values: Sequence[Bands | None]) -> None:
    for i, value in zip(at, values, strict=True):
        column[i] = value
