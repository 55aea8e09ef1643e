"""Annotation files of AlpacaEval's form: what a judge said of a model's answer against a baseline's, a row an instruction.

In: a JSON list or JSON lines of tables with `preference` (1 = baseline, 2 = model, anything between; 0 or 1.5 a draw) and, where
known, `instruction`, `output_1`, `generator_1` (the baseline's), `output_2`, `generator_2` (the model's), `annotator`. Other keys are
ignored. Out: the rows that can be used, and a count of the others by reason: nothing is left out in silence.

Departs from alpaca_eval 0.6.6: that one stops or mixes where a file holds two models, judges or baselines, keeps repeated rows, and
cannot read a file with a broken end. Where a model is named, rows that have it first and the baseline second are turned round, and told.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError

TEXTS = ("instruction", "output_1", "output_2", "generator_1", "generator_2", "annotator")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row. `p` is the model's share of the preference in [0, 1] (preference - 1), None where the judge gave none or an answer is
    missing: such a row counts for nothing, but its prompt is there. Else a text is None where most rows of the file lack it."""

    p: float | None
    instruction: str | None = None
    output_1: str | None = None
    output_2: str | None = None
    generator_1: str | None = None
    generator_2: str | None = None
    annotator: str | None = None


@dataclass(frozen=True, slots=True)
class Annotations:
    """A file's usable rows in their order; `left_out` counts those and the unjudged among them by reason."""

    path: str
    rows: tuple[Annotation, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...] = field(default=())

    @property
    def judged(self) -> list[Annotation]:
        return [row for row in self.rows if row.p is not None]

    def name(self, which: str) -> str | None:
        return getattr(self.rows[0], which)


def read_tables(path: Path) -> tuple[list[Any], int, list[str]]:
    """(values, broken, notes) of a JSON list or JSON lines; a file that breaks off is read up to there and `broken` counts it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 JSON") from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("["):
            values, broken = _head_of_list(text), 1
            notes = [
                f"the file is broken after row {len(values)} ({error.msg}, line {error.lineno}); what follows is not counted"
            ]
        else:
            values, broken, notes = _lines(text)
        if not values:
            raise UserError(
                f"{path}: not valid JSON ({error.msg}, line {error.lineno}); no row could be read"
            ) from None
        return values, broken, notes
    return (value if isinstance(value, list) else [value]), 0, []


def _head_of_list(text: str) -> list[Any]:
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    values: list[Any] = []
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return values
        values.append(value)


def _lines(text: str) -> tuple[list[Any], int, list[str]]:
    values, broken = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError:
                broken.append(number)
    return (
        values,
        len(broken),
        [f"not valid JSON in {len(broken)} lines, the first is line {broken[0]}"] if broken else [],
    )


def share(preference: Any) -> float | str:
    """preference - 1 in [0, 1], 0 meaning a draw as in old files; a word saying why not where it is none."""
    if preference is None or preference == "":
        return "no preference"
    if isinstance(preference, bool):
        return "preference is no number"
    try:
        value = float(preference)
    except (TypeError, ValueError, OverflowError):
        return "preference is no number"
    if math.isnan(value):
        return "no preference"
    value = 1.5 if value == 0 else value
    return value - 1 if 1 <= value <= 2 else "preference outside 1 to 2"


def read_annotations(
    path: str | Path,
    model: str | None = None,
    annotator: str | None = None,
    fill: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> Annotations:
    """Read one model's rows. `model` and `annotator` choose among several in one file; `fill` may add to a row what other files
    know (the outputs). Raises `UserError` for a file without usable rows, or with two models, judges or baselines in it."""
    path = _of_folder(Path(path))
    values, broken, notes = read_tables(path)
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    tables = [fill(v) for v in values if isinstance(v, dict)]
    left["not a table"] += len(values) - len(tables)
    if not any("preference" in t for t in tables):
        keys = ", ".join(map(str, tables[0])) if tables else "none"
        raise UserError(f"{path}: no row has 'preference' (1 = baseline to 2 = model); the keys of row 1: {keys}")
    known = [name for name in TEXTS if 2 * sum(isinstance(t.get(name), str) for t in tables) >= len(tables)]
    rows = []
    for table in tables:
        missing = [name for name in known if not isinstance(table.get(name), str)]
        if missing and set(missing) - {"output_1", "output_2"}:
            left[f"no {missing[0]}"] += 1
            continue
        p = f"no {missing[0]}" if missing else share(table.get("preference"))
        texts = {name: table[name] for name in known if name not in missing}
        rows.append((Annotation(None if isinstance(p, str) else p, **texts), p))
    if model is not None and (turned := _turned(rows, model)):
        notes.append(f"{turned} rows had {model} first and the baseline second: turned round")
    rows = _chosen(rows, "generator_2", model, path, left)
    rows = _chosen(rows, "annotator", annotator, path, left)
    _one(path, rows, "generator_1", "split the file: a win rate is against one baseline")
    kept = list(_without_repeats(rows, left))
    left.update(p for _, p in kept if isinstance(p, str))
    if not any(row.p is not None for row, _ in kept):
        raise UserError(f"{path}: no usable row; left out: {_listed(+left) or 'none'}")
    return Annotations(str(path), tuple(row for row, _ in kept), dict(+left), tuple(notes))


def _of_folder(path: Path) -> Path:
    """A model's folder of results as alpaca_eval leaves it: the annotations.json in it, or below it where there is one alone."""
    if not path.is_dir():
        return path
    found = [path / "annotations.json"] if (path / "annotations.json").is_file() else []
    found = found or sorted(path.rglob("annotations.json"))
    if len(found) != 1:
        listed = ", ".join(str(p.relative_to(path)) for p in found[:5]) or "none"
        raise UserError(f"{path}: a folder; name its annotations.json (there: {listed})")
    return found[0]


