"""Answers from a file: a `Generator` for examples, tests and replays, without a model.

In: JSON lines, each `{"prompt": TEXT, "answers": [TEXT, ...]}`. A prompt is found by its whole text (the last turn of a chat also does),
else by the first row whose `"contains": TEXT` it contains; a row with neither answers everything else. `"answer": TEXT` is a list of
one. Answer i is the one at index i, around the list again. `{"answer": null, "reason": TEXT}` scripts a failure. Out: Responses without
token ids, so nothing here can be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response
from windvane.core.schema import decode
from windvane.runs.store import read_jsonl


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file."""

    prompt: str | None = None
    contains: str | None = None
    answers: tuple[str, ...] = ()
    answer: str | None = None
    reason: str | None = None

    @property
    def told(self) -> tuple[str, ...]:
        return self.answers if self.answer is None else (self.answer,)


class ScriptedGenerator:
    """`reasons`: response id -> why there is none."""

    def __init__(self, rows: Sequence[Row], name: str) -> None:
        self.name = name
        self.reasons: dict[str, str] = {}
        self._whole = {row.prompt: row for row in reversed(rows) if row.prompt is not None}
        self._parts = [row for row in rows if row.contains is not None and row.prompt is None]
        self._rest = next((row for row in rows if row.prompt is None and row.contains is None), None)

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        found = []
        for prompt in prompts:
            row = self._row(prompt)
            answers = []
            for index in indices:
                id = f"{prompt.id}-{index}"
                if row.told:
                    answers.append(Response(id, prompt.id, index, row.told[index % len(row.told)], (), "stop"))
                else:
                    self.reasons[id] = row.reason or "the script has no answer"
            found.append(answers)
        return found

    def _row(self, prompt: Prompt) -> Row:
        last = prompt.messages[-1].content
        row = self._whole.get(prompt.text) or self._whole.get(last)
        row = row or next((r for r in self._parts if r.contains in prompt.text), None) or self._rest  # type: ignore[operator]
        if row is None:
            raise UserError(f"{self.name}: no answer to prompt {prompt.id}: {last[:60]!r}; add a row for it")
        return row


def open_generator(spec: str, sampling: Any, device: str, dtype: str) -> ScriptedGenerator:
    """`scripted:FILE`. The sampling is the script's own affair."""
    path = Path(spec)
    if not path.is_file():
        raise UserError(f"{spec}: no such file; a script is JSON lines with prompt and answers")
    rows = []
    for number, value in read_jsonl(path):
        row = decode(Row, value, f"{path}: row {number}")
        if not row.told and row.reason is None:
            raise UserError(f"{path}: row {number}: no answers; give answers, answer, or a reason why there is none")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: the file is empty; write at least one row")
    return ScriptedGenerator(rows, str(path))
