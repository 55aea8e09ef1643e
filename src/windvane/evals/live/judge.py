"""The judges of live evaluations behind one interface: of pairs, of texts in a judge's own words, of grades by a rubric.

In: questions with stable keys. Out: a row for each question: `id` and what the judge gave (`p`, `text`, or `score` and `feedback`), or
None and the `reason`. A judge is named first and opened when its first question is put. What cannot be read is kept and counted, never
scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.protocols import PairJudge, Question, RubricJudge, RubricQuestion
from windvane.core.records import Message, Prompt, Response, content_id
from windvane.engines.http.budget import Account, Estimate, ExpectedCall
from windvane.engines.http.server import Server
from windvane.engines.names import SERVERS
from windvane.judges import rubric
from windvane.judges.function import open_grader
from windvane.judges.llm import MAX_TOKENS
from windvane.judges.names import resolve_judge, resolve_rubric_judge
from windvane.judges.questions import Ask, Asker, ServerAsker, open_asker
from windvane.judges.rubric_grades import checked
from windvane.prompts.pairwise import pairwise_messages
from windvane.prompts.rubric import rubric_messages

LANGUAGE_MODELS = ("llm", "rubric")


class Keyed(Protocol):
    """A question to a judge. Its key names the row, and is part of what is resumed as one unit."""

    @property
    def key(self) -> str: ...


class Judge(Protocol):
    """Who judges. `by_hand`: a person, who is asked one question at a time."""

    spec: str
    by_hand: bool

    def expected(self, question: Any) -> ExpectedCall:
        """What the question costs where the judge is behind a server."""
        ...

    def open(self, server: Server, calls: Path) -> None:
        """Called once, before the first question; `calls` is the journal of a server's calls."""
        ...

    def estimate(self, questions: Sequence[Any]) -> Estimate | None:
        """What a server is going to be asked, without what its journal holds; None where the judge is not behind a server."""
        ...

    def verdicts(self, questions: Sequence[Any]) -> Iterable[dict[str, Any]]:
        """A row for each question, in order."""
        ...

    @property
    def account(self) -> Account | None:
        """What was spent; None where the judge is not behind a server or was not opened."""
        ...


def language_model(spec: str) -> str | None:
    """The backend of a judge that writes text (`llm:B`, `rubric:B`, a server's address); None for every other judge."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return spec
    return rest if kind in LANGUAGE_MODELS and rest else None


def behind_server(spec: str) -> bool:
    """Whether every question to the judge is a server's call."""
    return (language_model(spec) or "").partition(":")[0] in SERVERS


def account_of(asker: Asker) -> Account | None:
    return asker.endpoint.account if isinstance(asker, ServerAsker) else None


def pair_question(key: str, request: str, first: str, second: str) -> Question:
    """Which of two responses to a request is better; `first` is shown first."""
    prompt = Prompt.of((Message("user", request),))
    shown = [
        Response(f"{prompt.id}-{content_id(t)}", prompt.id, i, t, (), "stop") for i, t in enumerate((first, second))
    ]
    return Question(key, prompt, shown[0], shown[1])


def rubric_question(
    key: str, prompt: Prompt, text: str, of_rubric: str, reference: str | None = None
) -> RubricQuestion:
    """What grade the response `text` to `prompt` deserves by a rubric; `reference` is a response that would deserve 5."""
    response = Response(f"{prompt.id}-{content_id(text)}", prompt.id, 0, text, (), "stop")
    return RubricQuestion(key, prompt, response, of_rubric, reference)


class PairVerdicts:
    """Any judge of pairs, asked `Question`s; `p` is the probability that the response shown first wins. `max_tokens`: what a language
    model may write for a verdict. `judge`: an open one, instead of the one that `spec` names."""

    def __init__(
        self, spec: str, device: str = "auto", max_tokens: int = MAX_TOKENS, judge: PairJudge | None = None
    ) -> None:
        self.spec, self.device, self.max_tokens, self.judge = spec, device, max_tokens, judge
        self.by_hand = spec == "human"

    def expected(self, question: Question) -> ExpectedCall:
        messages = pairwise_messages(question.prompt, question.first.text, question.second.text)
        return ExpectedCall(messages, self.max_tokens)

    def open(self, server: Server, calls: Path) -> None:
        if self.judge is None:
            server = replace(server, judge_tokens=self.max_tokens)
            self.judge = resolve_judge(self.spec, self.device, server=server, calls=calls)

    def estimate(self, questions: Sequence[Question]) -> Estimate | None:
        estimate = getattr(self.judge, "estimate", None)
        return None if estimate is None else estimate(questions)

    def verdicts(self, questions: Sequence[Question]) -> Iterable[dict[str, Any]]:
        assert self.judge is not None, "a judge is opened before it is asked"
        probabilities = self.judge.judge(questions)
        reasons = getattr(self.judge, "reasons", {})
        for q, p in zip(questions, probabilities, strict=True):
            yield {"id": q.key, "p": p, "reason": None if p is not None else reasons.get(q.key, "no usable answer")}

    @property
    def account(self) -> Account | None:
        return getattr(self.judge, "account", None)


