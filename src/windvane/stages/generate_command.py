"""`windvane generate FILE --model M --out DIR`: K answers of any model to anybody's prompts.

    windvane generate prompts.csv --model M --out ANSWERS --k 4
    windvane generate chats.jsonl --model http://127.0.0.1:8000/v1#MODEL --out ANSWERS --max-new-tokens 512

In: prompts (JSONL, JSON, CSV, TSV, Parquet, a data set's folder or hub id; text or chats). Out: DIR/iter-1/prompts.jsonl and
responses.jsonl, the records that `judge`, `pair` and `train` read, refused.jsonl with each prompt that does not fit, manifest.json. A
unit is a fixed batch of prompts; the same command goes on where it was killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.records import Prompt, Response, seed_of
from windvane.datasets.columns import mapping
from windvane.datasets.prompts import read_prompts
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.engines.local import LocalGenerator, Sampling, stop_ids, window
from windvane.engines.names import GENERATORS, SERVERS, resolve_generator
from windvane.plan.disk import disk_told
from windvane.plan.time import answer_bytes, sampling_estimate
from windvane.prompts.chat import Refused, screen
from windvane.prompts.template_checks import findings, refuse, set_thinking
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings
from windvane.runs.store import RunFolder, read_records, write_atomic, write_jsonl
from windvane.stages.generate import run_generate
from windvane.stages.source_files import Source, source_files


@dataclass(frozen=True, slots=True)
class Generation:
    """What must be the same when the command is given again."""

    prompts: str
    model: str
    k: int
    temperature: float
    top_p: float
    max_new_tokens: int
    prompt_column: str | None
    columns: tuple[str, ...]
    split: str | None
    system: str
    thinking: str
    refused: str
    batch_prompts: int
    seed: int
    dtype: str


def main(argv: Sequence[str]) -> int:
    """Answer every prompt, then say how many there are and where."""
    o = _parser().parse_args(list(argv))
    if o.batch_prompts < 1:
        raise UserError(f"--batch-prompts {o.batch_prompts}: must be at least 1")
    sampling = Sampling(o.k, o.temperature, o.top_p, o.max_new_tokens)
    settings = Generation(
        o.prompts, o.model, o.k, o.temperature, o.top_p, o.max_new_tokens, o.prompt_column, tuple(o.columns), o.split,
        o.system, o.thinking, o.refused,
        o.batch_prompts, o.seed, o.dtype,
    )  # fmt: skip
    out = Path(o.out)
    with RunFolder(out) as folder:
        if not folder.finished("iter-1/prompts.jsonl"):  # nothing was made yet: a failed start binds nobody
            discard_settings(folder, settings)
        record_settings(folder / "recipe.toml", settings)
        record_settings(folder / "data.toml", Source(source_files(o.prompts)))
        if not folder.finished("iter-1/responses.jsonl"):
            spec = generator_spec(o.model)
            calls = out / "calls-generate.jsonl"
            generator = resolve_generator(spec, sampling, o.device, o.dtype, server=server_of(o), calls=calls)
            prompts = _prompts(folder, o, generator)
            if not o.quiet or hasattr(generator, "estimate"):  # what a server will be asked for is said however quiet
                print(f"windvane: {_foretold(generator, prompts, sampling, o)}", file=sys.stderr)
            seed = seed_of(o.seed, "generate", 1)
            run_generate(
                LocalRunner(folder, o.quiet), "iter-1/responses", generator, prompts, range(o.k), seed, o.batch_prompts
            )
        summary = _summary(folder, o)
        write_atomic(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        folder.write_manifest()
    print(json.dumps(summary | {"out": str(out)}) if o.json else _told(summary, out))
    return 0


def _foretold(generator: Any, prompts: Sequence[Prompt], sampling: Sampling, o: Any) -> str:
    """What it will take: time and disk of a model in this process, calls and disk of a server's, disk of any other's."""
    if isinstance(generator, LocalGenerator):
        return sampling_estimate(generator.model, prompts, sampling, o.batch_prompts, Path(o.out))
    disk = disk_told(answer_bytes(len(prompts), sampling), Path(o.out), "use another --out or fewer prompts")
    if not hasattr(generator, "estimate"):
        return disk
    return f"{generator.estimate(prompts, range(o.k), o.seed).told(server_of(o))}. {disk}"


def generator_spec(model: str) -> str:
    """A generator's name as it is; anything else is a model's folder or hub id."""
    kind = model.partition(":")[0]
    return model if kind in (*GENERATORS, *SERVERS) or is_family(model) else f"local:{model}"


def _prompts(folder: RunFolder, o: Any, generator: Any) -> list[Prompt]:
    """The prompts, rendered by the model's template where it is one of this process; kept, with the refused."""
    if folder.finished("iter-1/prompts.jsonl"):
        if isinstance(generator, LocalGenerator) and o.thinking != "template":
            set_thinking(generator.tokenizer, o.thinking == "on")
        return read_records(folder / "iter-1/prompts.jsonl", Prompt)
    found = read_prompts(o.prompts, o.prompt_column, o.split, mapping(o.columns))
    if found.duplicates:
        print(
            f"windvane: {o.prompts}: {found.duplicates} of {found.rows} rows repeat a prompt and were merged",
            file=sys.stderr,
        )
    if found.unread and not o.quiet:
        print(f"windvane: {o.prompts}: columns that are not read: {', '.join(found.unread)}", file=sys.stderr)
    prompts, refused = found.prompts, list[Refused]()
    if isinstance(generator, LocalGenerator):
        tokenizer = generator.tokenizer
        if o.thinking != "template":
            set_thinking(tokenizer, o.thinking == "on")
        told = findings(tokenizer, stop_ids(generator.model, tokenizer))
        refuse(told)
        for finding in told:
            if finding.level == "note" and not o.quiet:
                print(f"windvane: {o.model}: {finding.check}: {finding.line}", file=sys.stderr)
        limit = window(generator.model) or sys.maxsize
        prompts, refused = screen(prompts, tokenizer, limit, o.max_new_tokens, o.system, "--max-new-tokens")
    elif o.thinking != "template":
        raise UserError(
            f"--thinking {o.thinking}: is the template's, of a model in this process; {o.model} has its own"
        )
    if refused and o.refused == "stop":
        raise UserError(
            f"{o.prompts}: {refused[0].reason} ({len(refused)} of {len(found.prompts)} prompts do not fit); shorten or remove it, lower "
            "--max-new-tokens, or give --refused leave-out"
        )
    if not prompts:
        raise UserError(f"{o.prompts}: no prompt fits; the first: {refused[0].reason}")
    write_jsonl(folder / "iter-1/refused.jsonl", refused)
    ordered = sorted(prompts, key=lambda p: p.id)
    write_jsonl(folder / "iter-1/prompts.jsonl", ordered)
    return ordered


