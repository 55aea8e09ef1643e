"""MT-Bench with live models: a conversation of two turns, each turn graded from 1 to 10.

    windvane eval mt-bench --model M ... --questions FILE --judge llm:BACKEND --out DIR [--references FILE]

In: FastChat's question file; its reference answers for math, reasoning and coding, where there are any; a judge: a language model
(`llm:`, `rubric:`, a server) asked in our words, or `py:module:object`, a function f(conversation, answer, reference or None) -> a grade
in [1, 10]. Out: DIR/answers/MODEL.jsonl and DIR/judgements.jsonl in FastChat's layout, which `windvane eval mt-bench
DIR/judgements.jsonl` scores again; DIR/result.json, DIR/plot.svg.

As published, the second turn is asked with the model's own first response in the conversation, temperatures go by category, and a turn is
graded with everything before it. Departures: our own wording and strict reading (evals/mt_bench/prompt.py), so figures are this judge's
own; a response or a grade that is missing has score -1, its reason, and a place in the counts. A second turn whose first response is
missing is not asked.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.core.user_objects import load_object
from windvane.engines.http.budget import ExpectedCall
from windvane.engines.http.server import Server
from windvane.evals.chat_questions import ChatQuestion, Questions, read_questions, read_responses, response_row
from windvane.evals.live.driver import Collected, Evaluation, JudgedSettings, Responses
from windvane.evals.live.flags import check_live
from windvane.evals.live.judge import Judge, Keyed, TextVerdicts, language_model
from windvane.evals.live.model import Request, Rows, names_of, response_notes, slug
from windvane.evals.mt_bench.prompt import read_score, single_messages
from windvane.evals.mt_bench.score import plot, read_scores, summarise, table
from windvane.judges.questions import Ask
from windvane.runs.store import file_sha256, write_jsonl

# FastChat's llm_judge/common.py: temperature_config, NEED_REF_CATS; other categories at 0.7
TEMPERATURES = {
    "writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0, "stem": 0.1,
    "humanities": 0.1,
}  # fmt: skip
REFERENCED = frozenset({"math", "reasoning", "coding"})
TURNS = (1, 2)
JUDGE_TOKENS = 1024

Row = dict[str, Any]


def mt_bench(options: argparse.Namespace) -> tuple[Evaluation, Judge]:
    """Every turn graded. Raises `UserError` for what is missing or does not go together."""
    conversations = read_conversations(options, "mt-bench", JUDGE_TOKENS)
    judge = judge_of(options)

    def questions(responses: Responses) -> dict[str, list[Keyed]]:
        return {_stage(n): _grades(conversations, responses[n]) for n in conversations.names}

    def figures(collected: Collected) -> tuple[Row, str]:
        rows = [
            row
            for name in conversations.names
            for row in _grade_rows(
                conversations, name, collected.responses[name], collected.verdicts[_stage(name)], options.judge
            )
        ]
        write_jsonl(collected.run / "judgements.jsonl", rows)
        if all(row["score"] == -1 for row in rows):
            raise UserError(f"--judge {options.judge}: no grade could be read; the first: {rows[0]['reason']}")
        scores = read_scores(collected.run / "judgements.jsonl")
        result = conversations.result(collected, summarise(scores, options.seed), rows)
        return result, plot(result, f"MT-Bench, graded by {options.judge}")

    return conversations.evaluation(questions, figures, table, "judgements.jsonl"), judge


@dataclass(frozen=True, slots=True)
class Conversations:
    """What graded turns and compared conversations share: the questions, and the models whose responses are given or asked for."""

    options: argparse.Namespace
    name: str
    questions: Questions
    given: Mapping[str, Sequence[Rows]]
    models: Sequence[str]

    @property
    def names(self) -> list[str]:
        return [*self.given, *self.models]

    def evaluation(
        self,
        questions: Callable[[Responses], Mapping[str, Sequence[Keyed]]],
        figures: Callable[[Collected], tuple[Row, str]],
        table: Callable[[Row], str],
        rows: str,
    ) -> Evaluation:
        o = self.options
        named = {"questions": o.questions, "references": o.references}
        files = {role: file_sha256(path) for role, path in named.items() if path is not None}
        return Evaluation(
            name=self.name,
            settings=JudgedSettings(self.name, o.judge, files, o.limit, o.judge_tokens, o.batch),
            requests=self.requests,
            questions=questions,
            figures=figures,
            table=lambda result: (
                f"{result['label']}\n{table(dict(result))}\n{result['unjudged']} of {result['asked']} turns without a verdict"
            ),
            stage="answers/{model}.turn-{turn}",
            turns=len(TURNS),
            given=self.given,
            layout=self.layout,
            rows=rows,
        )

    def requests(self, turns: Sequence[Rows]) -> list[Request]:
        """The next turn of every conversation that was answered so far."""
        found = []
        for q in self.questions.rows:
            before = texts_of(q, turns)
            if len(before) == len(turns):
                heat = (
                    TEMPERATURES.get(q.category, 0.7) if self.options.temperature is None else self.options.temperature
                )
                found.append(Request(q.id, conversation(q, before), heat))
        return found

    def layout(self, name: str, turns: Sequence[Rows]) -> list[Row]:
        return [response_row(q, name, texts_of(q, turns)) for q in self.questions.rows]

    def result(self, collected: Collected, figures: Mapping[str, Any], rows: Sequence[Row]) -> Row:
        """`figures` with what was asked, what is missing and why."""
        reasons = Counter(row["reason"].partition(": ")[0][:80] for row in rows if row.get("reason"))
        limit = self.options.max_new_tokens
        notes = [
            note
            for name in self.models
            for note in response_notes(
                name, limit, [row for turn in collected.responses[name] for row in turn.values()]
            )
        ]
        return {
            "name": self.name,
            "label": f"MT-Bench's questions judged by {self.options.judge}, not comparable with published scores",
            "judge": self.options.judge,
            **figures,
            "questions": len(self.questions.rows),
            "asked": len(rows),
            "unjudged": sum(reasons.values()),
            "reasons": dict(reasons.most_common(5)),
            "left_out": {**self.questions.left_out, **figures["left_out"]},
            "notes": [*self.questions.notes, *notes, *figures["notes"]],
        }


def read_conversations(options: argparse.Namespace, name: str, judge_tokens: int) -> Conversations:
    """Check `options` and read their files. `judge_tokens`: what the judge may write where --judge-tokens does not say."""
    check_live(options, "mt-bench", ("questions", "judge"), name)
    if options.judge_tokens is None:
        options.judge_tokens = judge_tokens
    if options.judge_tokens < 1:
        raise UserError(f"--judge-tokens {options.judge_tokens}: must be at least 1")
    files = options.answers or []
    if options.pairwise and len(options.model or []) + len(files) < 2:
        raise UserError("--pairwise: compares models; name two with --model, or one's answers with --answers FILE")
    questions = with_references(read_questions(options.questions, len(TURNS), options.limit), options.references)
    models = names_of(options)
    given = dict(given_responses(path, questions.rows) for path in files)
    both = [name for name in models if name in given]
    if both or len(given) < len(files):
        raise UserError(f"--answers: a model stands twice ({', '.join(both or given)}); give each a name of its own")
    return Conversations(options, name, questions, given, models)


def with_references(questions: Questions, path: Path | None) -> Questions:
    """The questions with references from the file at `path` where it has them; none for other categories than the published."""
    extra = read_responses(path)[1] if path else {}
    rows = []
    for q in questions.rows:
        references = extra.get(q.id, q.references)[:2] if q.category in REFERENCED else ()
        rows.append(replace(q, references=references if len(references) == 2 else ()))
    bare = [q.written for q in rows if q.category in REFERENCED and not q.references]
    notes = questions.notes
    if bare:
        notes = (
            *notes,
            f"{len(bare)} question(s) of math, reasoning or coding judged without a correct answer, where the published ones "
            f"show both turns' (the first: question {bare[0]}); --references FILE gives them",
        )
    return Questions(tuple(rows), questions.left_out, notes)


def given_responses(path: Path, questions: Sequence[ChatQuestion]) -> tuple[str, list[Rows]]:
    """(name, the rows of both turns) of a model whose responses are in a file."""
    name, responses, _ = read_responses(path)
    turns: list[Rows] = []
    for i in range(len(TURNS)):
        texts = {q.id: responses[q.id][i] if i < len(responses.get(q.id, ())) else None for q in questions}
        turns.append({id: {"text": t, "reason": f"no answer in {path.name}"} for id, t in texts.items()})
    if not any(row["text"] is not None for turn in turns for row in turn.values()):
        raise UserError(f"{path}: answers none of the questions; its question_ids are others")
    return name, turns


def texts_of(question: ChatQuestion, turns: Sequence[Rows]) -> list[str]:
    """The responses up to the first that is missing."""
    texts: list[str] = []
    for turn in turns:
        text = turn[question.id]["text"] if question.id in turn else None
        if text is None:
            break
        texts.append(text)
    return texts


def reason_of(question: ChatQuestion, turns: Sequence[Rows], turn: int) -> str | None:
    """Why turn `turn` has no response; None where it has one."""
    row = turns[turn - 1].get(question.id)
    if row is None:
        return "the first turn has no answer"
    return row["reason"] if row["text"] is None else None


def conversation(question: ChatQuestion, responses: Sequence[str]) -> tuple[Message, ...]:
    """The chat up to the user's next turn, with the responses so far."""
    messages = []
    for turn, response in enumerate(responses):
        messages += [Message("user", question.turns[turn]), Message("assistant", response)]
    return (*messages, Message("user", question.turns[len(responses)]))


