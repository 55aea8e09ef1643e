"""What was evaluated: RUN/evaluations/NAME/result.json and plot.svg, as `windvane eval NAME ... --out RUN/evaluations/NAME` leaves them.

In: a run folder. Out: an `Evaluation` a folder, in the order of names: the number that counts first, with its interval and its name, then
the other numbers, the notes and the drawing. What is missing, broken or too large is one line. result.json is a table with "name" and,
where it knows best, "headline" (a sentence); the numbers that count are known by name in COUNTS, else it is the file's first number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from markupsafe import Markup

from windvane.charts.sanitize import clean
from windvane.core.errors import UserError
from windvane.report.gather import shorten
from windvane.report.paired_comparisons import differences

LARGEST = 20_000_000  # bytes of result.json
NUMBERS = 16  # plain numbers shown
ROWS = 30  # rows of a table shown

# name -> what counts, the first that is there: (path, what it is, form, path of the low end, of the high end)
Count = tuple[str, str, str, str, str]
ADJUSTED = "length_adjusted_win_rate"
COUNTS: dict[str, tuple[Count, ...]] = {
    "alpaca": (
        ("length_controlled_winrate", "length-controlled win rate", "%", "lc_low", "lc_high"),
        (ADJUSTED, "win rate at equal length", "%", "length_adjusted_low", "length_adjusted_high"),
        ("win_rate", "win rate", "%", "low", "high"),
    ),
    "length": ((ADJUSTED, "win rate at equal length", "share", "low", "high"),),
    "ruler": (
        ("effective_length", "effective length", "tokens", "", ""),
        ("average", "mean over lengths and tasks", "%", "", ""),
    ),
    "infinitebench": (("mean", "mean score of the tasks below", "%", "", ""),),
    "mt-bench": (("models.0.average", "MT-Bench average, of 10", "number", "", ""),),
    "arena-hard": (("models.0.score", "win rate", "%", "models.0.score_low", "models.0.score_high"),),
    "intransitivity": (
        ("beyond_null.mean", "of the judge’s preferences beyond a transitive judge’s", "share", "beyond_null.low", "beyond_null.high"),
    ),
    "long-chat": (("models.0.average", "mean grade, of 5", "number", "models.0.low", "models.0.high"),),
    "perplexity": (("nats_per_token", "nats a token of held-out documents", "number", "low", "high"),),
    "harness": (("models.last.mean", "mean over tasks", "share", "", ""),),
    "alpaca-rejudge": (
        ("mean_shift.mean", "points: the new judge less the published one", "number", "mean_shift.low", "mean_shift.high"),
    ),
    "mt-bench-pairs": (("models.0.score", "win rate", "%", "models.0.score_low", "models.0.score_high"),),
    "steerability": (
        ("own_minus_swapped.mean", "grades: a value where it is asked for, less where another is", "number",
         "own_minus_swapped.low", "own_minus_swapped.high"),
    ),
    "multifaceted": (("mean", "mean grade, of 5", "number", "low", "high"),),
    "toxicity": (
        ("expected_maximum_toxicity.mean", "expected maximum toxicity", "number",
         "expected_maximum_toxicity.low", "expected_maximum_toxicity.high"),
    ),
    "judge": (("accuracy.mean", "accuracy", "share", "accuracy.low", "accuracy.high"),),
}  # fmt: skip


@dataclass(slots=True)
class Evaluation:
    """`value` and `what`: the number that counts and its name; `problem`: why there is none."""

    key: str
    name: str
    file: str
    value: str = ""
    what: str = ""
    sentence: str = ""
    numbers: list[tuple[str, str]] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    svg: Markup | None = None
    problems: list[str] = field(default_factory=list)


def evaluations(run: Path) -> list[Evaluation]:
    """Every folder under RUN/evaluations; never an exception for what stands in one."""
    folder = run / "evaluations"
    if not folder.is_dir():
        return []
    return [_one(path, n) for n, path in enumerate(sorted(p for p in folder.iterdir() if p.is_dir()))]


def _one(path: Path, number: int) -> Evaluation:
    found = Evaluation(f"evaluation-{number}", path.name, f"evaluations/{path.name}/result.json")
    try:
        _read(found, shorten(_result(path / "result.json")))
    except UserError as error:
        found.problems.append(f"result.json: {error}.")
    except RecursionError:
        found.problems.append("result.json: tables within tables too deep to be read.")
    plot = path / "plot.svg"
    if not plot.is_file():
        found.problems.append("plot.svg is not there.")
        return found
    try:
        found.svg = clean(plot.read_text(encoding="utf-8"))
    except UserError as error:
        found.problems.append(f"plot.svg is not shown: {error}.")
    except (OSError, UnicodeDecodeError) as error:
        found.problems.append(f"plot.svg cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}.")
    return found


def _result(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError("is not there; the evaluation has not finished, or gave no result")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"is {path.stat().st_size:,} bytes; at most {LARGEST:,} are read")
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"not valid JSON ({error.msg} at line {error.lineno}); run the evaluation again") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})") from None
    if not isinstance(data, dict):
        raise UserError("expected a table of results; run the evaluation again")
    return data


def _read(found: Evaluation, result: Mapping[str, Any]) -> None:
    kind = result.get("name")
    if isinstance(kind, str) and kind and kind != found.name:
        found.name = f"{found.name} ({kind})"
    known = COUNTS.get(str(kind), COUNTS.get(found.file.split("/")[1], ()))
    first = _first_model(result)
    for row in known:
        place, what, form, low, high = (part.replace("models.0.", f"models.{first}.") for part in row)
        value = number_at(result, place)
        if value is None:
            continue
        found.value, found.what = written(value, form), what
        ends = [number_at(result, end) if end else None for end in (low, high)]
        if ends[0] is not None and ends[1] is not None:
            found.what += f" (95% interval {written(ends[0], form)} to {written(ends[1], form)})"
        if place.startswith(f"models.{first}."):
            found.what += f", {result['models'][first].get('model', 'the first row')}"
        if place.startswith("models.last."):
            found.what += f", {list(result['models'])[-1]}"
        break
    for key in ("headline", "label"):  # a label says what the figures may not be compared with
        if isinstance(result.get(key), str):
            found.sentence += (" " if found.sentence else "") + result[key]
    plain = [(key, value) for key, value in result.items() if _finite(value)]
    if not found.value and not found.sentence and plain:
        found.value, found.what = written(plain[0][1], "number"), words(plain[0][0])
    if not found.value and not found.sentence:
        found.problems.append("result.json holds no number to show.")
    texts = [
        (key, value)
        for key, value in result.items()
        if isinstance(value, str) and key not in ("name", "headline", "label", "sentence")
    ]
    found.numbers = [(words(key), written(value, "number")) for key, value in plain[:NUMBERS]]
    found.numbers += [(words(key), value) for key, value in texts if len(value) <= 200][:NUMBERS]
    notes = result.get("notes")
    found.notes = [str(note) for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
    found.notes += differences(result)
    _table(found, result)


def _first_model(result: Mapping[str, Any]) -> int:
    """Where the best model stands that is not the baseline of the ratings, which is at 50% by definition."""
    models = result.get("models")
    if isinstance(models, list) and len(models) > 1 and isinstance(models[0], Mapping):
        return int(models[0].get("model") is not None and models[0].get("model") == result.get("anchor"))
    return 0


def _table(found: Evaluation, result: Mapping[str, Any]) -> None:
    """The first list of tables in the result (models, tasks, iterations), or table of tables (groups by length), as rows."""
    rows: list[Mapping[str, Any]] = []
    for value in [result.get(key) for key in ("models", "tasks", "groups")] + list(result.values()):
        if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) for row in value.values()):
            rows = [{"": str(name), **row} for name, row in value.items()]
        elif isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
            rows = value
        head = [k for k in _keys(rows) if any(isinstance(row.get(k), str) or _finite(row.get(k)) for row in rows)][:10]
        if len(head) > 1:
            break
    else:
        return
    head.sort(key=lambda key: not any(isinstance(row.get(key), str) for row in rows))  # what it is, before its numbers
    found.head = [words(key) for key in head]
    for row in rows[:ROWS]:
        cells = [row.get(key) for key in head]
        found.rows.append(
            [written(v, "number") if _finite(v) else str(v)[:80] if isinstance(v, str) else "–" for v in cells]
        )
    if len(rows) > ROWS:
        found.notes.append(f"{len(rows) - ROWS} more rows are in the file.")


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def number_at(result: Any, place: str) -> float | None:
    """The finite number at a dotted path (a number names a list's place), None where there is none."""
    for part in place.split("."):
        if isinstance(result, Mapping):
            result = list(result.values())[-1] if part == "last" and result else result.get(part)
        elif (
            isinstance(result, Sequence) and not isinstance(result, str) and part.isdigit() and int(part) < len(result)
        ):
            result = result[int(part)]
        else:
            return None
    return result if _finite(result) else None


def _finite(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def written(value: float, form: str) -> str:
    """A number as people read it: "%" is percent already, "share" a fraction, "tokens" a length."""
    if form == "%":
        text = f"{value:.1f}%"
    elif form == "share":
        text = f"{round(100 * value, 1) + 0.0:.1f}%"
    elif form == "tokens":
        text = f"{value / 1024:.0f}K tokens" if value % 1024 == 0 else f"{value:,.0f} tokens"
    elif isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        text = f"{value:,.0f}"
    else:
        text = f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.4g}"
    return text.replace("-", "−")


def words(key: str) -> str:
    return str(key).replace("_", " ")[:80]
