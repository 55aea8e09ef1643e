"""`windvane pair`: verdicts, or scores from elsewhere, to preference groups; best and worst, with win probabilities.

    windvane pair JUDGED --out PAIRS                     a folder of `windvane judge`
    windvane pair RUN.judged-J --answers RUN --out PAIRS the verdicts of one folder on the answers of another
    windvane pair scored.jsonl --out PAIRS               UltraFeedback, or any list of answers with scores or probabilities

In: verdicts, or scored answers. Out: PAIRS/iter-1/prompts.jsonl, responses.jsonl, groups.jsonl (what `windvane train --data PAIRS` reads
and `windvane export PAIRS` writes for others), summary.json, manifest.json. Pure: the same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import Group, Prompt, Response, Verdict, seed_of
from windvane.datasets.columns import mapping
from windvane.datasets.rows import read_rows
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings
from windvane.runs.store import RunFolder, read_records, write_atomic, write_jsonl
from windvane.stages.pair import Choice, Estimate, Pairing, run_pair
from windvane.stages.rows import grouped, refuse_several, told
from windvane.stages.source_files import Source, source_files


@dataclass(frozen=True, slots=True)
class Pairs:
    """What must be the same when the command is given again."""

    source: str
    answers: str | None
    columns: tuple[str, ...]
    iteration: int | None
    estimate: str
    choose: str
    score_scale: float | None
    seed: int


def main(argv: Sequence[str]) -> int:
    """Make the groups, then count them."""
    o = _parser().parse_args(list(argv))
    if o.score_scale is not None and not o.score_scale > 0:
        raise UserError(f"--score-scale {o.score_scale}: must be above 0")
    out, source = Path(o.out), Path(o.source)
    if out.resolve() in (source.resolve(), *source.resolve().parents) or source.resolve() in out.resolve().parents:
        raise UserError(f"--out {o.out}: holds the source, or lies in it; name another folder")
    settings = Pairs(o.source, o.answers, tuple(o.columns), o.iteration, o.estimate, o.choose, o.score_scale, o.seed)
    if source.is_dir() and any(source.glob("iter-*/responses.jsonl")) and not any(source.rglob("verdicts.jsonl")):
        raise UserError(f"{source}: answers without verdicts; judge them first: windvane judge {source} --judge JUDGE")
    with RunFolder(out) as folder:
        if not folder.finished("iter-1/groups.jsonl"):
            discard_settings(folder, settings)
        record_settings(folder / "recipe.toml", settings)
        record_settings(folder / "data.toml", Source(source_files(o.source)))
        if not folder.finished("iter-1/groups.jsonl"):
            _of_verdicts(o, folder) if source.is_dir() and any(source.rglob("verdicts.jsonl")) else _of_scores(
                o, folder
            )
        status = Counter(g.status for g in read_records(folder / "iter-1/groups.jsonl", Group))
        summary = {
            "recipe": "pair",
            "model": "none",
            "source": Path(o.source).name,
            "groups": sum(status.values()),
            "status": dict(sorted(status.items())),
        }
        write_atomic(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        folder.write_manifest()
    counts = ", ".join(f"{n} {name}" for name, n in sorted(status.items()))
    table = f"{summary['groups']} prompts: {counts}\ngroups: {out}/iter-1/groups.jsonl   (next: windvane train --data {out} ...)"
    print(json.dumps(summary | {"out": str(out)}) if o.json else table)
    return 0


def _of_verdicts(o: Any, folder: RunFolder) -> None:
    verdicts = iteration_with(Path(o.source), "verdicts", o.iteration)
    answers = verdicts
    if o.answers or not (verdicts / "responses.jsonl").exists():
        if not o.answers:
            raise UserError(f"{verdicts}: verdicts without the answers; name the run that they judge: --answers RUN")
        answers = Path(o.answers) / verdicts.name
    for name in ("prompts", "responses"):
        if not (answers / f"{name}.jsonl").exists():
            raise UserError(f"{answers}: no {name}.jsonl; name the run whose answers were judged: --answers RUN")
    prompts, responses = (
        read_records(answers / "prompts.jsonl", Prompt),
        read_records(answers / "responses.jsonl", Response),
    )
    found = read_records(verdicts / "verdicts.jsonl", Verdict)
    known = {(r.prompt_id, r.index) for r in responses}
    for v in found:
        if not {(v.prompt_id, v.a), (v.prompt_id, v.b)} <= known:
            raise UserError(
                f"{verdicts}/verdicts.jsonl: {v.id}: judges answers that {answers} does not hold; name the right --answers"
            )
    _copy(folder, prompts, responses)
    pairing = Pairing(o.estimate, o.choose, seed_of(o.seed, "pair"))
    run_pair(LocalRunner(folder, quiet=True), "iter-1/groups", prompts, responses, found, pairing)


def iteration_with(source: Path, name: str, wanted: int | None) -> Path:
    """The one iteration's folder of `source` that holds NAME.jsonl."""
    there = sorted(source.glob(f"iter-*/{name}.jsonl")) or sorted(source.glob(f"{name}.jsonl"))
    chosen = [p.parent for p in there if wanted is None or p.parent.name == f"iter-{wanted}"]
    if len(chosen) != 1:
        listed = ", ".join(p.parent.name.removeprefix("iter-") for p in there)
        raise UserError(f"{source}: {name}.jsonl of iterations {listed or 'none'}; name one: --iteration N")
    return chosen[0]


