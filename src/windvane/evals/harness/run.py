"""One model through lm-evaluation-harness, a task at a time: what is done is kept, the same command goes on with the rest.

In: a model's spec, tasks. Out: DIR/LABEL/TASK.json (metric, value, the harness's standard error, n, versions) and DIR/LABEL/TASK.jsonl:
one row an item with the metric's value, so that two models can be compared in pairs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.harness.suites import Task
from windvane.models.load import load_model, load_tokenizer
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder, write_atomic


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides an item's result; a resumed run must not change it. `limit`: the first so many items of each task (None: all)."""

    tasks: list[Task]
    limit: int | None
    chat_template: bool
    max_length: int | None
    seed: int
    dtype: str
    include: str | None


def find_models(specs: Sequence[str]) -> dict[str, str]:
    """label -> model. A run folder stands for its starting model and every iteration's ("start", "iter-1", ...)."""
    found: dict[str, str] = {}
    for spec in specs:
        recipe = Path(spec) / "recipe.toml"
        if recipe.is_file():
            import tomllib

            start = tomllib.loads(recipe.read_text(encoding="utf-8")).get("model")
            made = sorted(Path(spec).glob("iter-*/model"), key=lambda p: int(p.parent.name.removeprefix("iter-")))
            if not isinstance(start, str) or not made:
                raise UserError(
                    f"--model {spec}: a run folder without a finished iteration; wait for one, or name a model"
                )
            prefix = "" if len(specs) == 1 else f"{Path(spec).resolve().name}-"
            named = {f"{prefix}start": start} | {f"{prefix}{p.parent.name}": str(p) for p in made}
        else:
            named = {spec.strip("/").replace("/", "--").replace(":", "-"): spec}
        for label, model in named.items():
            if label in found:
                raise UserError(f"--model {spec}: given twice")
            found[label] = model
    return found


class Harness:
    """lm-evaluation-harness, opened once. Raises `UserError` where it is not installed or does not know a task."""

    def __init__(self, settings: Settings, device: str, batch: int) -> None:
        try:
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise UserError(f"lm-evaluation-harness: {error}; install it: pip install 'windvane[harness]'") from None
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self.settings, self.device, self.batch = settings, device, batch
        self.manager = TaskManager(include_path=settings.include)
        for task in settings.tasks:
            if task.name not in self.manager.all_tasks:
                raise UserError(
                    f"--task {task.name}: lm-evaluation-harness {version('lm_eval')} has no such task; give --include, the folder "
                    "of your task files"
                )
        self._spec: str | None = None
        self._model: Any = None

    def model(self, spec: str) -> Any:
        """The harness's wrapper of a model; one is held at a time."""
        if self._spec != spec:
            from lm_eval.models.huggingface import HFLM

            self._model = None
            s = self.settings
            model = load_model(spec, s.dtype, self.device)
            self._model = HFLM(
                pretrained=model,
                tokenizer=load_tokenizer(spec),
                batch_size=self.batch,
                max_length=s.max_length,
                device=str(model.device),
            )
            self._spec = spec
        return self._model

    def score(self, spec: str, task: Task) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """(the task's figures, one row an item)."""
        from lm_eval import simple_evaluate

        s = self.settings
        try:
            found = simple_evaluate(
                self.model(spec),
                tasks=[task.name],
                num_fewshot=task.shots,
                limit=s.limit,
                apply_chat_template=s.chat_template,
                task_manager=self.manager,
                random_seed=s.seed,
                numpy_random_seed=s.seed,
                torch_random_seed=s.seed,
                fewshot_random_seed=s.seed,
                bootstrap_iters=1000,
            )
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())
            raise UserError(f"task {task.name}: lm-evaluation-harness could not run it ({text[:300]})") from None
        assert found is not None, "one process answers"
        figures = found["results"][task.name]
        if task.metric not in figures:
            there = [k for k in figures if "," in k and "_stderr" not in k]
            raise UserError(f"task {task.name}: has no metric {task.metric}; there are: {', '.join(there)}")
        metric, _, kind = task.metric.partition(",")
        rows = [
            {"id": f"{name}-{row['doc_id']}", "value": float(row[metric])}
            for name, samples in sorted(found["samples"].items())
            for row in samples
            if row.get("filter", kind) == kind and metric in row
        ]
        deviation = figures.get(f"{metric}_stderr,{kind}")
        result = {
            **asdict(task),
            "value": float(figures[task.metric]),
            "standard_error": deviation if isinstance(deviation, float) else None,
            "n": len(rows),
            "lm_eval": version("lm_eval"),
            "versions": dict(sorted(found["versions"].items())),
        }
        return result, rows


def run(
    folder: RunFolder, models: Mapping[str, str], settings: Settings, device: str, batch: int
) -> dict[str, dict[str, Any]]:
    """label -> task -> figures, for all `models` (label -> spec) and tasks; finished ones are read. A model may be added later: a run's
    next iteration."""
    record_settings(folder / "harness.toml", settings)
    harness: Harness | None = None
    found: dict[str, dict[str, Any]] = {}
    for label, spec in models.items():
        found[label] = {}
        for task in settings.tasks:
            kept = folder / f"{label}/{task.name}.json"
            if not kept.exists():
                harness = harness or Harness(settings, device, batch)
                figures, rows = harness.score(spec, task)
                result = {"model": spec, **figures}
                kept.parent.mkdir(exist_ok=True)
                write_atomic(kept.with_suffix(".jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
                write_atomic(kept, json.dumps(result, indent=1) + "\n")
            figures = json.loads(kept.read_text(encoding="utf-8"))
            if figures["model"] != spec:
                raise UserError(f"{kept}: is of {figures['model']}, not of {spec}; use another --out")
            found[label][task.name] = figures
    return found