class TextVerdicts:
    """A language model asked `Ask`s; `text` is what it wrote, for the evaluation to read. `backend` as `language_model` gives it."""

    by_hand = False

    def __init__(self, backend: str, device: str, max_tokens: int, asker: Asker | None = None) -> None:
        self.spec, self.device, self.max_tokens, self.asker = backend, device, max_tokens, asker

    def expected(self, question: Ask) -> ExpectedCall:
        return ExpectedCall(question.messages, self.max_tokens)

    def open(self, server: Server, calls: Path) -> None:
        if self.asker is None:
            self.asker = open_asker(self.spec, self.device, "float32", self.max_tokens, server, calls)

    def estimate(self, questions: Sequence[Ask]) -> Estimate | None:
        return self.asker.estimate(questions, self.max_tokens) if isinstance(self.asker, ServerAsker) else None

    def verdicts(self, questions: Sequence[Ask]) -> Iterable[dict[str, Any]]:
        assert self.asker is not None, "a judge is opened before it is asked"
        for question, answer in zip(questions, self.asker.ask(questions, self.max_tokens), strict=True):
            yield {"id": question.key, "text": answer.text, "reason": answer.reason}

    @property
    def account(self) -> Account | None:
        return None if self.asker is None else account_of(self.asker)


class RubricGrades:
    """A judge of grades asked `RubricQuestion`s; `score` is 1 to 5."""

    by_hand = False

    def __init__(self, spec: str, device: str = "auto", judge: RubricJudge | None = None) -> None:
        self.spec, self.device, self.judge = spec, device, judge

    def expected(self, question: RubricQuestion) -> ExpectedCall:
        q = question
        return ExpectedCall(rubric_messages(q.prompt, q.response.text, q.rubric, q.reference), rubric.MAX_TOKENS)

    def open(self, server: Server, calls: Path) -> None:
        if self.judge is None:
            self.judge = open_rubric_judge(self.spec, self.device, server, calls)

    def estimate(self, questions: Sequence[RubricQuestion]) -> Estimate | None:
        if not isinstance(self.judge, rubric.LlmRubricJudge) or not isinstance(self.judge.asker, ServerAsker):
            return None
        asks = [Ask(q.key, self.expected(q).messages) for q in questions]
        return self.judge.asker.estimate(asks, self.judge.max_tokens)

    def verdicts(self, questions: Sequence[RubricQuestion]) -> Iterable[dict[str, Any]]:
        assert self.judge is not None, "a judge is opened before it is asked"
        for q, given in zip(questions, self.judge.grade(questions), strict=True):
            grade = checked(given)
            yield {"id": q.key, "score": grade.score, "feedback": grade.feedback, "reason": grade.reason}

    @property
    def account(self) -> Account | None:
        return account_of(self.judge.asker) if isinstance(self.judge, rubric.LlmRubricJudge) else None


def open_rubric_judge(spec: str, device: str, server: Server, calls: Path) -> RubricJudge:
    """`rubric:BACKEND`, a server's address, `world:FAMILY[:NAME]`, or `py:module:object` with `.grade(questions)`."""
    kind, _, rest = spec.partition(":")
    if kind == "py":
        grader = open_grader(rest)
        if grader is None:
            raise UserError(f"--judge {spec}: has no .grade(questions)")
        return grader
    named = spec if kind == "rubric" or is_family(spec) else f"rubric:{spec}" if kind in SERVERS else None
    if named is None:
        raise UserError(
            f"--judge {spec}: gives no grades by a rubric; take rubric:BACKEND, http://HOST:PORT/v1#MODEL or py:module:object"
        )
    return resolve_rubric_judge(named, device, server=server, calls=calls)
