"""RULER: how long a context a model really uses. Ask a model, or score given answers.

In: a model and lengths; or a file of answers. Out: one result that leads with the effective length and keeps the groups (locating,
tracing, aggregation, question answering, key chains) apart; a depth x length heat map; with a second file the paired differences. Rows
go to OUT/ruler/TASK-LENGTH.jsonl with references and depths, so that anyone can score them again; the result to OUT/result.json and
OUT/plot.svg, which a run's report shows where OUT is RUN/evaluations/NAME.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import encode
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.evals.result_files import default_folder, kept_result
from windvane.evals.ruler.files import read_rows
from windvane.evals.ruler.heatmap import heat_map, tokens_label
from windvane.evals.ruler.score import Row, row_score, summarise
from windvane.evals.ruler.tasks import GROUPS, PUBLISHED, TASKS, Sources, parse_length
from windvane.runs.store import RunFolder, write_atomic, write_new
from windvane.stats.paired import paired_difference

PROG = "windvane eval ruler"


def compare(rows: Sequence[Row], others: Sequence[Row], name: str) -> dict[str, Any]:
    """Paired differences (first minus second, in points) over questions both answered, per length and group; questions about one
    document stay together. Questions are the same where id and references are."""
    known = {(r.id, r.references): r for r in others}
    pairs = [(r, known[r.id, r.references]) for r in rows if (r.id, r.references) in known]
    if not pairs:
        raise UserError(f"{name}: no question in common; compare runs of the same seed, tasks, lengths and tokenizer")
    unpaired = len(rows) + len(others) - 2 * len(pairs)
    out: dict[str, Any] = {"against": name, "n": len(pairs), "unpaired": unpaired, "lengths": {}}
    for length in sorted({r.length for r, _ in pairs}):
        part: dict[str, Any] = {}
        for group in GROUPS:
            mine = [(a, b) for a, b in pairs if a.length == length and TASKS[a.task].group == group]
            if mine:
                first, second = [row_score(a) for a, _ in mine], [row_score(b) for _, b in mine]
                gap = encode(paired_difference(first, second, [a.cluster for a, _ in mine]))
                keep = ("n", "clusters")
                part[group] = {k: v if v is None or k in keep else 100 * v for k, v in gap.items()}
        out["lengths"][str(length)] = part
    return out


def headline(result: dict[str, Any]) -> str:
    """The effective length in words, or why there is none."""
    reached, sure = result["effective_length"], result["effective_length_95"]
    if missing := [note for note in result["notes"] if note.startswith("no effective length")]:
        return str(missing[0])
    if reached is None:
        return f"effective length: below the shortest tested (threshold {result['threshold']})"
    also = f"with 95% confidence: {tokens_label(sure)}" if sure else "with 95% confidence: none of those tested"
    return f"effective length: {tokens_label(reached)} (threshold {result['threshold']}; {also})"


def table(result: dict[str, Any]) -> str:
    """For people: the effective length first, then groups by length."""
    lines = [] if headline(result).startswith("no effective length") else [headline(result)]
    lengths = list(result["lengths"])
    lines.append(f"{'':14}" + "".join(f"{tokens_label(int(k)):>18}" for k in lengths))
    for group in result["groups"]:
        cells = []
        for k in lengths:
            g = result["lengths"][k]["groups"].get(group)
            span = "" if not g or g["low"] is None else f" [{g['low']:.0f}, {g['high']:.0f}]"
            cells.append(f"{'-' if not g else format(g['score'], '.1f') + span:>18}")
        lines.append(f"{group:14}" + "".join(cells))
    if "comparison" in result:
        lines += _differences(result["comparison"])
    if result.get("unreadable"):
        lines.append(f"{result['unreadable']} rows left out: {result['left_out']}")
    return "\n".join([*lines, *(f"note: {n}" for n in result["notes"])])


def _differences(c: dict[str, Any]) -> list[str]:
    lines = [f"minus {c['against']}, in points, paired on {c['n']} questions ({c['unpaired']} rows unpaired)"]
    for length, groups in c["lengths"].items():
        for group, gap in groups.items():
            text = f"  {tokens_label(int(length)):>6} {group:12} {gap['mean']:+.1f} [{gap['low']:+.1f}, {gap['high']:+.1f}]"
            lines.append(text + ("" if gap["mde"] is None else f"; under {gap['mde']:.1f} would probably go unseen"))
    return lines


def parser() -> Parser:
    p = Parser(PROG, description="RULER: ask a model at growing lengths, or score given answers.")
    p.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="answers to score: a JSONL file or a folder of them"
    )
    p.add_argument("--model", help="ask this model (a path, a hub id or a backend's name)")
    p.add_argument("--tokenizer", help="whose tokens count, where the model is behind a server")
    p.add_argument("--lengths", default="4k,8k,16k,32k,64k,128k", help="tokens, answer included; 4k is 4,096")
    p.add_argument(
        "--tasks", default=",".join(PUBLISHED), help=f"default: the published 13; all there are: {','.join(TASKS)}"
    )
    p.add_argument("--samples", type=int, default=500, help="questions per task and length (published: 500)")
    p.add_argument(
        "--out",
        type=Path,
        help="folder for result.json, plot.svg and with --model the rows (the same command resumes); with --model "
        "evaluations/ruler/MODEL where it is not given",
    )
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--batch", type=int, default=1, help="questions a batch")
    p.add_argument("--haystack", type=Path, help="a text file, or a folder of them, to hide needles in")
    p.add_argument("--squad", type=Path, help="SQuAD's JSON for qa_1; without it an invented stand-in")
    p.add_argument("--hotpotqa", type=Path, help="HotpotQA's JSON for qa_2; without it an invented stand-in")
    p.add_argument("--no-prefix", action="store_true", help="do not begin the answer (the published scores do)")
    p.add_argument("--no-chat", action="store_true", help="plain text, no chat template: for base models")
    p.add_argument("--device", default="auto")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--against", type=Path, help="a second model's answers: adds the paired differences")
    p.add_argument("--length", type=parse_length, help="with FILE: the target length of rows that do not say")
    p.add_argument("--plot", type=Path, help="write the depth x length heat map (SVG)")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    add_server_flags(p, "a model behind a server")
    return p


def main(argv: Sequence[str]) -> int:
    """`windvane eval ruler`."""
    a = parser().parse_args(list(argv))
    if (a.file is None) == (a.model is None):
        raise UserError("give either a file of answers or --model")
    if a.model and a.out is None:
        a.out = default_folder("ruler", a.model)
    if a.out:
        kept_result(a.out, "ruler")
    path = a.file or _generate(a)
    rows, left_out, duplicates = read_rows(path, a.length)
    result = summarise(rows)
    result |= {"unreadable": sum(left_out.values()), "left_out": left_out, "duplicate_ids": duplicates}
    if a.against:
        result["comparison"] = compare(rows, read_rows(a.against, a.length)[0], a.against.name)
    said = (
        headline(result)
        if result["effective_length"] is not None
        else "no effective length: not all 13 tasks, or none reached"
    )
    plot = heat_map(rows, f"RULER: found by depth and length, {a.model or path.name}", result["effective_length"], said)
    if a.plot:
        write_new(a.plot, plot, redrawn="<svg")
    if a.out:
        kept = {"name": "ruler", "model": a.model or path.name, "headline": headline(result), **result}
        write_atomic(a.out / "result.json", json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        write_atomic(a.out / "plot.svg", plot)
    print(json.dumps(result, ensure_ascii=False) if a.json else table(result))
    return 0


def _generate(a: argparse.Namespace) -> Path:
    from windvane.evals.ruler.models import Models  # torch: only where a model is asked
    from windvane.evals.ruler.run import Settings, run_ruler

    tasks = [t.strip() for t in a.tasks.split(",") if t.strip()]
    for task in tasks:
        if task not in TASKS:
            raise UserError(f"--tasks {task}: no such task; there are {', '.join(TASKS)}")
    lengths = sorted({parse_length(x.strip()) for x in a.lengths.split(",") if x.strip()})
    if not tasks or not lengths or a.samples < 1 or a.batch < 1:
        raise UserError("needs at least one task, one length, one sample and a batch of one")
    names = [p.name if p else None for p in (a.haystack, a.squad, a.hotpotqa)]
    answerer = Models(a.model, a.tokenizer, a.device, a.dtype, server_of(a), a.out / "calls.jsonl")
    batch = max(a.batch, answerer.at_once)
    settings = Settings(a.model, a.samples, a.seed, not a.no_chat, not a.no_prefix, batch, *names)
    with RunFolder(a.out) as run:
        return run_ruler(run, answerer, tasks, lengths, settings, Sources(a.haystack, a.squad, a.hotpotqa))
