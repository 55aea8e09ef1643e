"""MT-Bench's judging: each answered turn graded from 1 to 10, or two models' conversations compared in both orders.

In: the models' answers (evals/mt_bench/conversations.py) and a judge: a language model (`llm:`, `rubric:`, a server) in our words,
`py:module:object` a
function f(conversation, answer, reference or None) -> a grade in [1, 10], or for pairs any judge of pairs. Out: DIR/judgements.jsonl or
DIR/pairs.jsonl in FastChat's layout. What cannot be read is kept with its reason: score -1, or winner "error".
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.engines.function import load_object
from windvane.engines.names import resolve_judge
from windvane.evals.chat_questions import ChatQuestion
from windvane.evals.live.folder import JUDGE_CALLS, judge_server, slug
from windvane.evals.live.judge import (
    Expected,
    expected_pair,
    language_model,
    open_text_judge,
    question,
    run_pairs,
    run_texts,
    tell,
    tell_expected,
)
from windvane.evals.live.model import Candidate
from windvane.evals.mt_bench.conversations import Reasons, Turns, conversation
from windvane.evals.mt_bench.prompt import pair_answer, pair_request, read_score, single_messages
from windvane.judges.questions import Ask
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder, read_jsonl, write_jsonl

Answers = Mapping[str, tuple[Turns, Reasons]]
Row = dict[str, Any]


def expect(
    options: argparse.Namespace,
    run: RunFolder,
    questions: Sequence[ChatQuestion],
    candidates: Sequence[Candidate],
    given: Sequence[str],
) -> None:
    """Tell what it may cost before anything is asked; answers are taken as long as `--max-new-tokens` allows (four bytes a token)."""
    guess = "x" * (4 * options.max_new_tokens)
    note = f"were every answer {options.max_new_tokens} tokens long"
    for model in candidates:
        if model.server is not None and not run.finished(f"answers/{slug(model.name)}.turn-2.jsonl"):
            chats = [conversation(q, answers) for q in questions for answers in ([], [guess])]
            asked = [Expected(chat, options.max_new_tokens) for chat in chats]
            tell_expected(model.name, model.spec, model.server, asked, f"{note}; calls kept from before included")
    calls, names = [], [*given, *(m.name for m in candidates)]
    for q in questions:
        for turn in (1, 2):
            if options.pairwise:
                one = pair_answer([guess, guess], turn)
                request = pair_request(q.turns, turn, q.references)
                calls.append(expected_pair(request, one, one, options.judge_tokens))
            else:
                chat = single_messages(q.turns, [guess, guess], turn, q.references)
                calls.append(Expected(chat, options.judge_tokens))
    stages = [_pair_stage(p) for p in combinations(names, 2)] if options.pairwise else [_stage(n) for n in names]
    times = sum(not run.finished(f"{stage}.jsonl") for stage in stages) * (2 if options.pairwise else 1)
    tell_expected("the judge", options.judge, judge_server(options, run), calls * times, note)


def grade(
    options: argparse.Namespace, run: RunFolder, questions: Sequence[ChatQuestion], answers: Answers
) -> tuple[list[Row], Any]:
    """(rows as in DIR/judgements.jsonl, the judge); a stage a model, so that models can be added."""
    backend = language_model(options.judge)
    kind, _, rest = options.judge.partition(":")
    if backend is None and kind != "py":
        raise UserError(
            f"--judge {options.judge}: gives no grades from 1 to 10; take llm:BACKEND, http://HOST:PORT/v1#MODEL or "
            "py:module:object, or compare with --pairwise"
        )
    wanted = {name: _asks(questions, turns) for name, (turns, _) in answers.items()}
    left = {n: asks for n, asks in wanted.items() if not run.finished(f"{_stage(n)}.jsonl")}
    judge: Any = None
    if left and backend is not None:
        server = judge_server(options, run)
        judge = open_text_judge(backend, options.device, options.judge_tokens, server, run / JUDGE_CALLS)
        tell("the judge", judge.estimate([ask for asks in left.values() for ask, _ in asks]), server)
    rows: list[Row] = []
    for name, asks in wanted.items():
        if backend is not None:
            run_texts(run, _stage(name), judge, [ask for ask, _ in asks], options.batch, options.quiet)
        else:
            _run_function(run, _stage(name), rest, asks, options)
        told = {row["id"]: row for _, row in read_jsonl(run / f"{_stage(name)}.jsonl")}
        rows += _single_rows(questions, name, answers[name], told, options.judge)
    write_jsonl(run / "judgements.jsonl", rows)
    return rows, judge


def _stage(name: str) -> str:
    return f"grades/{slug(name)}"


def _asks(questions: Sequence[ChatQuestion], turns: Turns) -> list[tuple[Ask, tuple[str, str, str | None]]]:
    """Each answered turn: what a language model is asked, and what a function is given."""
    found = []
    for q in questions:
        for turn in (1, 2):
            said = [t for t in turns[q.id][:turn] if t is not None]
            if len(said) == turn:
                messages = single_messages(q.turns, said, turn, q.references)
                before = "".join(f"User: {q.turns[i]}\n\nAssistant: {said[i]}\n\n" for i in range(turn - 1))
                plain = (
                    f"{before}User: {q.turns[turn - 1]}" if turn > 1 else q.turns[0],
                    said[-1],
                    q.references[turn - 1] if q.references else None,
                )
                found.append((Ask(f"{q.id}-{turn}", messages), plain))
    return found


def _run_function(
    run: RunFolder,
    stage: str,
    spec: str,
    asks: Sequence[tuple[Ask, tuple[str, str, str | None]]],
    options: argparse.Namespace,
) -> None:
    """A user's own grader; an exception in it stops the run, what is no grade in [1, 10] is kept as a reason."""
    function = load_object(spec)
    if not callable(function) or isinstance(function, type):
        raise UserError(f"py:{spec}: give a function f(conversation, answer, reference) -> a grade from 1 to 10")

    def work(part: Sequence[tuple[Ask, tuple[str, str, str | None]]]) -> Iterable[Row]:
        for ask, plain in part:
            try:
                value = function(*plain)
            except Exception as error:
                raise UserError(f"py:{spec}: {ask.key}: {type(error).__name__}: {error}") from error
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if good and 1 <= value <= 10:
                yield {"id": ask.key, "score": float(value), "reason": None}
            else:
                yield {
                    "id": ask.key,
                    "score": None,
                    "reason": f"py:{spec} gave {value!r:.60}: not a grade from 1 to 10",
                }

    units = [(f"{i // options.batch:06d}", asks[i : i + options.batch]) for i in range(0, len(asks), options.batch)]
    HereRunner(run, options.quiet).run(stage, units, work)


