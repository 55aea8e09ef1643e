"""Prediction files of InfiniteBench, ours or anyone's: read what can be read, count the rest.

In: a JSONL file. Out: `Row`s and what was left out, by reason. Files in the wild name the fields differently, mix names, carry a broken
line: a line that is no JSON object, or has no prediction or no usable label, is left out and counted; a prediction that is null is an
empty answer and scores 0. Two models' rows in one file are refused, because one mean over both would be nobody's score.

Names come in pairs, the writer's own: a row with `pred` is scored against its `label` and only without one against `ground_truth`; a
row with `prediction` the other way round. (YaRN-Mistral's En.Sum file has both, differing in 17 rows; the published 9.09 follows from
`label`.)
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.prediction_rows import read_lines

LABELS = (
    "ground_truth", "label", "labels", "references", "reference", "answers", "answer", "target", "ground_truths", "gold", "gt",
)  # fmt: skip
PREDICTIONS = (
    "prediction", "pred", "predict", "output", "response", "generated_text", "completion", "generation", "model_output",
    "model_response", "predicted_answer", "pred_answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction. `cluster`: what its question shares with others (a document), by default nothing."""

    id: str
    prediction: str
    label: Any
    cluster: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows in file order; `left_out`: reason -> number of rows; `duplicates`: rows whose id was seen before (they are scored)."""

    rows: list[Row]
    left_out: dict[str, int]
    duplicates: int


def _number(value: Any, kind: Callable[[Any], float] = float) -> bool:
    """Whether `value` is a finite number, and with `kind` int a whole one."""
    try:
        return not isinstance(value, bool) and math.isfinite(float(value)) and kind(value) == float(value)
    except (TypeError, ValueError, OverflowError):
        return False


def usable_label(task: str, label: Any) -> bool:
    """Whether the task's scorer can score against `label`."""
    inner = label if isinstance(label, list) else [label]
    if not inner or any(part is None or part == "" for part in inner):
        return False
    if task == "code_debug":
        return len(inner) >= 2
    if task in ("passkey", "number_string"):
        return str(inner[0]).isdecimal()  # anything else is another task's file, and would score 0 without a word
    if task == "math_find":
        return _number(inner[0])
    if task == "code_run":
        return _number(inner[0], int)
    if task == "math_calc":
        nested = inner[0] if isinstance(inner[0], list) else inner
        return bool(nested) and all(_number(v, int) for v in nested)
    return all(isinstance(part, (str, int, float)) for part in inner)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parse(task: str, value: Any, line: int) -> Row | str:
    """The row, or why there is none."""
    if not isinstance(value, dict):
        return "no JSON object"
    named = [k for k in PREDICTIONS if k in value]
    if not named:
        return "no prediction"
    # Tables of mixed rows fill the names that a row lacks with null: a name that holds text goes first.
    said = next((k for k in named if isinstance(value[k], str)), named[0])
    order = ("label", *LABELS) if said == "pred" else LABELS
    label = next((value[k] for k in order if value.get(k) is not None), None)
    if not usable_label(task, label):
        return "no usable label"
    told = (value[k] for k in ("id", "index") if value.get(k) is not None)
    row_id = str(next(told, line - 1))  # published ids count from 0
    return Row(row_id, _text(value[said]), label, str(value.get("cluster", row_id)))


def read_predictions(path: Path, task: str) -> Loaded:
    """Raises `UserError` where the file cannot be read, holds rows of two models, or has no row to score."""
    first: list[str] = []

    def parse(value: Any, _: Path, number: int) -> Row | str:
        if not first and isinstance(value, dict):
            first.extend(list(map(str, value))[:8])
        return _parse(task, value, number)

    rows, left_out, models = read_lines([path], parse)
    if len(models) > 1:
        found = ", ".join(f"{name} ({count} rows)" for name, count in models.most_common(3))
        raise UserError(f"{path}: rows of {len(models)} models in one file: {found}; split it into one file a model")
    if not rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "it is empty"
        keys = f"; the keys of the first row: {', '.join(first)}" if first else ""
        raise UserError(
            f"{path}: no row that {task} can score ({reasons}{keys}); a row needs prediction and ground_truth"
        )
    return Loaded(rows, dict(left_out), len(rows) - len({r.id for r in rows}))


def same_questions(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[tuple[Row, Row]], int]:
    """(pairs of rows that answer one question, how many of them only the label joins).

    An id alone does not name a question: the published files of one task come from releases with other orders (ChatGLM3's books), other
    keys (Retrieve.KV) or ids that count from 1. So the same id with the same label; else a label that stands once in each file.
    """
    first, second = (Counter(_label_key(r) for r in rows) for rows in (ours, theirs))
    by_id = {(r.id, _label_key(r)): r for r in theirs}
    once = {_label_key(r): r for r in theirs if second[_label_key(r)] == 1}
    pairs: dict[tuple[str, str], tuple[Row, Row]] = {}
    joined = 0
    for row in ours:
        key = _label_key(row)
        other = by_id.get((row.id, key)) or (once.get(key) if first[key] == 1 else None)
        if other is not None and (row.id, key) not in pairs:
            pairs[row.id, key] = row, other
            joined += other.id != row.id
    return list(pairs.values()), joined


def _label_key(row: Row) -> str:
    """The label as text, the same for 5, "5" and ["5"], and for the releases' differences in case and spacing."""
    parts = row.label if isinstance(row.label, list) else [row.label]
    parts = parts[0] if isinstance(parts[0], list) else parts  # Math.Calc's list within a list
    return json.dumps([" ".join(str(part).casefold().split()) for part in parts], ensure_ascii=False)
