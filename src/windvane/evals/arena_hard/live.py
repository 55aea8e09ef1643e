"""Arena-Hard with live models: each answer beside the baseline's in both orders, five levels, rated.

    windvane eval arena-hard --model M ... --questions FILE --baseline ANSWERS --judge J --out DIR

In: Arena-Hard's question file, the baseline's answers in its layout. Out: DIR/answers/MODEL.jsonl and DIR/judgements.jsonl in Arena-Hard's
layout, which `windvane eval arena-hard DIR/judgements.jsonl --baseline NAME` scores again; DIR/result.json, DIR/plot.svg.

As published the first game shows the baseline as A, the second the model, answers are greedy, and a strong verdict counts 3 times.
Departures: our own wording (evals/arena_hard/prompt.py) and one attempt, so ratings are this judge's own; a judge of pairs that is no
language
model gives probabilities, which thresholds of ours turn into levels. A missing answer or verdict is kept with its reason and counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.engines.names import resolve_judge
from windvane.evals.arena_hard import command as pairwise
from windvane.evals.arena_hard.prompt import level_messages, level_of, read_level
from windvane.evals.chat_questions import ChatQuestion, answer_row, read_answers, read_questions
from windvane.evals.judgements import read_judgements
from windvane.evals.live.flags import check_live
from windvane.evals.live.folder import (
    JUDGE_CALLS,
    JudgedRun,
    ModelRun,
    answer_notes,
    candidates,
    judge_server,
    keep,
    slug,
)
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
from windvane.evals.live.model import Candidate, Wanted, run_answers
from windvane.judges.questions import Ask
from windvane.run.store import RunFolder, file_sha256, read_jsonl, write_jsonl

Row = dict[str, Any]
Game = tuple[str, str, str, str]  # key, request, the answer shown as A, as B


def run_live(options: argparse.Namespace) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
    """(the result as in DIR/result.json, the table for a terminal, what was spent)."""
    check_live(options, "arena-hard", ("questions", "judge"))
    if options.judge_tokens < 1:
        raise UserError(f"--judge-tokens {options.judge_tokens}: must be at least 1")
    base_name, base, base_left = read_answers(options.baseline)
    asked = read_questions(options.questions, 1, options.limit)
    rows = [q for q in asked.rows if q.id in base]
    if not rows:
        raise UserError(f"{options.baseline}: answers none of the questions; its question_ids are others")
    files = {"questions": file_sha256(options.questions), "baseline": file_sha256(options.baseline)}
    with RunFolder(options.out) as run:
        settings = JudgedRun("arena-hard", options.judge, files, options.limit, options.judge_tokens, options.batch)
        settle(run / "eval.toml", settings)
        models = candidates(options, run, options.model or [])
        given = dict(_given(path, base_name) for path in options.answers or [])
        names = [m.name for m in models] + list(given)
        if base_name in names or len(set(names)) < len(models) + len(options.answers or []):
            raise UserError(f"--model, --answers: {', '.join(names)} and the baseline {base_name}: names must differ")
        _expect(options, run, rows, base, models, list(given))
        answers = {m.name: _answers(options, run, m, rows) for m in models}
        for name, table in given.items():
            answers[name] = {
                q.id: {"text": table[q.id][0] if q.id in table else None, "reason": "no answer in the file"}
                for q in rows
            }
        judged, judge = _judge(options, run, rows, base, base_name, answers)
        write_jsonl(run / "judgements.jsonl", judged)
        told = [game for row in judged for game in row["games"]]
        if all(game["score"] is None for game in told):
            raise UserError(f"--judge {options.judge}: no verdict could be read; the first: {told[0]['reason']}")
        said = [
            n
            for m in models
            for n in answer_notes(run, m.name, options.max_new_tokens, f"answers/{slug(m.name)}.turn-1")
        ]
        result = pairwise.summarise(
            read_judgements([run / "judgements.jsonl"], base_name), base_name, options.resamples, options.seed
        )
        result = {
            "name": "arena-hard",
            "label": f"Arena-Hard's questions judged by {options.judge}, not comparable with published scores",
            "judge": options.judge,
            "levels": "the judge's own" if language_model(options.judge) else "from probabilities, by our thresholds",
            **result,
            "questions": len(rows),
            "without_baseline": len(asked.rows) - len(rows),
            "unjudged": sum(game["score"] is None for game in told),
            "reasons": dict(Counter((g["reason"] or "").partition(": ")[0][:80] for g in told if g["reason"])),
            "verdicts": dict(sorted(Counter(g["score"] for g in told if g["score"]).items())),
            "left_out": {**base_left, **asked.left_out, **result["left_out"]},
            "notes": [*asked.notes, *result["notes"], *said],
        }
        keep(run, result, pairwise.plot(result, f"Against {base_name}, judged by {options.judge}"))
    table_text = (
        f"{result['label']}\n{pairwise.table(result)}\n{result['unjudged']} of {len(told)} games without a verdict"
    )
    return result, table_text, spending(judge) if judge is not None else None


def _given(path: Any, base_name: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    name, table, _ = read_answers(path)
    return (path.stem if name == base_name else name), table


def _expect(
    options: argparse.Namespace,
    run: RunFolder,
    rows: Sequence[ChatQuestion],
    base: Mapping[str, Sequence[str]],
    models: Sequence[Candidate],
    given: Sequence[str],
) -> None:
    """Tell what it may cost before anything is asked."""
    for model in models:
        if model.server is not None and not run.finished(f"answers/{slug(model.name)}.turn-1.jsonl"):
            chats = [Expected((Message("user", q.turns[0]),), options.max_new_tokens) for q in rows]
            tell_expected(model.name, model.spec, model.server, chats, "calls kept from before included")
    calls = []
    for q in rows:
        one = base[q.id][0]
        if language_model(options.judge):
            calls.append(Expected(level_messages(q.turns[0], one, one), options.judge_tokens))
        else:
            calls.append(expected_pair(q.turns[0], one, one))
    note = "were the answers as long as the baseline's"
    times = sum(not run.finished(f"games/{slug(n)}.jsonl") for n in [*(m.name for m in models), *given])
    tell_expected("the judge", options.judge, judge_server(options, run), calls * 2 * times, note)


def _answers(
    options: argparse.Namespace, run: RunFolder, model: Candidate, rows: Sequence[ChatQuestion]
) -> dict[str, Row]:
    """Question id -> `text` or None with `reason`; DIR/answers/MODEL.jsonl in Arena-Hard's layout."""
    place = f"answers/{slug(model.name)}"
    heat = 0.0 if options.temperature is None else options.temperature
    settle(
        run / f"{place}.toml",
        ModelRun(model.spec, model.name, heat, options.top_p, options.max_new_tokens, options.seed, options.dtype),
    )
    if not run.finished(f"{place}.turn-1.jsonl"):
        sampling = Sampling(1, heat, options.top_p, options.max_new_tokens)
        wanted = [Wanted(q.id, (Message("user", q.turns[0]),)) for q in rows]
        run_answers(run, f"{place}.turn-1", model, [(sampling, wanted)], options.seed, options.batch, options.quiet)
        model.close()
    told = {row["id"]: row for _, row in read_jsonl(run / f"{place}.turn-1.jsonl")}
    write_jsonl(
        run / f"{place}.jsonl",
        (answer_row(q, model.name, [told[q.id]["text"]] if told[q.id]["text"] is not None else []) for q in rows),
    )
    return told


