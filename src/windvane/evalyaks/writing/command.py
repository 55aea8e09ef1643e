"""`windvane data synthesize`: practice conversations for planned bands, by any generator or by the programme in this package.

    windvane data synthesize --writer programme --count 400 --out RUN
    windvane data synthesize --writer http://HOST:PORT/v1#MODEL --count 150 --bands 1=0.3,2=0.3,3=0.2,4=0.1,5=0.1 --out RUN

In: a writer, how many a part, shares of the bands and contexts, word lists. Out: RUN/plans.jsonl, written.jsonl (a row a plan: the
conversation or why there is none, and every reply that was rejected with its reason), transcripts.jsonl (what `windvane data transcripts`,
`eval cefr-baseline` and `run evalyaks` read), summary.json. What it will take is told before the first call; the same command goes on after
a kill. EvalYaks (arXiv 2408.12226, section 4.1) used GPT-4 Turbo and had three teachers check every record: its bands, like these, are what
was asked for, not what anybody heard. `windvane serve` has the page on which two raters check them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.records import Message, Prompt, content_id, units
from windvane.core.schema import decode, encode
from windvane.engines.http.budget import ExpectedCall, estimate
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.engines.local import Sampling
from windvane.engines.writer import Said, Writer
from windvane.evalyaks.levels import OWN, read_levels
from windvane.evalyaks.prompts.scoring import conversation
from windvane.evalyaks.prompts.writing import read_conversation, writing_messages
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, Turn, unique
from windvane.evalyaks.transcripts.split import cluster
from windvane.evalyaks.writing.plan import EVEN, Plan, plans
from windvane.evalyaks.writing.program import write
from windvane.evalyaks.writing.topics import CONTEXTS
from windvane.plan.time import writer_estimate
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_jsonl, write_atomic, write_jsonl

PROGRAMME = "programme"
Row = dict[str, Any]


def main(argv: Sequence[str]) -> int:
    """Plan, tell the cost, write, gather."""
    o = _options(argv)
    planned = plans(
        o.count,
        o.part or tuple(PART_CRITERIA),
        shares(o.bands, "--bands", int),
        shares(o.contexts, "--contexts", str),
        o.spread,
        read_levels(o.words or [OWN]),
        o.seed,
    )
    samples = _samples(o.samples)
    form = o.form or ("compact" if is_family(o.writer) else "full")
    asked = {p.id: writing_messages(p, samples.get(p.part, ()), form) for p in planned}
    tell_cost(o, list(asked.values()))
    if o.estimate:
        return 0
    with RunFolder(o.out) as run:
        settle(run, o, form)
        write_jsonl(run / "plans.jsonl", planned)
        write_all(run, o, planned, asked, form)
        summary = gather(run, planned, o.writer)
        run.write_manifest()
    print(json.dumps(summary) if o.json else shown(summary, o.out))
    return 0


def settle(run: RunFolder, o: argparse.Namespace, form: str) -> None:
    """A folder holds one command's conversations: other settings need another folder."""
    names = (
        "writer",
        "count",
        "part",
        "bands",
        "contexts",
        "spread",
        "words",
        "samples",
        "seed",
        "attempts",
        "temperature",
        "top_p",
        "max_new_tokens",
        "batch",
    )
    given = {n: encode(getattr(o, n)) for n in names} | {"form": form}
    path = run / "settings.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [n for n in given if before.get(n) != given[n]]
        if changed:
            flag = f"--{changed[0].replace('_', '-')}"
            raise UserError(
                f"{run.path}: was begun with {flag} {before.get(changed[0])}; give the same, or another --out"
            )
    else:
        write_atomic(path, json.dumps(given, indent=1) + "\n")


