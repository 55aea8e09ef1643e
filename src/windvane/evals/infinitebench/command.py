"""InfiniteBench: score given predictions, ours or anyone's, or have a model make them first.

In: a file of predictions and a task, or a folder of them (preds_TASK.jsonl, as the release leaves them, or TASK.jsonl, as ours); or a
model and a task, generated or read from the published file. Out: one result: the score in
percent, its standard error and 95% interval, how many rows there were and how many were left out and why. With a second file: the
paired difference over the rows that both have. A model's rows are written to OUT/infinitebench/TASK.jsonl (`id`, `prediction`,
`ground_truth`, ...), so that anyone can score them again; the result to OUT/result.json and OUT/plot.svg, task by task, which a run's
report shows where OUT is RUN/evaluations/NAME.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import encode
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.evals.infinitebench.files import Row, read_predictions, same_questions
from windvane.evals.infinitebench.generate import SIZES
from windvane.evals.infinitebench.plot import bars
from windvane.evals.infinitebench.score import FIRST_RELEASE, SCORERS, correct_prefix
from windvane.evals.infinitebench.tasks import TASKS, read_task_file
from windvane.evals.result_files import default_folder, kept_result
from windvane.runs.store import RunFolder, write_atomic
from windvane.stats.clustered import interval
from windvane.stats.paired import paired_difference

PROG = "windvane eval infinitebench"
PUBLISHED_SIZES = ", ".join(f"{task} {size}" for task, size in SIZES.items())


def row_scores(rows: Sequence[Row], task: str, skip_first: bool = False) -> list[float]:
    """Each row's score in [0, 1]. `skip_first`: see `correct_prefix` (Math.Calc alone)."""
    if task == "math_calc":
        return [correct_prefix(r.prediction, r.label, skip_first) for r in rows]
    return [SCORERS[task](r.prediction, r.label) for r in rows]


