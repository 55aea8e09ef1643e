"""Scores as they are written -> bands by criterion, or the reason why not; never a default.

In: `{"GRAMMAR_AND_VOCABULARY": 3, ...}` as JSON, as a Python dict (the public data's form), in prose or a code fence, nested under
OUTPUT, with string digits, or as lines "GV: 3". Out: {"GV": 3.0, ...}. A band outside the scale, between its steps, or given twice with
two values is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from windvane.evalyaks.transcripts.literals import DECODER, Pairs, python_value
from windvane.evalyaks.transcripts.record import CRITERIA

NUMBER = r"(?<![\d.])[-+]?\d+(?:\.\d+)?(?![\d.]*\d)"
WRITTEN = {
    "GV": r"\bGV\b|grammar(?:[ _]*(?:and|&)[ _]*vocabulary)?",
    "DM": r"\bDM\b|discourse(?:[ _]*management)?",
    "IC": r"\bIC\b|interactive(?:[ _]*communication)?",
}


def criterion_of(key: object) -> str | None:
    """GV, DM or IC behind a key, however it is written."""
    text = str(key).strip()
    for criterion, pattern in WRITTEN.items():
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return criterion
    return None


def parse_scores(
    text: str, criteria: Sequence[str] | None = None, step: float = 1.0, low: float = 1.0, high: float = 5.0
) -> dict[str, float] | str:
    """Bands by criterion, or one line saying why there are none. `criteria`: those that must be there (any, where None)."""
    pairs = list(_structured(text)) or list(_lines(text))
    return check_scores(pairs, criteria, step, low, high)


def check_scores(
    pairs: Sequence[tuple[str, Any]] | Mapping[str, Any],
    criteria: Sequence[str] | None = None,
    step: float = 1.0,
    low: float = 1.0,
    high: float = 5.0,
) -> dict[str, float] | str:
    """The same for values that are already apart: (criterion or its name, value)."""
    found: dict[str, float] = {}
    for key, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        criterion = criterion_of(key)
        if criterion is None or value is None or value == "":
            continue
        band = _number(value)
        if band is None:
            return f"{criterion}: {str(value)[:40]!r} is no number"
        if not low <= band <= high:
            return f"{criterion}: {band:g} is outside {low:g} to {high:g}"
        if not math.isclose((band / step) % 1, 0, abs_tol=1e-9) and not math.isclose((band / step) % 1, 1):
            return f"{criterion}: {band:g} is between the scale's steps of {step:g}"
        if found.get(criterion, band) != band:
            return f"{criterion}: two values, {found[criterion]:g} and {band:g}"
        found[criterion] = band
    if not found:
        return "no scores"
    lacking = [c for c in criteria or () if c not in found]
    if lacking:
        return f"no score for {', '.join(lacking)}"
    return {c: found[c] for c in CRITERIA if c in found}


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    text = str(value).strip()
    return float(text) if re.fullmatch(NUMBER, text) else None


def _structured(text: str) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of the first JSON object or Python dict in `text` that names a criterion, however deep."""
    for match in re.finditer(r"\{", text):
        try:
            value = DECODER.raw_decode(text, match.start())[0]
        except (ValueError, RecursionError):
            value = python_value(_balanced(text, match.start()))
        pairs = list(_flat(value))
        if any(criterion_of(key) for key, _ in pairs):
            yield from pairs
            return


def _flat(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value if isinstance(value, Pairs) else ():
        if isinstance(inner, Pairs):
            yield from _flat(inner)
        else:
            yield key, inner


def _balanced(text: str, start: int) -> str:
    depth = 0
    for at in range(start, min(len(text), start + 2000)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start : at + 1]
    return ""


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """A criterion's name, a colon or the like, a number: what is left where nothing is well-formed."""
    for criterion, pattern in WRITTEN.items():
        for match in re.finditer(
            rf"(?:{pattern})['\"*]*\s*(?:[:=]|\bis\b)\s*['\"*]*\s*({NUMBER})", text, re.IGNORECASE
        ):
            yield criterion, match[1]