def write_all(
    run: RunFolder, o: argparse.Namespace, planned: Sequence[Plan], asked: dict[str, tuple[Message, ...]], form: str
) -> None:
    """RUN/written.jsonl: rows {id, record or None, reason, rejected}."""
    writer = None if o.writer == PROGRAMME else Writer(o.writer, o.device, o.dtype, server_of(o), run / "calls.jsonl")
    sampling = Sampling(1, o.temperature, o.top_p, o.max_new_tokens)
    of = {p.id: p for p in planned}

    def read(key: str, said: Said) -> tuple[tuple[tuple[str, str], ...] | None, str | None]:
        if said.finish == "length":
            return None, "cut at max_new_tokens"
        return read_conversation(said.text or "", of[key].part, form)

    def work(batch: Sequence[Plan]) -> Iterable[Row]:
        if writer is None:
            return [{"id": p.id, "record": encode(write(p, o.seed)), "reason": None, "rejected": []} for p in batch]
        told = writer.write([(p.id, Prompt.of(asked[p.id])) for p in batch], read, sampling, o.attempts, o.seed)
        return [_row(p, told[p.id].value, told[p.id].rejected, o.writer) for p in batch]

    if writer is not None and not o.quiet and not run.finished("written.jsonl"):
        found = estimate(server_of(o), [ExpectedCall(m, o.max_new_tokens) for m in asked.values()])
        run.tell(f"the writer {o.writer}: {writer_estimate(writer, found, o.batch, run.path)}")
    try:
        LocalRunner(run, o.quiet).run("written", units(planned, o.batch), work)
    finally:
        if writer is not None:
            writer.close()


def _row(plan: Plan, turns: Sequence[tuple[str, str]] | None, rejected: list[Row], writer: str) -> Row:
    if turns is None:
        return {
            "id": plan.id,
            "record": None,
            "reason": rejected[-1]["reason"] if rejected else "no reply",
            "rejected": rejected,
        }
    record = Transcript.of(
        plan.part,
        [Turn(role, text) for role, text in turns],
        scores={c: float(b) for c, b in plan.scores.items()},
        context=plan.context,
        setting=plan.setting,
        name=plan.id,
        source=f"written by {writer}",
    )
    return {"id": plan.id, "record": encode(record), "reason": None, "rejected": rejected}