def _summary(folder: RunFolder, o: Any) -> dict[str, Any]:
    prompts = read_records(folder / "iter-1/prompts.jsonl", Prompt)
    answers = read_records(folder / "iter-1/responses.jsonl", Response)
    lengths = [len(a.token_ids) for a in answers if a.token_ids]
    return {
        "recipe": "generate",
        "model": o.model,
        "prompts": len(prompts),
        "refused": sum(1 for line in (folder / "iter-1/refused.jsonl").read_text("utf-8").splitlines() if line),
        "answers": len(answers),
        "missing": len(prompts) * o.k - len(answers),
        "cut": sum(a.finish == "length" for a in answers),
        "mean_length": sum(lengths) / len(lengths) if lengths else None,
    }


def _told(s: dict[str, Any], out: Path) -> str:
    length = (
        "" if s["mean_length"] is None else f", {s['mean_length']:.1f} tokens on average, {s['cut']} cut at the limit"
    )
    lines = [f"{s['answers']} answers to {s['prompts']} prompts{length}"]
    if s["refused"]:
        lines.append(f"{s['refused']} prompts were refused: {out}/iter-1/refused.jsonl")
    if s["missing"]:
        lines.append(f"{s['missing']} answers could not be had; {out}/calls-generate.journal says why")
    lines.append(f"answers: {out}/iter-1/responses.jsonl   (next: windvane judge {out} --judge JUDGE)")
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser("windvane generate", description="K answers of any model to anybody's prompts.")
    add = parser.add_argument
    add(
        "prompts",
        metavar="FILE",
        help="prompts: JSONL, JSON, CSV, TSV, Parquet, a data set's folder or hub id; text or chats",
    )
    add(
        "--model",
        required=True,
        metavar="M",
        help="a folder or hub id, toy:FAMILY, http://HOST:PORT/v1#MODEL, py:module:object, ...",
    )
    add("--out", required=True, metavar="DIR", help="the folder; the same command goes on with what is there")
    add("--k", type=int, default=1, metavar="N", help="answers a prompt (1)")
    add("--temperature", type=float, default=1.0, metavar="T", help="0 is greedy (1.0)")
    add("--top-p", type=float, default=1.0, metavar="P", help="1 is the whole vocabulary (1.0)")
    add("--max-new-tokens", type=int, default=1024, metavar="N", help="the longest answer (1024)")
    add("--prompt-column", metavar="NAME", help="of a table with several columns")
    add(
        "--columns",
        nargs="*",
        default=[],
        metavar="ROLE=COLUMN",
        help="where names are not usual: prompt=frage history=verlauf",
    )
    add("--split", metavar="NAME", help="of a data set with several")
    add(
        "--system",
        choices=["template", "merge"],
        default="template",
        help="merge: the system message goes into the first user turn",
    )
    add("--thinking", choices=["template", "on", "off"], default="template", help="sets the template's enable_thinking")
    add(
        "--refused",
        choices=["stop", "leave-out"],
        default="stop",
        help="prompts that do not fit the model's window (stop)",
    )
    add("--batch-prompts", type=int, default=8, metavar="N", help="prompts kept at a time (8)")
    add("--seed", type=int, default=42)
    add("--dtype", choices=["float32", "bfloat16"], default="float32")
    add("--device", default="auto")
    add("--json", action="store_true", help="print one JSON object")
    add("--quiet", action="store_true", help="no progress bars")
    add_server_flags(parser, "a model behind a server")
    return parser
