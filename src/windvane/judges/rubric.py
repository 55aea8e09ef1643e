"""A language model as a `RubricJudge`: an absolute grade from 1 to 5 with feedback.

In: an answer, its request, the rubric, a reference answer where there is one. Out: `Grade`s. An answer of the judge that cannot be read
strictly leaves no score, and its feedback and the reason are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windvane.core.protocols import Grade, RubricQuestion
from windvane.engines.http.server import Server
from windvane.judges.questions import Ask, Asker, Told, open_asker
from windvane.prompts.rubric import read_grade, rubric_messages

MAX_TOKENS = 512  # feedback of a few sentences and the verdict


class LlmRubricJudge:
    """`max_tokens`: more for a model that thinks aloud first."""

    def __init__(self, asker: Asker, name: str, max_tokens: int = MAX_TOKENS) -> None:
        self.asker, self.name, self.max_tokens = asker, name, max_tokens

    def grade(self, questions: Sequence[RubricQuestion]) -> list[Grade]:
        asks = [Ask(q.key, rubric_messages(q.prompt, q.response.text, q.rubric, q.reference)) for q in questions]
        told = self.asker.ask(asks, self.max_tokens)
        return [self._read(q.key, t) for q, t in zip(questions, told, strict=True)]

    def _read(self, key: str, told: Told) -> Grade:
        if told.text is None:
            return Grade(key, None, "", f"rubric:{self.name}: {key}: {told.reason}")
        score, feedback, reason = read_grade(told.text)
        return Grade(key, score, feedback, f"rubric:{self.name}: {key}: {reason}" if reason else None)


def open_judge(
    spec: str, device: str, dtype: str, server: Server | None = None, calls: Path | None = None
) -> LlmRubricJudge:
    """`rubric:BACKEND`, BACKEND a generator's name."""
    return LlmRubricJudge(open_asker(spec, device, dtype, MAX_TOKENS, server, calls), spec)
