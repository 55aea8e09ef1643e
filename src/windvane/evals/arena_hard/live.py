"""Arena-Hard with live models: each response beside the baseline's in both orders, five levels, rated.

    windvane eval arena-hard --model M ... --questions FILE --baseline ANSWERS --judge J --out DIR

In: Arena-Hard's question file, the baseline's responses in its layout. Out: DIR/answers/MODEL.jsonl and DIR/judgements.jsonl in
Arena-Hard's layout, which `windvane eval arena-hard DIR/judgements.jsonl --baseline NAME` scores again; DIR/result.json, DIR/plot.svg.

As published, the first game shows the baseline as A and the second the model, responses are greedy, and a strong verdict counts 3 times.
Departures: the wording is our own (evals/arena_hard/prompt.py) and there is one attempt, so ratings are this judge's own; a judge of pairs
that is not a language model gives probabilities, which thresholds of ours turn into levels. A missing response or verdict is kept with its
reason and counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.evals.arena_hard.prompt import level_messages, level_of, read_level
from windvane.evals.arena_hard.score import plot, summarise, table
from windvane.evals.chat_questions import ChatQuestion, read_questions, read_responses, response_row
from windvane.evals.judgements import read_judgements
from windvane.evals.live.driver import Collected, Evaluation, JudgedSettings, Responses
from windvane.evals.live.flags import check_live
from windvane.evals.live.judge import Judge, Keyed, PairVerdicts, TextVerdicts, language_model, pair_question
from windvane.evals.live.model import Request, Rows, names_of, response_notes, slug
from windvane.judges.questions import Ask
from windvane.runs.store import file_sha256, write_jsonl

Row = dict[str, Any]


def judge_of(options: argparse.Namespace) -> Judge:
    """A language model is asked for one of five levels, every other judge for a probability."""
    backend = language_model(options.judge)
    if backend is None:
        return PairVerdicts(options.judge, options.device)
    return TextVerdicts(backend, options.device, options.judge_tokens)


def arena_hard(options: argparse.Namespace) -> Evaluation:
    """The evaluation that `options` describe. Raises `UserError` for what is missing or does not go together."""
    check_live(options, "arena-hard", ("questions", "judge"))
    if options.judge_tokens < 1:
        raise UserError(f"--judge-tokens {options.judge_tokens}: must be at least 1")
    base_name, baseline, baseline_left_out = read_responses(options.baseline)
    read = read_questions(options.questions, 1, options.limit)
    rows = [q for q in read.rows if q.id in baseline]
    if not rows:
        raise UserError(f"{options.baseline}: answers none of the questions; its question_ids are others")
    given = dict(_given(path, base_name, rows) for path in options.answers or [])
    models = names_of(options)
    names = [*models, *given]
    if base_name in names or len(set(names)) < len(models) + len(options.answers or []):
        raise UserError(f"--model, --answers: {', '.join(names)} and the baseline {base_name}: names must differ")
    files = {"questions": file_sha256(options.questions), "baseline": file_sha256(options.baseline)}
    in_words = language_model(options.judge) is not None

    def questions(responses: Responses) -> dict[str, list[Keyed]]:
        return {_stage(name): _games(rows, baseline, responses[name][0], in_words) for name in names}

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        judgements: list[Row] = [
            {
                "question_id": q.written,
                "category": q.category,
                "model": name,
                "baseline": base_name,
                "judge": options.judge,
                "games": [
                    _game(collected.verdicts[_stage(name)].get(f"{q.id}-{n}"), collected.responses[name][0][q.id])
                    for n in (1, 2)
                ],
            }
            for name in names
            for q in rows
        ]
        write_jsonl(collected.run / "judgements.jsonl", judgements)
        games: list[Row] = [game for row in judgements for game in row["games"]]
        if all(game["score"] is None for game in games):
            raise UserError(f"--judge {options.judge}: no verdict could be read; the first: {games[0]['reason']}")
        found = read_judgements([collected.run / "judgements.jsonl"], base_name)
        rated = summarise(found, base_name, options.resamples, options.seed)
        notes = [
            note
            for name in models
            for note in response_notes(name, options.max_new_tokens, collected.responses[name][0].values())
        ]
        result = {
            "name": "arena-hard",
            "label": f"Arena-Hard's questions judged by {options.judge}, not comparable with published scores",
            "judge": options.judge,
            "levels": "the judge's own" if in_words else "from probabilities, by our thresholds",
            **rated,
            "questions": len(rows),
            "without_baseline": len(read.rows) - len(rows),
            "unjudged": sum(game["score"] is None for game in games),
            "reasons": dict(Counter((g["reason"] or "").partition(": ")[0][:80] for g in games if g["reason"])),
            "verdicts": dict(sorted(Counter(g["score"] for g in games if g["score"]).items())),
            "left_out": {**baseline_left_out, **read.left_out, **rated["left_out"]},
            "notes": [*read.notes, *rated["notes"], *notes],
        }
        return result, plot(result, f"Against {base_name}, judged by {options.judge}")

    def layout(name: str, turns: Sequence[Rows]) -> list[Row]:
        texts = {q.id: turns[0][q.id]["text"] for q in rows}
        return [response_row(q, name, [] if texts[q.id] is None else [texts[q.id]]) for q in rows]

    return Evaluation(
        name="arena-hard",
        settings=JudgedSettings("arena-hard", options.judge, files, options.limit, options.judge_tokens, options.batch),
        requests=lambda _: [Request(q.id, (Message("user", q.turns[0]),)) for q in rows],
        questions=questions,
        figures=figures,
        table=lambda result: (
            f"{result['label']}\n{table(dict(result))}\n{result['unjudged']} of {2 * len(rows) * len(names)} games without a "
            "verdict"
        ),
        stage="answers/{model}.turn-{turn}",
        given=given,
        layout=layout,
        guesses={q.id: baseline[q.id][0] for q in rows},
        rows="judgements.jsonl",
    )


def _given(path: Any, base_name: str, rows: Sequence[ChatQuestion]) -> tuple[str, list[Rows]]:
    """(name, its responses) of a model whose responses are in a file."""
    name, responses, _ = read_responses(path)
    texts = {q.id: responses[q.id][0] if q.id in responses else None for q in rows}
    missing = {"reason": "no answer in the file"}
    return (path.stem if name == base_name else name), [{i: {"text": text, **missing} for i, text in texts.items()}]


def _stage(name: str) -> str:
    return f"games/{slug(name)}"


def _games(
    rows: Sequence[ChatQuestion], baseline: Mapping[str, Sequence[str]], responses: Rows, in_words: bool
) -> list[Keyed]:
    """Both games of every question with a response: the baseline is A in the first, B in the second."""
    games: list[Keyed] = []
    for q in rows:
        theirs, ours = baseline[q.id][0], responses[q.id]["text"]
        if ours is not None:
            for key, first, second in ((f"{q.id}-1", theirs, ours), (f"{q.id}-2", ours, theirs)):
                request = q.turns[0]
                games.append(
                    Ask(key, level_messages(request, first, second))
                    if in_words
                    else pair_question(key, request, first, second)
                )
    return games


def _game(verdict: Mapping[str, Any] | None, response: Mapping[str, Any]) -> Row:
    """The verdict of one game in Arena-Hard's layout, or the reason why there is none."""
    if verdict is None:
        return {"score": None, "judgment": None, "reason": response["reason"] or "no answer"}
    if "p" in verdict:
        score = None if verdict["p"] is None else level_of(verdict["p"])
        return {"score": score, "judgment": None, "p": verdict["p"], "reason": verdict["reason"]}
    if verdict["text"] is None:
        return {"score": None, "judgment": None, "reason": verdict["reason"]}
    level, reason = read_level(verdict["text"])
    return {"score": level, "judgment": verdict["text"], "reason": reason}