def judge_of(options: argparse.Namespace) -> Judge:
    """Who grades. Raises `UserError` for a judge that gives no grades."""
    backend = language_model(options.judge)
    if backend is not None:
        return TextVerdicts(backend, options.device, options.judge_tokens)
    kind, _, rest = options.judge.partition(":")
    if kind != "py":
        raise UserError(
            f"--judge {options.judge}: gives no grades from 1 to 10; take llm:BACKEND, http://HOST:PORT/v1#MODEL or "
            "py:module:object, or compare with --pairwise"
        )
    return FunctionGrades(rest)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn to be graded: `ask` for a language model, the rest for a function."""

    ask: Ask
    conversation: str
    response: str
    reference: str | None

    @property
    def key(self) -> str:
        return self.ask.key

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.ask.messages


class FunctionGrades:
    """A function of the user's that grades `Turn`s. An exception in it stops the run; what is no grade in [1, 10] is kept as a reason."""

    by_hand, account = False, None

    def __init__(self, spec: str) -> None:
        self.spec = f"py:{spec}"
        self.function: Any = None

    def expected(self, question: Turn) -> ExpectedCall:
        return ExpectedCall((), 0)

    def open(self, server: Server, calls: Path) -> None:
        self.function = load_object(self.spec.removeprefix("py:"))
        if not callable(self.function) or isinstance(self.function, type):
            raise UserError(f"{self.spec}: give a function f(conversation, answer, reference) -> a grade from 1 to 10")

    def estimate(self, questions: Sequence[Turn]) -> None:
        return None

    def verdicts(self, questions: Sequence[Turn]) -> Iterable[Row]:
        for q in questions:
            try:
                value = self.function(q.conversation, q.response, q.reference)
            except Exception as error:
                raise UserError(f"{self.spec}: {q.key}: {type(error).__name__}: {error}") from error
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if good and 1 <= value <= 10:
                yield {"id": q.key, "score": float(value), "reason": None}
            else:
                reason = f"{self.spec} gave {value!r:.60}: not a grade from 1 to 10"
                yield {"id": q.key, "score": None, "reason": reason}


