"""The files of long-chat: questions on documents, given answers, and grades to be read again.

In: JSON lists or JSON lines. Out: what can be used, and a count of the rest by reason. Questions hold `document` (or `context`),
`question` (or `input`, `query`) and `reference` (or `answer`); answers the question's `id` and a text; grades are the rows that
`windvane eval long-chat` leaves in DIR/grades.jsonl.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.evals.alpaca.annotations import read_tables

COLUMNS = {
    "document": ("document", "context"),
    "question": ("question", "input", "query"),
    "reference": ("reference", "answer"),
}
IDS = ("id", "question_id")
TEXTS = ("text", "prediction", "pred", "response", "answer", "output")


@dataclass(frozen=True, slots=True)
class LongQuestion:
    id: str
    document: str
    question: str
    reference: str | None


def read_questions(path: Path, unreferenced: bool, limit: int | None) -> tuple[list[LongQuestion], dict[str, int]]:
    """(questions, left out by reason); `unreferenced`: those without a reference are kept; `limit` of them, drawn by their content."""
    values, left = _tables(path)
    questions: dict[str, LongQuestion] = {}
    for value in values:
        question = _question(value)
        if isinstance(question, str):
            left[question] += 1
        elif question.reference is None and not unreferenced:
            left["no reference"] += 1
        elif question.id in questions:
            left["repeated"] += 1
        else:
            questions[question.id] = question
    if not questions:
        raise UserError(
            f"{path}: no usable question (left out: {_listed(left)}); expected document, question, reference"
        )
    rows = list(questions.values())
    if limit is not None:
        drawn = sorted(rows, key=lambda q: seed_of("eval long-chat", q.document, q.question))[:limit]
        rows = [q for q in rows if q in drawn]
    return rows, dict(left)


def read_responses(path: Path, questions: Sequence[LongQuestion]) -> tuple[str, dict[str, dict[str, Any]]]:
    """(the model's name, question id -> its row as a stage of responses has it); a question without one has the reason. The name is
    the rows' `model`, else the file's."""
    values, _ = _tables(path)
    texts: dict[str, str] = {}
    models: Counter[str] = Counter()
    for value in values:
        if isinstance(value, Mapping):
            id = next((str(value[k]) for k in IDS if isinstance(value.get(k), (str, int))), None)
            text = next((value[k] for k in TEXTS if isinstance(value.get(k), str)), None)
            if id is not None and text is not None:
                texts.setdefault(id, text)
                models.update([value["model"]] if isinstance(value.get("model"), str) else [])
    if len(models) > 1:
        raise UserError(f"{path}: answers of {len(models)} models: {', '.join(sorted(models)[:3])}; a file a model")
    if not any(q.id in texts for q in questions):
        raise UserError(f"{path}: answers none of the questions; expected id (as in the questions) and text")
    empty = {"tokens": None, "finish": None}
    rows = {
        q.id: {"text": texts.get(q.id), "reason": None if q.id in texts else "no answer in the file", **empty}
        for q in questions
    }
    return next(iter(models), path.stem), rows


def read_grades(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(rows that say which model was graded on which question, left out by reason). A row with `score` null counts as ungraded."""
    values, left = _tables(path)
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for value in values:
        why = _grade_fault(value, seen)
        if why is None:
            seen.add((value["model"], str(value["question_id"])))
            id = str(value["question_id"])
            rows.append({"document": id, "reason": "no reason told", "finish": None, **value, "question_id": id})
        else:
            left[why] += 1
    if not rows:
        raise UserError(f"{path}: no usable grade (left out: {_listed(left)}); expected question_id, model, score")
    return rows, dict(left)


def _grade_fault(value: Any, seen: set[tuple[str, str]]) -> str | None:
    if not isinstance(value, Mapping):
        return "not a table"
    if not isinstance(value.get("model"), str):
        return "no model"
    if not isinstance(value.get("question_id"), (str, int)):
        return "no question_id"
    if (value["model"], str(value["question_id"])) in seen:
        return "repeated"
    score = value.get("score")
    if "score" not in value or isinstance(score, bool) or (score is not None and score not in (1, 2, 3, 4, 5)):
        return "score is not 1 to 5"
    return None


def _tables(path: Path) -> tuple[list[Any], Counter[str]]:
    try:
        values, broken, _ = read_tables(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return values, Counter({"broken JSON": broken} if broken else {})


def _listed(left: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in left.items()) or "none there"


def _question(value: Any) -> LongQuestion | str:
    if not isinstance(value, Mapping):
        return "not a table"
    fields: dict[str, str | None] = {}
    for name, columns in COLUMNS.items():
        texts = (value.get(column) for column in columns)
        fields[name] = next((t for t in texts if isinstance(t, str) and t.strip()), None)
    document, question = fields["document"], fields["question"]
    if document is None or question is None:
        return f"no {'document' if document is None else 'question'}"
    written = value.get("id")
    named = isinstance(written, (str, int)) and not isinstance(written, bool)
    return LongQuestion(
        str(written) if named else content_id([document, question]), document, question, fields["reference"]
    )
