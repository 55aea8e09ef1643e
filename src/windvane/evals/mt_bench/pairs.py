"""MT-Bench's conversations of every two models compared, turn by turn and in both orders.

    windvane eval mt-bench --model M ... --questions FILE --judge J --pairwise --out DIR

In: what `windvane.evals.mt_bench.live` takes, and any judge of pairs. Out: DIR/pairs.jsonl in FastChat's layout, which
`windvane eval arena-hard DIR/pairs.jsonl` scores again; ratings as Arena-Hard has them. What a judge could not say is winner "error".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.arena_hard.score import plot, summarise, table
from windvane.evals.chat_questions import ChatQuestion
from windvane.evals.judgements import read_judgements
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.judge import Judge, Keyed, PairVerdicts, pair_question
from windvane.evals.live.model import Rows, slug
from windvane.evals.mt_bench.live import TURNS, read_conversations, reason_of, texts_of
from windvane.evals.mt_bench.prompt import pair_answer, pair_request
from windvane.judges.llm import MAX_TOKENS
from windvane.runs.store import write_jsonl

Row = dict[str, Any]
Pair = tuple[str, str]


def mt_bench_pairs(options: argparse.Namespace) -> tuple[Evaluation, Judge]:
    """Every two models compared. Raises `UserError` for what is missing or does not go together."""
    conversations = read_conversations(options, "mt-bench-pairs", MAX_TOKENS)
    pairs = list(combinations(conversations.names, 2))
    rows_of = conversations.questions.rows

    def questions(responses: Responses) -> dict[str, list[Keyed]]:
        return {_stage(pair): _questions(rows_of, *(responses[name] for name in pair)) for pair in pairs}

    def figures(collected: Collected) -> tuple[Row, str]:
        rows = [
            row
            for pair in pairs
            for row in _rows(rows_of, pair, collected.responses, collected.verdicts[_stage(pair)], options.judge)
        ]
        write_jsonl(collected.run / "pairs.jsonl", rows)
        if all("error" in (row["g1_winner"], row["g2_winner"]) for row in rows):
            why = rows[0].get("reason", "no reason")
            raise UserError(f"--judge {options.judge}: no pair was judged; the first: {why}")
        anchor = conversations.names[0]
        judgements = read_judgements([collected.run / "pairs.jsonl"], anchor)
        ratings = summarise(judgements, anchor, options.resamples, options.seed)
        result = conversations.result(collected, ratings, rows)
        return result, plot(result, f"MT-Bench in pairs, judged by {options.judge}")

    judge = PairVerdicts(options.judge, options.device, options.judge_tokens)
    return conversations.evaluation(questions, figures, table, "pairs.jsonl"), judge


def _stage(pair: Pair) -> str:
    return f"pairs/{slug(pair[0])}--{slug(pair[1])}"


def _questions(questions: Sequence[ChatQuestion], first: Sequence[Rows], second: Sequence[Rows]) -> list[Keyed]:
    """Both orders of every turn that both models answered."""
    found: list[Keyed] = []
    for q in questions:
        one, other = texts_of(q, first), texts_of(q, second)
        for turn in TURNS[: min(len(one), len(other))]:
            request = pair_request(q.turns, turn, q.references)
            a, b = pair_answer(one, turn), pair_answer(other, turn)
            found.append(pair_question(f"{q.id}-{turn}-g1", request, a, b))
            found.append(pair_question(f"{q.id}-{turn}-g2", request, b, a))
    return found


def _rows(questions: Sequence[ChatQuestion], pair: Pair, responses: Responses, verdicts: Rows, judge: str) -> list[Row]:
    """A row for each turn in FastChat's layout."""
    rows = []
    for q in questions:
        for turn in TURNS:
            row: Row = {"question_id": q.written, "category": q.category, "model_1": pair[0], "model_2": pair[1]}
            row |= {"judge": judge, "turn": turn}
            reasons = [why for name in pair if (why := reason_of(q, responses[name], turn))]
            for game in ("g1", "g2"):
                verdict = verdicts.get(f"{q.id}-{turn}-{game}")
                p = verdict["p"] if verdict is not None else None
                if verdict is not None and p is None:
                    reasons.append(verdict["reason"])
                row |= {f"{game}_winner": winner(p, game == "g2"), f"{game}_p": p}
            rows.append(row | ({"reason": "; ".join(reasons)} if reasons else {}))
    return rows


def winner(p: float | None, swapped: bool) -> str:
    """FastChat's word for P(the response shown first wins); `swapped`: model_2 was shown first."""
    if p is None:
        return "error"
    if p == 0.5:
        return "tie"
    return "model_1" if (p > 0.5) != swapped else "model_2"