Rows = list[tuple[Annotation, float | str]]


def _chosen(rows: Rows, which: str, wanted: str | None, path: Path, left: Counter[str]) -> Rows:
    option = {"generator_2": "--model", "annotator": "--annotator"}[which]
    if wanted is not None and rows and getattr(rows[0][0], which) is None:
        return [(_stated(row, which, wanted), p) for row, p in rows]
    if wanted is not None:
        found = [(row, p) for row, p in rows if getattr(row, which) == wanted]
        if not found:
            there = _listed(Counter(getattr(row, which) for row, _ in rows))
            raise UserError(f"{path}: no row has {which} {wanted!r}; there are: {there}")
        left[f"other {which}"] += len(rows) - len(found)
        return found
    _one(path, rows, which, f"choose one with {option} NAME")
    return rows


def _turned(rows: Rows, model: str) -> int:
    """Turn the rows round, in place, that have `model` as generator_1, where that leaves one baseline; how many."""
    first = [i for i, (row, _) in enumerate(rows) if row.generator_1 == model != row.generator_2]
    baselines = {row.generator_1 for row, _ in rows if row.generator_2 == model}
    baselines = baselines or {rows[i][0].generator_2 for i in first}
    if len(baselines) != 1:
        return 0
    turned = [i for i in first if rows[i][0].generator_2 in baselines]
    for i in turned:
        row, p = rows[i]
        other = replace(
            row,
            p=None if row.p is None else 1 - row.p,
            output_1=row.output_2,
            output_2=row.output_1,
            generator_1=row.generator_2,
            generator_2=row.generator_1,
        )
        rows[i] = other, p if isinstance(p, str) else 1 - p
    return len(turned)


def _stated(row: Annotation, which: str, name: str) -> Annotation:
    return replace(row, generator_2=name) if which == "generator_2" else replace(row, annotator=name)


def _one(path: Path, rows: Rows, which: str, mend: str) -> None:
    found = Counter(getattr(row, which) for row, _ in rows)
    if len(found) > 1:
        raise UserError(f"{path}: {len(found)} different {which} in one file ({_listed(found)}); {mend}")


def _without_repeats(rows: Rows, left: Counter[str]) -> Iterable[tuple[Annotation, float | str]]:
    """The first of rows with the same instruction and outputs; several answers to one instruction are all kept."""
    seen = set()
    for row, p in rows:
        key = (row.instruction, row.output_1, row.output_2)
        if row.instruction is None or row.output_2 is None or key not in seen:
            seen.add(key)
            yield row, p
        else:
            left["repeated row"] += 1


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(6))
