"""`windvane judge RUN --judge J`: another judge's word on a finished run's answers, beside the run and never in it.

    windvane judge RUN --judge human --pairs 100
    windvane judge RUN --judge llm:http://127.0.0.1:8000/v1#MODEL --out SECOND
    windvane judge answers.jsonl --judge reward:MODEL --out JUDGED

In: RUN/iter-t/prompts.jsonl and responses.jsonl, of a run or of `windvane generate`; or a file with several answers to each prompt
(stages/judged_files.py), whose records are then kept in OUT beside their verdicts. Out: OUT/iter-t/verdicts.jsonl (the same records as
the run's
own), summary.json (how far this judge and the run's agree) and manifest.json; OUT is RUN.judged-J unless named. The run is only read. A
unit is a batch of pairs, for a person one pair, so it can be left and taken up at any pair by the same command.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.protocols import PairJudge
from windvane.core.records import Prompt, Response, Verdict, by_prompt, seed_of
from windvane.core.schema import encode
from windvane.datasets.columns import mapping
from windvane.engines.http.flags import add_server_flags, server_of, spending, tell_estimate
from windvane.judges.names import resolve_judge
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder, file_sha256, read_records, write_atomic
from windvane.stages.judge import Pair, compare, questions
from windvane.stages.judge_cost import judge_estimate
from windvane.stages.judged_files import answers_from
from windvane.stages.pair import TIE, group


@dataclass(frozen=True, slots=True)
class Judging:
    """What must be the same when the command is given again. `responses`: SHA-256 of each file that is judged."""

    judge: str
    pairs: int | None
    batch_pairs: int
    responses: dict[str, str]


def main(argv: Sequence[str]) -> int:
    """Judge, then print the agreement with the run's own judge (--json: one object)."""
    options = _parser().parse_args(list(argv))
    for name in ("pairs", "batch_pairs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be at least 1")
    server, source = server_of(options), Path(options.run)
    out = out_folder(source, options.judge, options.out)
    if not source.is_dir():
        with RunFolder(out) as folder:
            answers_from(source, folder, mapping(options.columns))
        source = out
    iterations = found_iterations(source, options.iteration)
    human = options.judge == "human"
    batch = 1 if human else options.batch_pairs
    shas = {f"iter-{t}/responses.jsonl": file_sha256(source / f"iter-{t}" / "responses.jsonl") for t in iterations}
    with RunFolder(out) as folder:
        if not any(out.glob("iter-*/verdicts.*")):  # nothing was asked yet: a failed start binds nobody
            (out / "judge.toml").unlink(missing_ok=True)
        record_settings(folder / "judge.toml", Judging(options.judge, options.pairs, batch, shas))
        wanted = {t: chosen_pairs(source / f"iter-{t}", options.pairs) for t in iterations}
        left = {t: pairs for t, pairs in wanted.items() if not folder.finished(f"iter-{t}/verdicts.jsonl")}
        judge = (
            resolve_judge(options.judge, device=options.device, server=server, calls=out / "calls.jsonl")
            if left
            else None
        )
        if judge is not None:
            tell_estimate(judge, [q for pairs in left.values() for q in questions(pairs)], server)
            foretold = judge_estimate(options.judge, judge, [x for pairs in left.values() for x in pairs], out)
            if not options.quiet:
                print(f"windvane: {foretold}", file=sys.stderr)
            runner = LocalRunner(folder, quiet=options.quiet or human)
            for t, pairs in left.items():
                _run(runner, f"iter-{t}/verdicts", judge, pairs, batch)
        summary: dict[str, Any] = {"judge": options.judge, "iterations": [_summary(source, out, t) for t in iterations]}
        write_atomic(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        folder.write_manifest()
    spent = spending(judge)
    print(json.dumps(summary | {"out": str(out), "spent": spent}) if options.json else _table(summary, out, spent))
    return 0


def found_iterations(source: Path, wanted: int | None) -> list[int]:
    """Iterations of `source` whose answers are there."""
    found = sorted(
        int(p.parent.name[5:])
        for p in source.glob("iter-*/responses.jsonl")
        if p.parent.name[5:].isdigit() and (p.parent / "prompts.jsonl").exists()
    )
    if not found:
        raise UserError(f"{source}: no iter-N/responses.jsonl and prompts.jsonl; name a run folder that has answers")
    if wanted is not None and wanted not in found:
        raise UserError(f"{source}: no answers of iteration {wanted}; there are: {', '.join(map(str, found))}")
    return found if wanted is None else [wanted]


def out_folder(source: Path, judge: str, given: str | None) -> Path:
    """Where the verdicts go: never into a run."""
    if given is None:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", judge).strip("-.")[:60]
        return source.resolve().with_name(f"{source.resolve().name}.judged-{slug}")
    out = Path(given)
    inside = source.resolve() in (out.resolve(), *out.resolve().parents)
    if inside or (out / "recipe.toml").exists():
        raise UserError(
            f"--out {given}: is a run, or inside one; verdicts of another judge go beside it, name another folder"
        )
    return out


def chosen_pairs(iteration: Path, count: int | None) -> list[Pair]:
    """Every pair of every prompt's answers in the order of prompt ids, or `count` of them drawn by their own ids."""
    prompts = {p.id: p for p in read_records(iteration / "prompts.jsonl", Prompt)}
    found = read_records(iteration / "responses.jsonl", Response)
    twice = [id for id, n in Counter(r.id for r in found).items() if n > 1]
    if twice:
        raise UserError(
            f"{iteration / 'responses.jsonl'}: answer {twice[0]} stands there twice; remove one of the rows"
        )
    answers = by_prompt(found)
    unknown = next((id for id in answers if id not in prompts), None)
    if unknown is not None:
        raise UserError(
            f"{iteration}: prompts.jsonl has no prompt {unknown}, which responses.jsonl answers; mend the run"
        )
    pairs = [(prompts[id], a, b) for id in sorted(answers) for a, b in combinations(answers[id], 2)]
    if not pairs:
        raise UserError(f"{iteration}: no prompt has two answers, so there is nothing to compare")
    if count is None or count >= len(pairs):
        return pairs
    return sorted(pairs, key=lambda x: seed_of("judge", x[0].id, x[1].index, x[2].index))[:count]


def _run(runner: LocalRunner, stage: str, judge: PairJudge, pairs: Sequence[Pair], batch: int) -> None:
    def work(part: Sequence[Pair]) -> Iterable[dict[str, Any]]:
        return [encode(v) for v in compare(judge, part)]

    runner.run(stage, [(f"{i // batch:06d}", pairs[i : i + batch]) for i in range(0, len(pairs), batch)], work)


def _summary(source: Path, out: Path, t: int) -> dict[str, Any]:
    ours = read_records(out / f"iter-{t}" / "verdicts.jsonl", Verdict)
    answers = by_prompt(read_records(source / f"iter-{t}" / "responses.jsonl", Response))
    told = by_prompt_id(ours)
    groups = [group(id, answers[id], verdicts) for id, verdicts in told.items()]
    gaps = [v.disagreement for v in ours if v.disagreement is not None]
    path = source / f"iter-{t}" / "verdicts.jsonl"
    return {
        "iteration": t,
        "pairs": len(ours),
        "failed": sum(v.p is None for v in ours),
        "ties": sum(v.p is not None and abs(v.p - 0.5) < TIE for v in ours),
        "order_disagreement": sum(gaps) / len(gaps) if gaps else None,
        "cyclic_triples": sum(g.cyclic_triples for g in groups),
        "triples": sum(g.triples for g in groups),
        "with_the_run": agreement(ours, read_records(path, Verdict)) if source != out and path.exists() else None,
    }


def by_prompt_id(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.prompt_id, []).append(verdict)
    return found


def agreement(ours: Sequence[Verdict], theirs: Sequence[Verdict]) -> dict[str, Any]:
    """`same_side`: of the pairs that neither judge calls a tie, the share where both name the same winner; `mean_gap`: mean |p - p'| of
    the pairs that both judged."""
    known = {v.id: v.p for v in theirs if v.p is not None}
    both = [(v.p, known[v.id]) for v in ours if v.p is not None and v.id in known]
    sided = [(p, q) for p, q in both if abs(p - 0.5) >= TIE and abs(q - 0.5) >= TIE]
    return {
        "pairs": len(both),
        "decided_by_both": len(sided),
        "same_side": sum((p > 0.5) == (q > 0.5) for p, q in sided) / len(sided) if sided else None,
        "mean_gap": sum(abs(p - q) for p, q in both) / len(both) if both else None,
    }


def _table(summary: dict[str, Any], out: Path, spent: dict[str, float] | None) -> str:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    lines = [
        f"{'iter':>4} {'pairs':>7} {'failed':>7} {'ties':>6} {'order gap':>10} {'cycles':>12} {'same side':>10} {'mean gap':>9}"
    ]
    for r in summary["iterations"]:
        w = r["with_the_run"] or {"same_side": None, "mean_gap": None}
        cycles = f"{r['cyclic_triples']}/{r['triples']}"
        lines.append(
            f"{r['iteration']:>4} {r['pairs']:>7} {r['failed']:>7} {r['ties']:>6} {share(r['order_disagreement']):>10} {cycles:>12} "
            f"{share(w['same_side']):>10} {share(w['mean_gap']):>9}"
        )
    if spent is not None:
        tokens = spent["prompt_tokens"] + spent["completion_tokens"]
        lines.append(f"{spent['calls']:.0f} calls, {tokens:.0f} tokens, {spent['cost']:.4f} in money")
    lines.append(f"verdicts: {out}/iter-N/verdicts.jsonl")
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser("windvane judge", description="Judge a run's answers again, by any judge, beside the run.")
    add = parser.add_argument
    add("run", metavar="RUN", help="a run's folder, one of windvane generate, or a file of answers")
    add("--judge", required=True, metavar="J", help="human, llm:BACKEND, http://HOST:PORT/v1#MODEL, reward:MODEL, ...")
    add("--out", metavar="DIR", help="a folder beside the run (RUN.judged-J)")
    add("--iteration", type=int, metavar="T", help="this one alone (all that have answers)")
    add(
        "--columns",
        nargs="*",
        default=[],
        metavar="ROLE=COLUMN",
        help="of a file with other names: prompt=frage answers=texte",
    )
    add("--pairs", type=int, metavar="N", help="N pairs of each iteration, drawn by their ids (all)")
    add("--batch-pairs", type=int, default=64, metavar="N", help="pairs kept at a time; a person's is 1 (64)")
    add("--device", default="auto")
    add("--json", action="store_true", help="print one JSON object")
    add("--quiet", action="store_true", help="no progress bars")
    add_server_flags(parser, pairs=True)
    return parser
