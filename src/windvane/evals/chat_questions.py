"""Files of questions and of responses of MT-Bench and Arena-Hard.

Questions, JSON or JSON lines: `question_id` (or `uid`, `prompt_id`), `category`, and `turns` (texts, or tables with `content`) or `prompt`
(a text or a list); `reference` (a list) where the file has them. Responses: `question_id` (or `uid`) and `choices[0].turns`, or `messages`
(Arena-Hard 2.0, the assistant's `content` a text or a table with `answer`), by `model_id` (or `model`). What cannot be read is counted by
reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.evals.alpaca.annotations import read_tables

IDS = ("question_id", "uid", "prompt_id")


@dataclass(frozen=True, slots=True)
class ChatQuestion:
    """`turns`: the user's turns, in order. `references`: correct answers to them, empty where the file has none. `written`: the id as the
    file writes it (FastChat's are numbers)."""

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()
    written: str | int = ""


@dataclass(frozen=True, slots=True)
class Questions:
    rows: tuple[ChatQuestion, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]


def read_questions(path: Path, turns: int, limit: int | None = None) -> Questions:
    """Questions with at least `turns` turns (the first `turns` are kept); `limit` of them, drawn by their content."""
    values, broken, notes = _tables(path)
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    questions: dict[str, ChatQuestion] = {}
    for value in values:
        question = _question(value, turns)
        if isinstance(question, str):
            left[question] += 1
        elif question.id in questions:
            left["repeated question_id"] += 1
        else:
            questions[question.id] = question
    if not questions:
        why = ", ".join(f"{count} {reason}" for reason, count in left.items()) or "none"
        raise UserError(f"{path}: no usable question (left out: {why}); expected question_id and turns")
    rows = list(questions.values())
    if limit is not None:
        drawn = {q.id for q in sorted(rows, key=lambda q: seed_of("eval questions", *q.turns))[:limit]}
        rows = [q for q in rows if q.id in drawn]
    return Questions(tuple(rows), dict(left), tuple(notes))


def _tables(path: Path) -> tuple[list[Any], int, list[str]]:
    try:
        return read_tables(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _question(value: Any, turns: int) -> ChatQuestion | str:
    if not isinstance(value, dict):
        return "not a table"
    written = _id(value)
    if written is None:
        return "no question_id"
    prompt = value.get("turns", value.get("prompt"))
    texts = _texts([prompt] if isinstance(prompt, str) else prompt)
    if len(texts) < turns:
        return f"fewer than {turns} turns" if turns > 1 else "no turns or prompt"
    category = value.get("category")
    references = _texts(value.get("reference"))
    named = category if isinstance(category, str) else "all"
    return ChatQuestion(str(written), named, texts[:turns], references[:turns], written)


def _id(value: Mapping[str, Any]) -> str | int | None:
    return next(
        (value[k] for k in IDS if isinstance(value.get(k), (str, int)) and not isinstance(value[k], bool)), None
    )


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts or of tables with `content`; up to the first that is neither."""
    texts: list[str] = []
    for item in value if isinstance(value, list) else []:
        text = item.get("content") if isinstance(item, dict) else item
        if isinstance(text, dict):
            text = text.get("answer")
        if not isinstance(text, str):
            break
        texts.append(text)
    return tuple(texts)


def read_responses(path: Path) -> tuple[str, dict[str, tuple[str, ...]], dict[str, int]]:
    """(the model's name, question id -> its turns, left out). One model a file."""
    values, broken, _ = _tables(path)
    left: Counter[str] = Counter({"broken JSON": broken} if broken else {})
    responses: dict[str, tuple[str, ...]] = {}
    models: Counter[str] = Counter()
    for value in values:
        written = _id(value) if isinstance(value, dict) else None
        turns = _response(value) if written is not None else ()
        if written is None or not turns:
            left["no question_id or no answer"] += 1
            continue
        responses.setdefault(str(written), turns)
        models.update(str(value[k]) for k in ("model_id", "model") if isinstance(value.get(k), str))
    if not responses:
        raise UserError(f"{path}: no usable answer; expected question_id and choices[0].turns (or messages)")
    if len(models) > 1:
        raise UserError(f"{path}: answers of {len(models)} models in one file ({', '.join(models)}); split it")
    return next(iter(models), path.stem), responses, dict(left)


def _response(value: Mapping[str, Any]) -> tuple[str, ...]:
    choices = value.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _texts(choices[0].get("turns"))
    messages = value.get("messages")
    if isinstance(messages, list):
        return _texts([m for m in messages if isinstance(m, dict) and m.get("role") == "assistant"])
    return ()


def response_row(question: ChatQuestion, model: str, turns: Sequence[str]) -> dict[str, Any]:
    """A row in FastChat's and Arena-Hard's layout of responses."""
    return {"question_id": question.written, "model_id": model, "choices": [{"index": 0, "turns": list(turns)}]}
