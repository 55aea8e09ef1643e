"""`windvane data rubrics`: a bench in the layout of Multifaceted-Bench out of answers and their values: a rubric for each value.

    windvane data rubrics --samples RUN/sets/sft-test.jsonl --writer BACKEND --out DIR

In: rows of the published SFT layout, whose answers become the references; who writes the rubrics. Out: DIR/bench.jsonl for `windvane eval
multifaceted --bench`, DIR/rubrics.jsonl with every reply that was rejected and why, DIR/summary.json. An instance with a value whose
rubric could not be read is left out and counted. The words are our own (`prompts/value_rubrics`); a bench that is to be trusted has to be
checked by people, as the paper's was.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Prompt, content_id
from windvane.engines.http.budget import ExpectedCall, estimate
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.writer import Said, Writer
from windvane.janus.collection_rows import Sample, read_samples
from windvane.janus.value_rubrics import read_rubric, rubric_maker_messages
from windvane.judges.rubric_rows import Rubric
from windvane.plan.time import writer_estimate
from windvane.runs.launch import launch
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import record_settings, resolved, use_threads
from windvane.runs.store import RunFolder, read_jsonl, write_atomic, write_jsonl

STAGE = "rubrics"


@dataclass(frozen=True, slots=True)
class RubricMaker:
    """Every setting."""

    samples: str  # SFT layout: JSONL, JSON, Parquet, a data set's folder or hub id
    writer: str  # MODEL, http://HOST:PORT/v1#MODEL, scripted:FILE or py:module:object; the paper's was GPT-4-Turbo
    split: str | None = None
    attempts: int = 3
    temperature: float = 1.0
    top_p: float = 1.0
    tokens: int = 800  # the longest reply
    seed: int = 42
    batch: int = 16  # instances a unit of work
    server: Server = field(default_factory=Server)  # may change between resumes
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = None  # CPU threads; None: what PyTorch takes here

    def __post_init__(self) -> None:
        for name in ("attempts", "tokens", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)}; must be at least 1")


def run(settings: RubricMaker, out: str, quiet: bool = False) -> None:
    """Resumable: a unit is a batch of instances."""
    s = resolved(settings, out)
    with RunFolder(out) as folder:
        samples = {content_id([x.system, x.prompt]): x for x in read_samples(s.samples, s.split)}
        if not samples:
            raise UserError(
                f"{s.samples}: no rows; a bench is made of rows with preference_set, system, prompt, output"
            )
        record_settings(folder / "recipe.toml", replace(s, server=Server()))
        use_threads(s)
        if not folder.finished(f"{STAGE}.jsonl"):
            calls = [
                ExpectedCall(rubric_maker_messages(v), s.tokens) for x in samples.values() for v in x.preference_set
            ]
            more = f"; {s.attempts} times that at worst" if s.attempts > 1 else ""
            print(f"windvane: the writer {s.writer}: {estimate(s.server, calls).told(s.server)}{more}", file=sys.stderr)
            writer = Writer(s.writer, s.device, s.dtype, s.server, folder / "calls.jsonl")
            if not quiet:
                room = writer_estimate(writer, estimate(s.server, calls), s.batch, folder.path)
                folder.tell(f"the writer {s.writer}: {room}")
            make_rubrics(LocalRunner(folder, quiet), s, samples, writer)
        summary = write_bench(folder, s, samples)
    print(f"{summary['instances']} of {summary['samples']} instances: {out}/bench.jsonl")


def make_rubrics(runner: LocalRunner, s: RubricMaker, samples: dict[str, Sample], writer: Writer) -> None:
    """Rows {id, rubrics (in the order of the values) or None, reason, rejected}."""
    sampling = Sampling(1, s.temperature, s.top_p, s.tokens)

    def read(key: str, said: Said) -> tuple[Rubric | None, str | None]:
        return read_rubric(said.text or "")

    def work(batch: Sequence[str]) -> Iterable[dict[str, Any]]:
        asked = [
            (f"{key}-{n}", Prompt.of(rubric_maker_messages(value)))
            for key in batch
            for n, value in enumerate(samples[key].preference_set)
        ]
        told = writer.write(asked, read, sampling, s.attempts, s.seed)
        for key in batch:
            replies = [told[f"{key}-{n}"] for n in range(len(samples[key].preference_set))]
            lost = next((n for n, r in enumerate(replies) if r.value is None), None)
            yield {
                "id": key,
                "rubrics": [json.loads(r.value.text) for r in replies if r.value is not None] if lost is None else None,
                "reason": None if lost is None else f"no rubric for '{samples[key].preference_set[lost].preference}'",
                "rejected": [{"value": n, **r} for n, reply in enumerate(replies) for r in reply.rejected],
            }

    keys = sorted(samples)
    parts = [keys[i : i + s.batch] for i in range(0, len(keys), s.batch)]
    try:
        runner.run(STAGE, [(f"{n:06d}-{content_id(part)}", part) for n, part in enumerate(parts)], work)
    finally:
        writer.close()


def write_bench(folder: RunFolder, s: RubricMaker, samples: dict[str, Sample]) -> dict[str, Any]:
    """bench.jsonl in the published layout; the summary."""
    rows, lost, rejected = [], Counter[str](), Counter[str]()
    for _, row in read_jsonl(folder / f"{STAGE}.jsonl"):
        rejected.update(r["reason"].partition(":")[0] for r in row["rejected"])
        if row["rubrics"] is None:
            lost["a value without a rubric"] += 1
            continue
        x = samples[row["id"]]
        head = {"id": row["id"], "source": x.main_source or "made", "system": x.system, "prompt": x.prompt}
        rows.append({**head, "reference_answer": x.output, "rubrics": row["rubrics"]})
    write_jsonl(folder / "bench.jsonl", rows)
    summary = {
        "rubric_maker": s.writer,
        "samples": len(samples),
        "instances": len(rows),
        "left_out": dict(lost),
        "rejected": dict(rejected),
    }
    write_atomic(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    folder.write_manifest()
    return summary


def main(argv: Sequence[str]) -> int:
    """`windvane data rubrics --samples FILE --writer BACKEND --out DIR`."""
    return launch(RubricMaker, run, argv, "windvane data rubrics", __doc__)
