"""Files of RULER answers, ours or the release's: read what can be read, count the rest.

In: a JSONL file, or a folder of them (the release writes one file a task, named after it). Out: `Row`s and what was left out, by reason.
Field names: ours (`task`, `length`, `references`, `prediction`, ...) and the release's (`outputs`, `pred`, `max_length`; the task from the
file's name, without the number of a part; the length from the folder's or `--length`). A prediction that is null is an empty answer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.prediction_rows import read_lines
from windvane.evals.ruler.score import Row
from windvane.evals.ruler.tasks import TASKS

REFERENCES = ("references", "outputs", "answers", "ground_truth", "label")
PREDICTIONS = ("prediction", "pred", "response", "output")
LENGTHS = ("length_target", "max_length", "length")


def read_rows(path: Path, length: int | None = None) -> tuple[list[Row], dict[str, int], int]:
    """(rows, reason -> rows left out, duplicate ids). `length`: the target length of rows that do not say.

    Raises `UserError` where nothing can be scored or where one file holds two models' rows.
    """
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    rows, left_out, models = read_lines(files, lambda value, file, number: _parse(value, file, number, length))
    if len(models) > 1:
        raise UserError(f"{path}: rows of {len(models)} models: {', '.join(sorted(models)[:3])}; give one model's rows")
    if not rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "it is empty"
        raise UserError(f"{path}: no row to score ({reasons}); a row needs task, length, references and prediction")
    return rows, dict(left_out), len(rows) - len({r.id for r in rows})


def _parse(value: Any, file: Path, number: int, length: int | None) -> Row | str:
    if not isinstance(value, dict):
        return "no JSON object"
    task = value.get("task", re.sub(r"-\d+$", "", file.stem))
    if not isinstance(task, str) or task not in TASKS:
        return "no known task"
    prediction = next((value[k] for k in PREDICTIONS if k in value), value)
    if prediction is value:
        return "no prediction"
    references = next((value[k] for k in REFERENCES if value.get(k)), None)
    references = [references] if isinstance(references, (str, int)) else references
    if not isinstance(references, list) or not all(isinstance(r, (str, int)) and str(r) for r in references):
        return "no references"
    # The release's `length` is what the sample came to, not the target: the folder's name (.../4096/...) or --length says that.
    ours = "length" in value and "tokens" in value
    given = next((value[k] for k in LENGTHS if k in value and (ours or k != "length")), None)
    folder = next((p for p in reversed(file.parts[:-1]) if p.isdigit()), None)
    target = given or length or (int(folder) if folder else value.get("length"))
    if not isinstance(target, int) or isinstance(target, bool):
        return "no length"
    depths = [_depth(d) for d in value["depths"]] if isinstance(value.get("depths"), list) else []
    index = value.get("index", number)
    row_id = str(value["id"]) if "id" in value else f"{task}-{target:08d}-{str(index).zfill(5)}"
    return Row(
        id=row_id,
        task=task,
        length=target,
        references=tuple(str(r) for r in references),
        prediction="" if prediction is None else str(prediction),
        depths=tuple(depths) if len(depths) == len(references) else (None,) * len(references),
        cluster=str(value.get("cluster") or row_id),
        stand_in=bool(value.get("stand_in", False)),
        source=str(value.get("source", "")),
    )


def _depth(value: Any) -> float | None:
    """A place in the context, 0 to 1; what is none is nowhere in particular."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= 1 else None
