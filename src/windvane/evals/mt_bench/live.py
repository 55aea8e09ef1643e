"""`windvane eval mt-bench --model`: ask the models, judge, write, report (evals/mt_bench/conversations.py and evals/mt_bench/judging.py
say what and how).

In: checked options. Out: the result as in DIR/result.json, the judge that was asked (for what it cost), the table for a terminal.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from windvane.core.errors import UserError
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.evals.arena_hard import command as pairwise
from windvane.evals.chat_questions import Questions
from windvane.evals.judgements import read_judgements
from windvane.evals.live.flags import check_live
from windvane.evals.live.folder import JudgedRun, answer_notes, candidates, keep, slug
from windvane.evals.mt_bench import command as mt_bench
from windvane.evals.mt_bench.conversations import answer_all, files_of, given_answers, prepared
from windvane.evals.mt_bench.judging import Row, compare_pairs, expect, grade
from windvane.judges.llm import MAX_TOKENS
from windvane.run.store import RunFolder


def run_live(options: argparse.Namespace) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
    """(result, table, what was spent)."""
    how = "mt-bench-pairs" if options.pairwise else "mt-bench"
    check_live(options, "mt-bench", ("questions", "judge"), how)
    if options.judge_tokens is None:
        options.judge_tokens = MAX_TOKENS if options.pairwise else 1024
    options.pair_tokens = options.judge_tokens
    if options.judge_tokens < 1:
        raise UserError(f"--judge-tokens {options.judge_tokens}: must be at least 1")
    specs, given = options.model or [], options.answers or []
    if options.pairwise and len(specs) + len(given) < 2:
        raise UserError("--pairwise: compares models; name two with --model, or one's answers with --answers FILE")
    questions = prepared(options)
    with RunFolder(options.out) as run:
        settings = JudgedRun(how, options.judge, files_of(options), options.limit, options.judge_tokens, options.batch)
        settle(run / "eval.toml", settings)
        models = candidates(options, run, specs) if specs else []
        answers = dict(given_answers(path, questions.rows) for path in given)
        both = [m.name for m in models if m.name in answers]
        if both or len(answers) < len(given):
            raise UserError(
                f"--answers: a model stands twice ({', '.join(both or answers)}); give each a name of its own"
            )
        expect(options, run, questions.rows, models, list(answers))
        answers |= answer_all(options, run, models, questions.rows)
        if options.pairwise:
            rows, judge = compare_pairs(options, run, questions.rows, answers)
            result, table, svg = _pairs(options, run, rows, next(iter(answers)))
        else:
            rows, judge = grade(options, run, questions.rows, answers)
            result, table, svg = _grades(run, rows, options)
        said = [
            note
            for m in models
            for note in answer_notes(
                run, m.name, options.max_new_tokens, *(f"answers/{slug(m.name)}.turn-{t}" for t in (1, 2))
            )
        ]
        questions = replace(questions, notes=(*questions.notes, *said))
        result = _headed(result, how, options.judge, questions, rows)
        keep(run, result, svg)
    head = [result["label"], table, f"{result['unjudged']} of {result['asked']} turns without a verdict"]
    head += [f"note: {note}" for note in questions.notes]
    return result, "\n".join(head), spending(judge) if judge is not None else None


def _headed(result: dict[str, Any], how: str, judge: str, questions: Questions, rows: Sequence[Row]) -> dict[str, Any]:
    reasons = Counter(_kind(row["reason"]) for row in rows if row.get("reason"))
    return {
        "name": how,
        "label": f"MT-Bench's questions judged by {judge}, not comparable with published scores",
        "judge": judge,
        **result,
        "questions": len(questions.rows),
        "asked": len(rows),
        "unjudged": sum(reasons.values()),
        "reasons": dict(reasons.most_common(5)),
        "left_out": {**questions.left_out, **result["left_out"]},
        "notes": [*questions.notes, *result["notes"]],
    }


def _kind(reason: str) -> str:
    """A reason without the judge's own words."""
    return reason.partition(": ")[0][:80]


def _grades(run: RunFolder, rows: Sequence[Row], options: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    if all(row["score"] == -1 for row in rows):
        raise UserError(f"--judge {options.judge}: no grade could be read; the first: {rows[0]['reason']}")
    result = mt_bench.summarise(mt_bench.read_scores(run / "judgements.jsonl"), options.seed)
    return result, mt_bench.table(result), mt_bench.plot(result, f"MT-Bench, graded by {options.judge}")


def _pairs(
    options: argparse.Namespace, run: RunFolder, rows: Sequence[Row], anchor: str
) -> tuple[dict[str, Any], str, str]:
    if all("error" in (row["g1_winner"], row["g2_winner"]) for row in rows):
        raise UserError(f"--judge {options.judge}: no pair was judged; the first: {rows[0].get('reason', 'no reason')}")
    result = pairwise.summarise(read_judgements([run / "pairs.jsonl"], anchor), anchor, options.resamples, options.seed)
    title = f"MT-Bench in pairs, judged by {options.judge}"
    return result, pairwise.table(result), pairwise.plot(result, title)