def _stage(name: str) -> str:
    return f"grades/{slug(name)}"


def _grades(conversations: Conversations, turns: Sequence[Rows]) -> list[Keyed]:
    """A question for each turn that has a response."""
    found: list[Keyed] = []
    for q in conversations.questions.rows:
        texts = texts_of(q, turns)
        for turn in TURNS[: len(texts)]:
            ask = Ask(f"{q.id}-{turn}", single_messages(q.turns, texts[:turn], turn, q.references))
            before = "".join(f"User: {q.turns[i]}\n\nAssistant: {texts[i]}\n\n" for i in range(turn - 1))
            plain = f"{before}User: {q.turns[turn - 1]}" if turn > 1 else q.turns[0]
            found.append(Turn(ask, plain, texts[turn - 1], q.references[turn - 1] if q.references else None))
    return found


def _grade_rows(
    conversations: Conversations, name: str, turns: Sequence[Rows], verdicts: Rows, judge: str
) -> list[Row]:
    """A row for each turn in FastChat's layout."""
    rows = []
    for q in conversations.questions.rows:
        for turn in TURNS:
            row: Row = {"question_id": q.written, "category": q.category, "model": name, "judge": judge, "turn": turn}
            verdict = verdicts.get(f"{q.id}-{turn}")
            score: float | None = None
            text: str | None = None
            reason: str | None = reason_of(q, turns, turn) or "no answer"
            if verdict is not None:
                text, reason, score = verdict.get("text"), verdict["reason"], verdict.get("score")
                if text is not None:
                    read = read_score(text)
                    score, reason = (float(read), None) if isinstance(read, int) else (None, read)
            rows.append(row | {"score": -1 if score is None else score, "judgment": text, "reason": reason})
    return rows