def _judge(
    options: argparse.Namespace,
    run: RunFolder,
    rows: Sequence[ChatQuestion],
    base: Mapping[str, Sequence[str]],
    base_name: str,
    answers: Mapping[str, Mapping[str, Row]],
) -> tuple[list[Row], Any]:
    backend, human = language_model(options.judge), options.judge == "human"
    games = {name: _games(rows, base, table) for name, table in answers.items()}
    left = {n: g for n, g in games.items() if not run.finished(f"games/{slug(n)}.jsonl")}
    judge: Any = None
    if left:
        server, flat = judge_server(options, run), [g for part in left.values() for g in part]
        if backend is not None:
            judge = open_text_judge(backend, options.device, options.judge_tokens, server, run / JUDGE_CALLS)
            tell("the judge", judge.estimate([Ask(k, level_messages(*texts)) for k, *texts in flat]), server)
        else:
            judge = resolve_judge(options.judge, options.device, server=server, calls=run / JUDGE_CALLS)
    found: list[Row] = []
    for name, part in games.items():
        stage = f"games/{slug(name)}"
        if backend is not None:
            asks = [Ask(k, level_messages(*texts)) for k, *texts in part]
            run_texts(run, stage, judge, asks, options.batch, options.quiet)
        else:
            questions = [question(*game) for game in part]
            run_pairs(run, stage, judge, questions, 1 if human else options.batch, options.quiet or human)
        told = {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}
        for q in rows:
            head = {"question_id": q.written, "category": q.category, "model": name, "baseline": base_name}
            missing = answers[name][q.id]["reason"] or "no answer"
            both = [_game(told.get(f"{q.id}-{n}"), missing) for n in (1, 2)]
            found.append({**head, "judge": options.judge, "games": both})
    return found, judge


def _games(rows: Sequence[ChatQuestion], base: Mapping[str, Sequence[str]], table: Mapping[str, Row]) -> list[Game]:
    """Both games of every answered question: the baseline is A in the first, B in the second."""
    found = []
    for q in rows:
        theirs, ours = base[q.id][0], table[q.id]["text"]
        if ours is not None:
            found += [(f"{q.id}-1", q.turns[0], theirs, ours), (f"{q.id}-2", q.turns[0], ours, theirs)]
    return found


def _game(told: Row | None, missing: str) -> Row:
    if told is None:
        return {"score": None, "judgment": None, "reason": missing}
    if "p" in told:
        score = None if told["p"] is None else level_of(told["p"])
        return {"score": score, "judgment": None, "p": told["p"], "reason": told["reason"]}
    if told["text"] is None:
        return {"score": None, "judgment": None, "reason": told["reason"]}
    level, reason = read_level(told["text"])
    return {"score": level, "judgment": told["text"], "reason": reason}
