"""Files of predicted against reference scores -> rows and systems.

In: JSONL, JSON, CSV, TSV or Parquet. A row has an id, a part, a candidate (whose rows are resampled together; the split_group, else
the id, where absent), a model (where one file holds several), reference and predicted scores, perhaps a second rater's, the candidate's
number of words or the transcript itself. Scores stand as tables ({"reference": {"GV": 3}, "predicted": {"GV": 4}}), as columns (GV,
predicted_GV, GV_pred, second_GV), or predicted as a model's own words; CEFR levels (level, predicted_level) are a scale of their own, A1 =
1 to C2 = 6. With `references` the predictions' file needs ids and scores alone. Out: `ScoredFile`. A row without a usable reference is left
out and counted; a prediction that is none is invalid, counted, and inaccurate.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.systems import Bands, Scored, System
from windvane.evalyaks.transcripts.read import Problem, read_rows, read_transcripts
from windvane.evalyaks.transcripts.record import LEVELS, Transcript
from windvane.evalyaks.transcripts.rows import CANDIDATE, NAMES, SPOKEN, read_row
from windvane.evalyaks.transcripts.scores import WRITTEN, parse_scores

SIDES = {
    "reference": ("", "reference", "ref", "human", "human1", "gold", "true", "rater1", "first", "label"),
    "predicted": ("predicted", "pred", "prediction", "model", "machine", "system", "output", "hat"),
    "second": ("second", "human2", "rater2", "second_rater"),
}  # fmt: skip
LEVEL = "LEVEL"
FIELDS = {
    criterion: re.compile(rf"(?:^|[ _.:-])(?:{pattern})(?:$|[ _.:-])".replace(r"\b", ""), re.IGNORECASE)
    for criterion, pattern in {**WRITTEN, LEVEL: "(?:cefr_)?level"}.items()
}


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """`systems`: one a model. `left_out`: reason -> rows; `invalid`: model -> reason -> predictions."""

    rows: list[Scored]
    systems: list[System]
    scale: Scale
    left_out: dict[str, int]
    invalid: dict[str, dict[str, int]]


def read_scored(files: Sequence[Path], references: Sequence[Path] = (), scale: Scale | None = None) -> ScoredFile:
    """`references`: transcripts or score files that the predictions' ids are looked up in."""
    given = scale or Scale()
    known = _references(references, given)
    left_out: Counter[str] = Counter()
    invalid: dict[str, Counter[str]] = {}
    rows: dict[str, Scored] = {}
    answers: dict[str, dict[str, Bands | None]] = {}
    levels = False
    fields: set[str] = set()
    for path in files:
        for line, _, value in read_rows(path):
            place = f"{path}: line {line}"
            if isinstance(value, Problem) or not isinstance(value, Mapping):
                left_out[str(value) if isinstance(value, Problem) else "no table"] += 1
                continue
            low = {str(k).strip().casefold(): v for k, v in value.items()}
            name = next(
                (str(low[k]) for k in NAMES if low.get(k) not in (None, "")), "" if known else f"{path.name}:{line}"
            )
            row: Scored | str
            sides = _sides(low, bool(known))
            fields |= set(low)
            row = known.get(name, "no reference with that id") if known else _row(name, low, sides, given)
            if isinstance(row, str):
                left_out[row] += 1
                continue
            levels |= LEVEL in row.reference
            model = str(low.get("model") or low.get("model_name") or "predicted")
            if not known and row.id in rows and rows[row.id].reference != row.reference:
                raise UserError(
                    f"{place}: id {row.id}: other reference scores than before; give each answer an id of its own"
                )
            rows.setdefault(row.id, row)
            if row.id in answers.setdefault(model, {}):
                raise UserError(
                    f"{place}: id {row.id}: a second prediction of {model}; give each answer an id of its own"
                )
            answer = _predicted(sides["predicted"], list(row.reference), _scale(LEVEL in row.reference, given))
            if isinstance(answer, str):
                invalid.setdefault(model, Counter())[answer] += 1
            answers[model][row.id] = None if isinstance(answer, str) else answer
    if not rows:
        reasons = "; ".join(f"{n} rows: {r}" for r, n in left_out.most_common(3)) or "the files are empty"
        raise UserError(f"{files[0]}: no row has reference scores ({reasons})")
    if levels and any(LEVEL not in r.reference or len(r.reference) > 1 for r in rows.values()):
        raise UserError(f"{files[0]}: levels and bands in one file; they are two scales, so give two files")
    if not any(answer for own in answers.values() for answer in own.values()):
        reasons = "; ".join(f"{n} rows: {r}" for c in invalid.values() for r, n in c.most_common(2))
        listed = ", ".join(sorted(fields))
        raise UserError(f"{files[0]}: no valid prediction ({reasons}); fields are {listed}; name one predicted_GV, say")
    order = sorted(rows)
    for model, own in answers.items():
        if len(own) < len(order):  # what a model did not answer is invalid, not left out: else it could choose its test
            invalid.setdefault(model, Counter())["no answer"] += len(order) - len(own)
    systems = [System(m, [own.get(i) for i in order]) for m, own in answers.items()]
    counted = {model: dict(c) for model, c in invalid.items()}
    return ScoredFile([rows[i] for i in order], systems, _scale(levels, given), dict(left_out), counted)