def score_file(
    path: Path, task: str, skip_first: bool = False, clusters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The result of one prediction file; `clusters`: row id -> document, from the task's published file."""
    loaded = read_predictions(path, task)
    scores = row_scores(loaded.rows, task, skip_first)
    mean = interval(scores, [(clusters or {}).get(r.id, r.cluster) for r in loaded.rows])
    result: dict[str, Any] = {
        "task": task,
        "score": 100 * mean.mean,
        "n": mean.n,
        "standard_error": None if mean.standard_error is None else 100 * mean.standard_error,
        "low": 100 * mean.low,
        "high": 100 * mean.high,
        "clusters": mean.clusters,
        "unreadable": sum(loaded.left_out.values()),
        "left_out": loaded.left_out,
        "duplicate_ids": loaded.duplicates,
        "empty_predictions": sum(not r.prediction.strip() for r in loaded.rows),
        "published_rows": TASKS[task].rows,
    }
    if task in FIRST_RELEASE:
        old = [FIRST_RELEASE[task](r.prediction, r.label) for r in loaded.rows]
        result["score_by_first_release_rules"] = 100 * sum(old) / len(old)
    return result


def compare_files(
    path: Path, other: Path, task: str, skip_first: bool = False, clusters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The paired difference (first minus second, in points) over the questions that both files have; the rest is `unpaired`."""
    ours, theirs = (read_predictions(file, task).rows for file in (path, other))
    pairs, by_label = same_questions(ours, theirs)
    if not pairs:
        raise UserError(f"{other}: no question of {path} (none has the same label); another release, or another task?")
    first = row_scores([a for a, _ in pairs], task, skip_first)
    second = row_scores([b for _, b in pairs], task, skip_first)
    gap = paired_difference(first, second, [(clusters or {}).get(a.id, a.cluster) for a, _ in pairs])
    points = {k: None if v is None else 100 * v for k, v in encode(gap).items() if k not in ("n", "clusters")}
    counts = {"n": gap.n, "clusters": gap.clusters, "paired_by_label": by_label}
    name = other.name if path.name != other.name else f"{other.parent.name}/{other.name}"  # one name in two folders
    return {"against": name, **points, **counts, "unpaired": len(ours) + len(theirs) - 2 * gap.n}


def _line(result: dict[str, Any]) -> str:
    """One line for people."""
    title = TASKS[result["task"]].title
    text = f"{title} ({result['task']}): {result['score']:.2f}% [{result['low']:.2f}, {result['high']:.2f}], {result['n']} rows"
    if result["n"] != result["published_rows"]:
        text += f" (the published file has {result['published_rows']})"
    if result["unreadable"]:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in result["left_out"].items())
        text += f"; {result['unreadable']} left out ({reasons})"
    if result["duplicate_ids"]:
        text += f"; {result['duplicate_ids']} ids for the second time: two models' rows?"
    if "comparison" in result:
        gap = result["comparison"]
        text += f"; minus {gap['against']}: {gap['mean']:+.2f} [{gap['low']:+.2f}, {gap['high']:+.2f}] over {gap['n']}"
        text += "" if gap["mde"] is None else f", smallest detectable {gap['mde']:.2f}"
        text += f" ({gap['unpaired']} rows unpaired)" if gap["unpaired"] else ""
    return text + (f"; not compared: {result['not_compared']}" if "not_compared" in result else "")


def parser() -> Parser:
    p = Parser(PROG, description="Score InfiniteBench predictions, or make a model's and score them.")
    p.add_argument(
        "file", nargs="?", type=Path, metavar="PREDS.jsonl", help="predictions to score, or a folder of them"
    )
    p.add_argument(
        "--task",
        required=True,
        help=f"one of {', '.join(TASKS)} (with --model or a folder: several with commas, or all)",
    )
    p.add_argument("--against", type=Path, help="a second model's predictions: adds the paired difference")
    p.add_argument(
        "--data", type=Path, help="the task's published file: what --model is asked; groups rows by document"
    )
    p.add_argument("--skip-first", action="store_true", help="math_calc: drop each answer's first number (GPT-4's row)")
    p.add_argument("--model", help="generate with this model instead (a path, a hub id or a backend's name)")
    p.add_argument("--tokenizer", help="whose tokens count, where the model is behind a server")
    p.add_argument(
        "--out",
        type=Path,
        help="folder for result.json, plot.svg and with --model the rows (the same command resumes); tasks add up; with --model "
        "evaluations/infinitebench/MODEL where it is not given",
    )
    p.add_argument("--samples", type=int, help="with --model: how many examples (default: as many as published)")
    p.add_argument(
        "--size", type=int, help=f"with --model: size of generated contexts (as published: {PUBLISHED_SIZES})"
    )
    p.add_argument(
        "--length", default="128k", help="with --model: tokens, answer included; longer prompts lose their middle"
    )
    p.add_argument(
        "--style", choices=("chat", "completion"), default="chat", help="the GPT-4 or the YaRN-Mistral wording"
    )
    p.add_argument("--max-new-tokens", type=int, help="with --model: answer budget (default: the published one)")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--batch", type=int, default=1, help="with --model: prompts a batch")
    p.add_argument("--device", default="auto")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--json", action="store_true", help="print one JSON object (several tasks: under `tasks`)")
    add_server_flags(p, "a model behind a server")
    return p


def main(argv: Sequence[str]) -> int:
    """`windvane eval infinitebench`."""
    a = parser().parse_args(list(argv))
    tasks = [t.strip() for t in a.task.split(",") if t.strip()]
    if a.task == "all":  # of a model: those that need no file
        tasks = [name for name, task in TASKS.items() if task.synthetic or not a.model]
    for task in tasks:
        if task not in TASKS:
            raise UserError(f"--task {task}: no such task; there are {', '.join(TASKS)}, or all")
    if (a.file is None) == (a.model is None):
        raise UserError("give either a file of predictions or --model")
    for name in ("samples", "size", "max_new_tokens", "batch"):
        if getattr(a, name) is not None and getattr(a, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(a, name)}: must be at least 1")
    given = _files(a.file, tasks, a.task == "all") if a.file else {}
    if a.file and len(tasks) > 1 and not a.file.is_dir():
        raise UserError(f"{a.file}: one file holds one task's predictions; name it with --task, or give the folder")
    if len(tasks) > 1 and a.data:
        raise UserError("--data: one task's published file; name that task")
    if a.model and len(tasks) > 1 and a.against:
        raise UserError("--against: one task's predictions; name that task")
    others = _files(a.against, list(given) or tasks, len(given) > 1) if a.against else {}
    if a.model and a.out is None:
        a.out = default_folder("infinitebench", a.model)
    if a.out:
        kept_result(a.out, "infinitebench")
    files = given or _generate(a, tasks)
    clusters = {e.id: e.cluster for e in read_task_file(a.data, tasks[0])} if a.data else None
    results = []
    for task, path in files.items():
        result = score_file(path, task, a.skip_first, clusters)
        if a.against and len(files) == 1:
            result["comparison"] = compare_files(path, others[task], task, a.skip_first, clusters)
        elif a.against:
            try:
                result["comparison"] = compare_files(path, _there(others, task), task, a.skip_first, clusters)
            except UserError as error:  # one task of many: the others are compared all the same
                result["not_compared"] = str(error)
        results.append(result)
    if a.out:
        _keep(a.out, results, a.model or a.file.name)
    if a.json:
        whose = a.model or a.file.name
        print(json.dumps(results[0] if len(tasks) == 1 else _together(results, whose), ensure_ascii=False))
    else:
        print("\n".join(map(_line, results)))
    return 0


def _files(path: Path, tasks: Sequence[str], those_there: bool) -> dict[str, Path]:
    """Each task's file; of a folder `those_there` alone, or every one (`UserError` where it is missing)."""
    if not path.is_dir():
        return {tasks[0]: path}
    found: dict[str, Path] = {}
    for task in tasks:
        names = [path / f"preds_{task}.jsonl", path / f"{task}.jsonl", path / "infinitebench" / f"{task}.jsonl"]
        there = next((name for name in names if name.is_file()), None)
        if there is not None:
            found[task] = there
        elif not those_there:
            raise UserError(f"{path}: has no preds_{task}.jsonl; name a task that is there, or --task all")
    if not found:
        raise UserError(f"{path}: has no preds_TASK.jsonl; give a folder of predictions, or one file")
    return found


def _there(files: Mapping[str, Path], task: str) -> Path:
    if task not in files:
        raise UserError(f"the other folder has no preds_{task}.jsonl")
    return files[task]


def _keep(out: Path, results: Sequence[Mapping[str, Any]], whose: str) -> None:
    """OUT/result.json and plot.svg; tasks of the same model, or of other files, that were scored there before stay."""
    before = kept_result(out, "infinitebench") or {}
    there = [row for row in before.get("tasks", []) if row.get("task") in TASKS]
    kept = _together([*there, *results], whose)
    owners = kept["of"]
    write_atomic(out / "result.json", json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    title = f"InfiniteBench, {owners[0][:50]}" if len(owners) == 1 else "InfiniteBench"
    write_atomic(out / "plot.svg", bars(kept["tasks"], title))


def _together(results: Sequence[Mapping[str, Any]], whose: str) -> dict[str, Any]:
    """Several tasks as one object, in the published order; of a task's results the last. `mean` is over the tasks that are there."""
    tasks = {row["task"]: {"task": row["task"], "of": whose, **row} for row in results}
    ordered = [tasks[task] for task in TASKS if task in tasks]
    mean = sum(row["score"] for row in ordered) / len(ordered)
    return {"name": "infinitebench", "of": sorted({row["of"] for row in ordered}), "mean": mean, "tasks": ordered}


def _generate(a: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Path]:
    from windvane.evals.infinitebench.run import Sizes, run_task  # torch: only where a model is asked
    from windvane.evals.ruler.models import Models

    models = Models(a.model, a.tokenizer, a.device, a.dtype, server_of(a), a.out / "calls.jsonl")
    with RunFolder(a.out) as run:
        sizes = Sizes(a.samples, a.size, a.length, a.style, a.max_new_tokens, a.seed, max(a.batch, models.at_once))
        return {task: run_task(run, models, task, sizes, a.data) for task in tasks}