def _single_rows(
    questions: Sequence[ChatQuestion],
    name: str,
    answers: tuple[Turns, Reasons],
    told: Mapping[str, Row],
    judge: str,
) -> list[Row]:
    rows = []
    for q in questions:
        for turn in (1, 2):
            row: Row = {"question_id": q.written, "category": q.category, "model": name, "judge": judge, "turn": turn}
            word = told.get(f"{q.id}-{turn}")
            score: float | None = None
            text: str | None = None
            reason: str | None = answers[1].get((q.id, turn), "no answer")
            if word is not None:
                text, reason, score = word.get("text"), word["reason"], word.get("score")
                if text is not None:
                    read = read_score(text)
                    score, reason = (float(read), None) if isinstance(read, int) else (None, read)
            row |= {"score": -1 if score is None else score, "judgment": text, "reason": reason}
            rows.append(row)
    return rows


def compare_pairs(
    options: argparse.Namespace, run: RunFolder, questions: Sequence[ChatQuestion], answers: Answers
) -> tuple[list[Row], Any]:
    """(rows as in DIR/pairs.jsonl, the judge): every two models, every turn that both answered, in both orders."""
    asked = {pair: _questions(questions, answers, pair) for pair in combinations(answers, 2)}
    left = {p: qs for p, qs in asked.items() if not run.finished(f"{_pair_stage(p)}.jsonl")}
    judge: Any = None
    if left:
        server = judge_server(options, run)
        judge = resolve_judge(options.judge, options.device, server=server, calls=run / JUDGE_CALLS)
        if hasattr(judge, "estimate"):
            tell("the judge", judge.estimate([q for qs in left.values() for q in qs]), server)
    human = options.judge == "human"
    rows: list[Row] = []
    for pair, members in asked.items():
        run_pairs(run, _pair_stage(pair), judge, members, 1 if human else options.batch, options.quiet or human)
        told = {row["id"]: row for _, row in read_jsonl(run / f"{_pair_stage(pair)}.jsonl")}
        rows += _pair_rows(questions, pair, answers, told, options.judge)
    write_jsonl(run / "pairs.jsonl", rows)
    return rows, judge


def _pair_stage(pair: tuple[str, str]) -> str:
    return f"pairs/{slug(pair[0])}--{slug(pair[1])}"


def _questions(questions: Sequence[ChatQuestion], answers: Answers, pair: tuple[str, str]) -> list[Question]:
    found = []
    for q in questions:
        one, other = (answers[name][0][q.id] for name in pair)
        for turn in (1, 2):
            if None not in one[:turn] and None not in other[:turn]:
                request = pair_request(q.turns, turn, q.references)
                a, b = (pair_answer([t or "" for t in side], turn) for side in (one, other))
                found += [question(f"{q.id}-{turn}-g1", request, a, b), question(f"{q.id}-{turn}-g2", request, b, a)]
    return found


def _pair_rows(
    questions: Sequence[ChatQuestion], pair: tuple[str, str], answers: Answers, told: Mapping[str, Row], judge: str
) -> list[Row]:
    rows = []
    for q in questions:
        for turn in (1, 2):
            row: Row = {"question_id": q.written, "category": q.category, "model_1": pair[0], "model_2": pair[1]}
            row |= {"judge": judge, "turn": turn}
            reasons = [why for name in pair if (why := answers[name][1].get((q.id, turn)))]
            for game in ("g1", "g2"):
                word = told.get(f"{q.id}-{turn}-{game}")
                p = word["p"] if word is not None else None
                if word is not None and p is None:
                    reasons.append(word["reason"])
                row |= {f"{game}_winner": winner(p, game == "g2"), f"{game}_p": p}
            rows.append(row | ({"reason": "; ".join(reasons)} if reasons else {}))
    return rows


def winner(p: float | None, turned: bool) -> str:
    """FastChat's word for P(the one shown first wins); `turned`: model_2 was shown first."""
    if p is None:
        return "error"
    if p == 0.5:
        return "tie"
    return "model_1" if (p > 0.5) != turned else "model_2"