def scored_of(record: Transcript, candidate: str | None = None) -> Scored:
    """A transcript with reference scores as a row; a record with a level and no bands is on the scale of levels."""
    reference = dict(record.scores) or ({LEVEL: LEVELS.index(record.level) + 1.0} if record.level else {})
    assert reference, "a transcript without scores is no reference"
    part = str(record.part) if record.part and LEVEL not in reference else "all"
    who = candidate or record.candidate or record.split_group
    return Scored(record.id, part, who, reference, len(record.said().split()), None, record.setting)


def _scale(levels: bool, given: Scale) -> Scale:
    return Scale(1.0, 6.0) if levels else given


def _references(files: Sequence[Path], scale: Scale) -> dict[str, Scored]:
    found: dict[str, Scored] = {}
    for record in read_transcripts(files, step=scale.step).records if files else ():
        if record.scores or record.level:
            row = scored_of(record)
            for key in (record.id, record.name):
                if key:
                    found.setdefault(key, row)
    if files and not found:
        raise UserError(f"{files[0]}: no transcript with reference scores")
    return found


def _sides(low: Mapping[str, Any], predictions_alone: bool) -> dict[str, dict[str, Any] | str]:
    """reference, predicted, second -> criterion -> value as it is written, or the text that should hold them."""
    found: dict[str, dict[str, Any] | str] = {side: {} for side in SIDES}
    for key, value in low.items():
        whole = next((side for side, names in SIDES.items() if key and key in names), None)
        if whole and key != "model" and isinstance(value, Mapping):
            found[whole] = {c: v for k, v in value.items() if (c := _criterion(str(k))[0])}
        elif whole and key != "model" and isinstance(value, str):
            found[whole] = value
        criterion, rest = _criterion(key)
        named = next((side for side, names in SIDES.items() if rest in names), None) if criterion else None
        column = found["predicted" if named and predictions_alone and rest == "" else named or ""] if named else None
        if isinstance(column, dict) and criterion:
            column[criterion] = value
    return found


def _criterion(key: str) -> tuple[str | None, str]:
    """("GV", "predicted") for "predicted_GV"; (None, ...) for a field of something else."""
    for criterion, pattern in FIELDS.items():
        match = pattern.search(key)
        if match:
            return criterion, (key[: match.start()] + key[match.end() :]).strip(" _.:-").casefold()
    return None, key


def _row(name: str, low: Mapping[str, Any], sides: Mapping[str, dict[str, Any] | str], scale: Scale) -> Scored | str:
    reference = _bands(sides["reference"], scale, exact=True)
    if isinstance(reference, str):
        return f"reference: {reference}"
    words, told = low.get("words"), str(low.get("part") or "")
    if words is None and any(low.get(k) for k in SPOKEN):
        record = read_row({k: v for k, v in low.items() if k in (*SPOKEN, "part")}, None, name)
        if isinstance(record, Transcript):
            words, told = len(record.said().split()), told or str(record.part or "")
    number = re.search(r"[1-4]", told)
    # without a candidate, what a conversation's several prompts have in common
    candidate = next((str(low[k]) for k in (*CANDIDATE, "split_group") if low.get(k) not in (None, "")), name)
    second = _bands(sides["second"], scale, exact=True)
    count = int(float(words)) if words not in (None, "") and re.fullmatch(r"\d+(?:\.0*)?", str(words)) else None
    part = number[0] if number and LEVEL not in reference else "all"
    setting = str(low["setting"]) if low.get("setting") not in (None, "") else None
    return Scored(name, part, candidate, reference, count, None if isinstance(second, str) else second, setting)


def _predicted(side: dict[str, Any] | str, criteria: Sequence[str], scale: Scale) -> Bands | str:
    found = _bands(side, scale, exact=False)
    if isinstance(found, str):
        return found
    lacking = [c for c in criteria if c not in found]
    return f"no score for {', '.join(lacking)}" if lacking else {c: found[c] for c in criteria}


def _bands(side: dict[str, Any] | str, scale: Scale, exact: bool) -> Bands | str:
    """`exact`: on the scale's steps; a prediction may stand between (an expected score)."""
    if isinstance(side, str):
        level = re.search(r"\b(A1|A2|B1|B2|C1|C2)\b", side)
        if level and not re.search(r"\d\s*[,}]", side):
            return {LEVEL: LEVELS.index(level[1]) + 1.0}
        return parse_scores(side, step=scale.step, low=scale.low, high=scale.high)
    found: dict[str, float] = {}
    for criterion, value in side.items():
        if value is None or str(value).strip() == "":
            continue
        own = _scale(criterion == LEVEL, scale)
        text = str(value).strip().upper()
        try:
            band = LEVELS.index(text) + 1.0 if text in LEVELS else float(text)
        except ValueError:
            return f"{criterion}: {text[:20]!r} is no number"
        if isinstance(value, bool) or not math.isfinite(band) or not own.low <= band <= own.high:
            return f"{criterion}: {text[:20]} is outside {own.low:g} to {own.high:g}"
        if exact and abs(band / own.step - round(band / own.step)) > 1e-9:
            return f"{criterion}: {band:g} is between the scale's steps of {own.step:g}"
        found[criterion] = band
    return found or "no scores"