def gather(run: RunFolder, planned: Sequence[Plan], writer: str) -> Row:
    """RUN/transcripts.jsonl and summary.json: what was planned, what is there, what was rejected and why."""
    rows = {row["id"]: row for _, row in read_jsonl(run / "written.jsonl")}
    records = [decode(Transcript, r["record"]) for p in planned if (r := rows[p.id])["record"] is not None]
    whole = unique(records)
    groups = Counter(r.split_group for r in cluster(whole)) if whole else Counter()
    write_jsonl(run / "transcripts.jsonl", whole)
    missing = Counter(rows[p.id]["reason"] for p in planned if rows[p.id]["record"] is None)
    bands: dict[str, Counter[str]] = {}
    for r in whole:
        for c, b in r.scores.items():
            bands.setdefault(f"part {r.part} {c}", Counter())[f"{b:g}"] += 1
    summary = {
        "writer": writer,
        "planned": len(planned),
        "written": len(records),
        "missing": dict(missing),
        "repeated": len(records) - len(whole),
        "in_near_duplicate_clusters": sum(n for n in groups.values() if n > 1),
        "rejected_replies": dict(Counter(str(x["reason"]) for row in rows.values() for x in row["rejected"])),
        "bands": {k: dict(sorted(v.items())) for k, v in sorted(bands.items())},
        "settings": dict(Counter(str(r.setting) for r in whole)),
    }
    write_atomic(run / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary


def tell_cost(o: argparse.Namespace, asked: Sequence[tuple[Message, ...]]) -> None:
    """One line on standard error, before anything is asked."""
    if o.writer == PROGRAMME:
        return
    server = server_of(o)
    told = estimate(server, [ExpectedCall(m, o.max_new_tokens) for m in asked]).told(server)
    more = f"; {o.attempts} times that if every reply had to be asked for {o.attempts} times" if o.attempts > 1 else ""
    print(f"windvane: the writer {o.writer}: {told}{more}", file=sys.stderr)


def shown(summary: Row, out: Path) -> str:
    """For a terminal."""
    lines = [f"{summary['written']} of {summary['planned']} conversations -> {out / 'transcripts.jsonl'}"]
    lines += [
        f"  {name}: " + ", ".join(f"{b}: {n}" for b, n in found.items()) for name, found in summary["bands"].items()
    ]
    lines += [f"  not written, {reason}: {n}" for reason, n in summary["missing"].items()]
    lines += [f"  rejected reply, {reason}: {n}" for reason, n in summary["rejected_replies"].items()]
    if summary["repeated"]:
        lines.append(f"  the same conversation again: {summary['repeated']}, kept once")
    lines.append(
        f"  {summary['in_near_duplicate_clusters']} share a near-duplicate cluster with another (splits keep them together)"
    )
    return "\n".join(lines)


def shares(text: str, flag: str, kind: Any) -> dict[Any, float]:
    """ "1=0.3,2=0.7" as a table."""
    found = {}
    for item in text.split(","):
        name, sign, value = item.strip().partition("=")
        try:
            found[kind(name)] = float(value)
        except ValueError:
            sign = ""
        if not sign or found.get(kind(name) if sign else "", -1.0) < 0:
            raise UserError(f"{flag} {text}: give NAME=SHARE,NAME=SHARE with shares of 0 or more")
    return found


def _samples(files: Sequence[str]) -> dict[int, list[tuple[dict[str, float], str]]]:
    """Two a part, the same every time."""
    found: dict[int, list[tuple[dict[str, float], str]]] = {}
    for record in sorted(
        unique(read_transcripts(files).records) if files else [], key=lambda r: content_id(["sample", r.id])
    ):
        if record.part and record.scores and len(found.setdefault(record.part, [])) < 2:
            found[record.part].append((dict(record.scores), conversation([(t.role, t.text) for t in record.turns])))
    return found


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser("windvane data synthesize", description="Practice conversations for planned bands.")
    add = parser.add_argument
    even = ",".join(f"{b}={s:g}" for b, s in EVEN.items())
    add(
        "--writer",
        required=True,
        metavar="W",
        help="programme, local:MODEL, world:grades, http://HOST:PORT/v1#MODEL, scripted:FILE, py:module:object",
    )
    add("--out", type=Path, required=True, metavar="RUN", help="a folder; the same command goes on there")
    add("--count", type=int, default=25, metavar="N", help="conversations a part (25)")
    add("--part", type=int, nargs="+", choices=(1, 2, 3, 4), help="(all)")
    add(
        "--bands",
        default=even,
        metavar="B=SHARE,...",
        help=f"of the first criterion; the others follow within --spread ({even})",
    )
    add(
        "--contexts",
        default=",".join(f"{c}=0.5" for c in CONTEXTS),
        metavar="C=SHARE,...",
        help="(global=0.5,indian=0.5)",
    )
    add(
        "--spread",
        type=int,
        default=2,
        metavar="N",
        help="bands by which a conversation's criteria differ at most (2, as the paper)",
    )
    add("--words", nargs="+", default=[], metavar="FILE", help="word lists with levels (a small one of this project)")
    add("--samples", nargs="+", default=[], metavar="FILE", help="scored transcripts to show the writer, two a part")
    add("--form", choices=("full", "compact"), help="of the prompt (compact for the embedded world)")
    add("--attempts", type=int, default=3, metavar="N", help="times a conversation is asked for (3)")
    add("--temperature", type=float, default=1.0, help="(1)")
    add("--top-p", type=float, default=1.0, help="(1)")
    add("--max-new-tokens", type=int, metavar="N", help="of a conversation (2048; 384 for the embedded world)")
    add("--batch", type=int, default=16, metavar="N", help="conversations kept at a time (16)")
    add("--seed", type=int, default=0)
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--estimate", action="store_true", help="tell what it would take, and stop")
    add("--quiet", action="store_true", help="no progress bar")
    add("--json", action="store_true", help="print one JSON object")
    add_server_flags(parser, "a writer behind a server")
    options = parser.parse_args(list(argv))
    if min(options.attempts, options.batch, options.count) < 1:
        raise UserError("--attempts, --batch, --count: must be at least 1")
    if options.max_new_tokens is None:
        options.max_new_tokens = 384 if is_family(options.writer) else 2048
    return options
