"""`windvane eval multifaceted`: Multifaceted Bench, each answer graded from 1 to 5 by its own user's rubrics (arXiv 2405.17977).

    windvane eval multifaceted --bench BENCH --model M --judge rubric:http://HOST:PORT/v1#JUDGE --out DIR
    windvane eval multifaceted --bench BENCH --answers FILE --judge rubric:BACKEND --shuffled --out DIR
    windvane eval multifaceted --votes VOTES

In: the bench, a model or its answers, a judge. Out: DIR/answers.jsonl, DIR/own.jsonl (and shuffled.jsonl), DIR/result.json and plot.svg.
An instance without an answer, and a grade that cannot be read, are counted with their reasons. The judge is asked in our words, so figures
are not comparable with published ones. A model whose template has no system role gets the system message in the user's turn, and a note.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, seed_of
from windvane.core.schema import encode
from windvane.core.settings import settle
from windvane.datasets.table_rows import rows_of
from windvane.engines.http.flags import spending
from windvane.engines.local import Sampling
from windvane.evals.diversity import mean_distinct, mean_rouge_between
from windvane.evals.live.folder import JUDGE_CALLS, candidates, judge_server, keep
from windvane.evals.live.judge import Expected, tell, tell_expected
from windvane.evals.live.model import Candidate, Wanted, run_answers
from windvane.evals.model_families import warnings
from windvane.janus.bench.flags import check, parser
from windvane.janus.bench.grade import (
    OTHER,
    OWN,
    account_of,
    estimate,
    open_rubric_judge,
    questions,
    run_grades,
)
from windvane.janus.bench.score import against_shuffled, summarise
from windvane.janus.bench.votes import read_votes, summarise_votes
from windvane.judges.rubric import MAX_TOKENS
from windvane.judges.rubric_rows import Instance, read_bench
from windvane.models.load import load_tokenizer
from windvane.prompts.chat import System, merged
from windvane.prompts.rubric import rubric_messages
from windvane.prompts.system_role import system_mode
from windvane.run.store import RunFolder, file_sha256, read_jsonl
from windvane.stats.bootstrap import Interval

ANSWERS = "answers"
TEXTS = ("response", "output", "answer", "text")


@dataclass(frozen=True, slots=True)
class MultifacetedRun:
    """What must be the same when the command is given again. Files (bench, answers) by their SHA-256."""

    judge: str
    name: str
    model: str | None
    files: dict[str, str]
    system: bool
    runs: int
    limit: int | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    batch: int


def main(argv: Sequence[str]) -> int:
    """Grade, or count votes; 0 when a figure was printed."""
    options = parser().parse_args(list(argv))
    check(options)
    if options.votes is not None:
        found = summarise_votes(read_votes(options.votes), options.seed)
        print(json.dumps(found) if options.json else votes_table(found))
        return 0
    with RunFolder(options.out) as run:
        result, spent = evaluate(options, run)
    print(json.dumps({**result, "spent": spent}) if options.json else table(result, spent))
    return 0


def evaluate(options: argparse.Namespace, run: RunFolder) -> tuple[dict[str, Any], dict[str, float] | None]:
    """(result as in DIR/result.json, what the judge's calls took)."""
    bench = read_bench(options.bench)
    if options.limit is not None:
        bench = sorted(bench, key=lambda i: seed_of("limit", i.id))[: options.limit]
    settle(run / "eval.toml", _settings(options))
    texts, missing, told = _answers(options, run, bench)
    if not texts:
        raise UserError(f"{options.bench}: not one instance has an answer; the first: {next(iter(missing))}")
    kinds = [OWN, OTHER] if options.shuffled else [OWN]
    asked = {kind: questions(bench, texts, options.runs, kind, options.seed) for kind in kinds}
    left = [kind for kind in kinds if not run.finished(f"{kind}.jsonl")]
    judge = None
    if left:
        server = judge_server(options, run)
        judge = open_rubric_judge(options.judge, options.device, server, run / JUDGE_CALLS)
        tell("the judge", estimate(judge, [a for kind in left for a in asked[kind]]), server)
    rows = {k: run_grades(run, k, judge, asked[k], options.batch, options.quiet) for k in kinds}
    roles = {
        "judge": options.judge,
        "model": options.name,
        "writer": options.writer,
        "rubric maker": options.rubric_maker,
    }
    result: dict[str, Any] = {
        "name": "multifaceted",
        "label": f"Multifaceted Bench graded by {options.judge} in our words, not comparable with published scores",
        "model": options.name,
        "judge": options.judge,
        "writer": options.writer,
        "rubric_maker": options.rubric_maker,
        "system": not options.no_system,
        **summarise(rows[OWN], options.seed),
        "without_answer": dict(missing),
        "shuffled": against_shuffled(rows[OWN], rows[OTHER], options.seed) if OTHER in rows else None,
        "diversity": diversity(bench, texts, options.seed),
        "notes": [*told, *warnings(roles)],
    }
    if options.runs > 1 and len(set(result["runs"])) == 1:
        result["notes"].append(
            "all runs gave the same grades: the judge is greedy, so that more runs tell nothing more"
        )
    keep(run, result, plot(result))
    account = account_of(judge)
    return result, spending(argparse.Namespace(account=account)) if account is not None else None


def diversity(bench: Sequence[Instance], texts: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Distinct 2- and 3-grams of an answer; ROUGE-L between the answers to one prompt's different system messages."""
    groups: dict[str, list[str]] = {}
    for i in bench:
        if i.id in texts:
            groups.setdefault(i.prompt, []).append(texts[i.id])
    alone = [[t] for t in texts.values()]
    found = {"distinct_2": mean_distinct(alone, 2, seed), "distinct_3": mean_distinct(alone, 3, seed)}
    found["rouge_l_between_system_messages"] = mean_rouge_between(list(groups.values()), seed)
    return {name: encode(v) for name, v in found.items()}


def _settings(options: argparse.Namespace) -> MultifacetedRun:
    named = {"bench": options.bench, "answers": options.answers}
    files = {role: Path(f) for role, f in named.items() if f is not None and Path(f).is_file()}
    return MultifacetedRun(
        options.judge,
        options.name,
        options.model,
        {role: file_sha256(p) for role, p in files.items()},
        not options.no_system,
        options.runs,
        options.limit,
        options.temperature,
        options.top_p,
        options.max_new_tokens,
        options.seed,
        options.batch,
    )


def _answers(
    options: argparse.Namespace, run: RunFolder, bench: Sequence[Instance]
) -> tuple[dict[str, str], Counter[str], list[str]]:
    """(instance -> answer, why others have none, counted, what there is to say)."""
    if options.answers is not None:
        given = read_given(options.answers)
        texts = {i.id: given[i.id] for i in bench if given.get(i.id, "").strip()}
        lost = Counter(
            "not in the answers' file" if i.id not in given else "empty answer" for i in bench if i.id not in texts
        )
        return texts, lost, []
    model = candidates(options, run, [options.model])[0]
    mode, note = ("template", None) if model.local is None else system_mode(load_tokenizer(model.local))
    if not run.finished(f"{ANSWERS}.jsonl"):
        wanted = [Wanted(i.id, _chat(i, not options.no_system, mode)) for i in bench]
        _expect(options, run, model, bench, wanted)
        sampling = Sampling(1, options.temperature, options.top_p, options.max_new_tokens)
        run_answers(run, ANSWERS, model, [(sampling, wanted)], options.seed, options.batch, options.quiet)
        model.close()
    rows = [row for _, row in read_jsonl(run / f"{ANSWERS}.jsonl")]
    texts = {row["id"]: row["text"] for row in rows if (row["text"] or "").strip()}
    lost = Counter((row["reason"] or "empty answer").partition(": ")[0] for row in rows if row["id"] not in texts)
    return texts, lost, [note] if note is not None and not options.no_system else []


def _expect(
    options: argparse.Namespace, run: RunFolder, model: Candidate, bench: Sequence[Instance], wanted: Sequence[Wanted]
) -> None:
    """Tell what it may cost before anything is asked."""
    if model.server is not None:
        calls = [Expected(w.messages, options.max_new_tokens) for w in wanted]
        tell_expected(model.name, model.spec, model.server, calls, "calls kept from before included")
    guess = "x" * (4 * options.max_new_tokens)
    graded = [
        Expected(rubric_messages(Prompt.of((Message("user", i.prompt),)), guess, r.text, i.reference), MAX_TOKENS)
        for i in bench
        for r in i.rubrics
    ]
    times = options.runs * (2 if options.shuffled else 1)
    judge = options.judge.removeprefix("rubric:")
    tell_expected(
        "the judge", judge, judge_server(options, run), graded * times, "were every answer as long as it may be"
    )


def _chat(i: Instance, system: bool, mode: System) -> tuple[Message, ...]:
    chat = (Message("system", i.system), Message("user", i.prompt))
    return tuple(merged(chat) if mode == "merge" else chat) if system else chat[1:]


def read_given(path: Path) -> dict[str, str]:
    """Id (as text) -> answer, from the released layout or rows with an id and a response."""
    found: dict[str, str] = {}
    for place, row in rows_of(path):
        field = next((name for name in TEXTS if isinstance(row.get(name), str)), None)
        if row.get("id") is None or field is None:
            raise UserError(f"{place}: expected id and response (text); it has {', '.join(row) or 'no fields'}")
        if str(row["id"]) in found:
            raise UserError(f"{place}: field 'id': '{row['id']}' stands twice; keep one answer an instance")
        found[str(row["id"])] = row[field]
    return found


def plot(result: Mapping[str, Any]) -> str:
    """Means by source with their intervals, the shuffled control beside the whole."""
    points = [Point("all instances", result["mean"], result["low"], result["high"])]
    if result["shuffled"] is not None:
        points.append(Point("all instances", result["shuffled"]["mean"], series=1))
    points += [Point(p["source"], p["mean"], p["low"], p["high"]) for p in result["sources"]]
    names = ("own rubrics", "another's rubrics") if result["shuffled"] is not None else ()
    return interval_plot(points, f"Multifaceted Bench: {result['model']}", "grade, 1 to 5", (1, 5), names=names)


def table(result: Mapping[str, Any], spent: Mapping[str, float] | None) -> str:
    """For a terminal."""
    lines = [result["label"], f"{'source':24} {'grade':>6}  95% interval     instances"]
    for row in [
        *result["sources"],
        {"source": "all instances", **{k: result[k] for k in ("mean", "low", "high", "scored")}},
    ]:
        shown = "no grade" if row["mean"] is None else f"{row['mean']:6.2f}  [{row['low']:.2f}, {row['high']:.2f}]"
        lines.append(f"{row['source'][:24]:24} {shown:24} {row['scored']:>9}")
    if result["by_prompt"] is not None:
        b = result["by_prompt"]
        lines.append(f"with all system messages of a prompt drawn together: [{b['low']:.2f}, {b['high']:.2f}]")
    lines.append(f"{result['unreadable']} of {result['grades']} grades could not be read")
    if result["unreadable"]:
        lines.append("all instances, were they all 1 or all 5: {:.2f} to {:.2f}".format(*result["bounds"]))
    if result["without_answer"]:
        lines.append("without an answer: " + ", ".join(f"{n} {why}" for why, n in result["without_answer"].items()))
    control = result["shuffled"]
    if control is not None and control["difference"] is not None:
        ends = f"[{control['low']:.2f}, {control['high']:.2f}]"
        lines.append(
            f"by another's rubrics {control['mean']:.2f}: own minus another's {control['difference']:.2f} {ends}"
        )
    between = result["diversity"]["rouge_l_between_system_messages"]
    if between is not None:
        lines.append(f"ROUGE-L between answers to different system messages: {Interval(**between).mean:.3f}")
    lines += [f"note: {note}" for note in result["notes"]]
    if spent is not None:
        lines.append(f"{spent['calls']:.0f} calls, {spent['cost']:.4f} in money")
    return "\n".join(lines)


def votes_table(found: Mapping[str, Any]) -> str:
    lines = [f"{found['votes']} votes on {found['instances']} instances, percent with 95% intervals over instances"]
    shown = {name: v for name, v in found.items() if isinstance(v, dict)}
    lines += [f"{name:12} {v['percent']:5.1f}  [{v['low']:.1f}, {v['high']:.1f}]" for name, v in shown.items()]
    return "\n".join(lines)
