"""A judge of grades as a `PairJudge`: both answers graded by the rubrics of the person who asked, the gap turned into a probability.

In: pairwise questions whose prompt has a system message, or rubrics of its own in a file of Multifaceted-Bench's layout (system, prompt,
rubrics). Out: P(first wins) = sigmoid(slope (mean grade of the first - mean grade of the second)), the means over the rubrics by which both
answers have a grade; equal grades are a tie, exactly 1/2. By default a grade is one logit: P = .73, .88, .95, .98 for gaps of 1 to 4.

An answer is graded alone, so both orders agree by construction and K answers need K grades a rubric, not K(K-1). A grade that cannot be
read leaves its rubric out of the pair, and the pair's remark says so; a pair with no rubric left is None, with the reasons. As in the
paper's bench (arXiv 2405.17977) the judge reads the chat without its system message: what the person wants reaches it through the rubric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.protocols import Grade, Question, RubricJudge, RubricQuestion
from windvane.core.records import Message, Prompt, Response, content_id
from windvane.engines.http.budget import Account, Estimate
from windvane.engines.http.endpoint import Endpoint
from windvane.engines.http.server import Server
from windvane.judges.names import resolve_rubric_judge
from windvane.judges.questions import Ask, ServerAsker
from windvane.judges.rubric import LlmRubricJudge
from windvane.judges.rubric_grades import GradeBook
from windvane.judges.rubric_rows import read_bench
from windvane.prompts.rubric import rubric_messages
from windvane.prompts.user_rubric import system_rubric

SLOPE = 1.0  # logits a grade


@dataclass(frozen=True, slots=True)
class Rubrics:
    """What an answer to one prompt is graded by. `reference`: an answer that would deserve 5, where there is one."""

    texts: tuple[str, ...]
    reference: str | None = None


def read_rubrics(source: str | Path) -> dict[str, Rubrics]:
    """Prompt id (of system message and prompt) -> its rubrics, from a file or data set in the bench's layout."""
    found = {}
    for i in read_bench(source):
        prompt = Prompt.of((Message("system", i.system), Message("user", i.prompt)))
        if prompt.id in found:
            raise UserError(f"{i.place}: this system message and prompt stand twice; keep one row of them")
        found[prompt.id] = Rubrics(tuple(r.text for r in i.rubrics), i.reference)
    return found


class RubricPairJudge:
    """`reasons`: for each question of the last call, why it has no answer, or what was left out of it."""

    def __init__(
        self,
        judge: RubricJudge,
        name: str,
        rubrics: Mapping[str, Rubrics] | None = None,
        slope: float = SLOPE,
        place: Path | None = None,
    ) -> None:
        self.inner, self.name, self.rubrics, self.slope = judge, name, rubrics, slope
        self.book = GradeBook(judge, place)
        self.reasons: dict[str, str] = {}

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        self.reasons = {}
        asked = self._asked(questions)
        every = list({q.key: q for rows in asked.values() for q in rows}.values())
        grades = {g.key: g for g in self.book.grade(every)}
        return [self._compare(q, asked, grades) for q in questions]

    def check(self, prompts: Sequence[Prompt]) -> None:
        """`UserError` for the first prompt that nothing says how to grade: told before hours of sampling."""
        for prompt in prompts:
            self._rubrics(prompt)

    def estimate(self, questions: Sequence[Question]) -> Estimate | None:
        """What a server would be asked for; None where the judge is no server's."""
        if not isinstance(self.inner, LlmRubricJudge) or not isinstance(self.inner.asker, ServerAsker):
            return None
        left = self.book.left([q for rows in self._asked(questions).values() for q in rows])
        asks = [Ask(q.key, rubric_messages(q.prompt, q.response.text, q.rubric, q.reference)) for q in left]
        return self.inner.asker.estimate(asks, self.inner.max_tokens)

    @property
    def endpoint(self) -> Endpoint | None:
        """The server behind the judge, whose budget a run shares."""
        asker = getattr(self.inner, "asker", None)
        return asker.endpoint if isinstance(asker, ServerAsker) else None

    @property
    def account(self) -> Account | None:
        return self.endpoint.account if self.endpoint is not None else None

    def _asked(self, questions: Sequence[Question]) -> dict[tuple[str, str], list[RubricQuestion]]:
        """(prompt id, answer's text) -> a question a rubric, in the order of the rubrics."""
        found: dict[tuple[str, str], list[RubricQuestion]] = {}
        for q in questions:
            for response in (q.first, q.second):
                if (q.prompt.id, response.text) not in found:
                    found[q.prompt.id, response.text] = self._of(q.prompt, response)
        return found

    def _of(self, prompt: Prompt, response: Response) -> list[RubricQuestion]:
        rubrics = self._rubrics(prompt)
        bare = Prompt.of(tuple(m for m in prompt.messages if m.role != "system"))
        return [
            RubricQuestion(content_id([prompt.id, text, rubrics.reference, response.text]), bare, response, text, rubrics.reference)
            for text in rubrics.texts
        ]  # fmt: skip

    def _rubrics(self, prompt: Prompt) -> Rubrics:
        if self.rubrics is not None:
            if prompt.id not in self.rubrics:
                raise UserError(
                    f"rubric:{self.name}: prompt {prompt.id} ({prompt.messages[-1].content[:40]!r}) has no row in the file of rubrics; "
                    "add its system message and prompt there, or take prompts that it has"
                )
            return self.rubrics[prompt.id]
        if prompt.messages[0].role != "system":
            raise UserError(
                f"rubric:{self.name}: prompt {prompt.id} ({prompt.messages[-1].content[:40]!r}) has no system message, so nothing says "
                "what its answers are graded by; give prompts with system messages, or a file of rubrics (--rubrics)"
            )
        return Rubrics((system_rubric(prompt.messages[0].content),))

    def _compare(
        self, q: Question, asked: Mapping[tuple[str, str], Sequence[RubricQuestion]], grades: Mapping[str, Grade]
    ) -> float | None:
        sides = [[grades[r.key] for r in asked[q.prompt.id, x.text]] for x in (q.first, q.second)]
        both = [(a.score, b.score) for a, b in zip(*sides) if a.score is not None and b.score is not None]
        lost = [g.reason or "no grade" for side in sides for g in side if g.score is None]
        if lost:
            self.reasons[q.key] = (
                f"{len(sides[0]) - len(both)} of {len(sides[0])} rubrics without two grades: {lost[0]}"
            )
        if not both:
            return None
        gap = sum(a - b for a, b in both) / len(both)
        return 1.0 / (1.0 + math.exp(min(700.0, -self.slope * gap)))  # e^700 is finite


def open_judge(
    spec: str,
    device: str,
    dtype: str,
    server: Server | None = None,
    calls: Path | None = None,
    rubrics: str | None = None,
    slope: float | None = None,
) -> RubricPairJudge:
    """`rubric:BACKEND` as a judge of pairs. Grades are kept beside `calls`: calls-train.jsonl -> calls-train.grades.journal."""
    if slope is not None and not 0 < slope < math.inf:
        raise UserError(f"rubric_slope: {slope}; logits a grade, so above 0")
    judge = resolve_rubric_judge(spec, device, dtype, server, calls)
    place = None if calls is None else calls.with_name(f"{calls.stem}.grades.jsonl")
    held = None if rubrics is None else read_rubrics(rubrics)
    return RubricPairJudge(judge, spec.partition(":")[2], held, SLOPE if slope is None else slope, place)