def _of_scores(o: Any, folder: RunFolder) -> None:
    data = read_rows(o.source, mapping(o.columns))
    if data.layout.kind not in ("pairs", "groups"):
        raise UserError(
            f"{o.source}: neither a folder with verdicts nor answers with scores or probabilities (read: "
            f"{', '.join(data.layout.columns.values())}); judge it first: windvane judge {o.source} --judge JUDGE"
        )
    prompts: list[Prompt] = []
    responses: list[Response] = []
    groups: list[Group] = []
    seen: Counter[str] = Counter()
    for row in data.rows:
        seen[row.prompt.id] += 1
        number = seen[row.prompt.id]
        key = row.prompt.id if number == 1 else f"{row.prompt.id}.{number}"
        refuse_several(row)
        if row.weights:
            raise UserError(
                f"{row.place}: turns with loss weights, which a record cannot hold; windvane train reads the file as it is"
            )
        texts = [told(turns) for turns in row.responses]
        prompts.append(Prompt(key, row.prompt.messages))
        responses += [Response(f"{key}-{i}", key, i, text, (), "stop") for i, text in enumerate(texts)]
        groups.append(grouped(key, row, texts, o.score_scale))
    _copy(folder, prompts, responses)
    write_jsonl(folder / "iter-1/groups.jsonl", sorted(groups, key=lambda g: g.id))


def _copy(folder: RunFolder, prompts: Sequence[Prompt], responses: Sequence[Response]) -> None:
    for name, rows in (("prompts", prompts), ("responses", responses)):
        write_jsonl(folder / f"iter-1/{name}.jsonl", sorted(rows, key=lambda r: r.id))


def _parser() -> Parser:
    parser = Parser("windvane pair", description="Verdicts, or scores from elsewhere, to preference groups.")
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a folder with verdicts, or a file of answers with scores or probabilities")
    add("--out", required=True, metavar="DIR", help="the folder for the groups")
    add("--answers", metavar="RUN", help="the run whose answers the verdicts judge, where they lie apart")
    add("--iteration", type=int, metavar="N", help="of a run with several")
    add(
        "--columns",
        nargs="*",
        default=[],
        metavar="ROLE=COLUMN",
        help="of a file with other names: prompt=frage scores=note",
    )
    add(
        "--estimate",
        choices=get_args(Estimate),
        default="paper",
        help="of pairwise probabilities (paper: the judge's own)",
    )
    add("--choose", choices=get_args(Choice), default="best-worst", help="which two are the pair (best-worst)")
    add("--score-scale", type=float, metavar="S", help="sigmoid((a - b)/S) of scores; left out: by their order")
    add("--seed", type=int, default=42)
    add("--json", action="store_true", help="print one JSON object")
    return parser
