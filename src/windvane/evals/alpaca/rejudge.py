"""A bridge to a new judge: models with published annotations are judged again, and the shift is reported.

    windvane eval alpaca --rejudge ANNOTATIONS.json ... --judge J --out DIR --limit 200

The judges of published figures are retired, so a new model cannot be put beside an old one by the old judge. In: annotation files of
several models against one baseline by one judge. The same answers are shown to J, in the order that the published run drew. Out:
DIR/MODEL/annotations.json in alpaca_eval's layout; for each model J's win rate minus the published one on the same instructions, paired,
clustered by instruction; over the models the mean shift and whether both judges put them into the same order (rank_correlation.py).

J's figures are its own: every row and the result carry its name, and the length-controlled figure is not computed for them. Where length
may explain a shift, the same regression on both judges' pairs (`length_adjusted_win_rate`, length_adjusted.py) stands beside it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.core.settings import settle
from windvane.engines.http.flags import spending
from windvane.engines.names import resolve_judge
from windvane.evals.alpaca.annotations import Annotation, read_annotations
from windvane.evals.alpaca.length_adjusted import length_adjusted_win_rate
from windvane.evals.alpaca.live import AlpacaRun, pair_question, preference
from windvane.evals.alpaca.rejudge_table import rejudge_plot
from windvane.evals.live.flags import check_live
from windvane.evals.live.folder import JUDGE_CALLS, judge_server, keep, slug
from windvane.evals.live.judge import run_pairs, tell
from windvane.run.store import RunFolder, file_sha256, read_jsonl, write_atomic
from windvane.stats.paired import Difference, paired_difference
from windvane.stats.rank_correlation import rank_correlation

TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Published:
    """One model's published rows that can be judged again, by instruction."""

    model: str
    rows: dict[str, Annotation]
    left_out: dict[str, int]


def read_published(path: Path, annotator: str | None) -> tuple[Published, str, str]:
    """(rows, baseline, published judge). `UserError` where the rows do not hold what a judge must see."""
    found = read_annotations(path, None, annotator)
    left: Counter[str] = Counter(found.left_out)
    rows: dict[str, Annotation] = {}
    for row in found.judged:
        if row.instruction is None or row.output_1 is None or row.output_2 is None:
            left["no instruction, output_1 or output_2"] += 1
        elif row.instruction in rows:
            left["instruction asked again"] += 1
        else:
            rows[row.instruction] = row
    if not rows:
        raise UserError(f"{path}: no row has instruction, output_1 and output_2; a judge must see all three")
    names = found.name("generator_2"), found.name("generator_1"), found.name("annotator")
    return Published(names[0] or path.parent.name, rows, dict(left)), names[1] or "unnamed", names[2] or "unnamed"


def drawn(models: Sequence[Published], limit: int | None) -> list[str]:
    """The instructions to ask about, `limit` of them drawn by their content from those that the most models have."""
    counts = Counter(text for m in models for text in m.rows)
    order = list(dict.fromkeys(text for m in models for text in m.rows))
    if limit is None:
        return order
    best = set(sorted(order, key=lambda t: (-counts[t], seed_of("alpaca limit", t)))[:limit])
    return [t for t in order if t in best]


def run_rejudge(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Judge again, write, report: (the result as in DIR/result.json, what was spent)."""
    check_live(options, "alpaca", ("judge",), "alpaca-rejudge")
    if not options.annotations:
        raise UserError("eval alpaca --rejudge: name files of published annotations")
    read = [read_published(path, options.annotator) for path in options.annotations]
    models = [r[0] for r in read]
    for what, there in (("baseline", sorted({r[1] for r in read})), ("annotator", sorted({r[2] for r in read}))):
        if len(there) > 1:
            raise UserError(f"--rejudge: the files have {len(there)} different {what}s ({', '.join(there)}); take one")
    twice = [name for name, n in Counter(m.model for m in models).items() if n > 1]
    if twice:
        raise UserError(f"--rejudge: two files are of model {twice[0]!r}; name each model once")
    baseline, old = read[0][1], read[0][2]
    texts = drawn(models, options.limit)
    files = {m.model: file_sha256(path) for m, path in zip(models, options.annotations)}
    batch = 1 if options.judge == "human" else options.batch
    with RunFolder(options.out) as run:
        settle(run / "eval.toml", AlpacaRun("alpaca-rejudge", options.judge, files, options.limit, batch=batch))
        keys = {(m.model, t): content_id([m.model, t]) for m in models for t in texts if t in m.rows}
        questions = [
            pair_question(keys[m.model, t], t, m.rows[t].output_1 or "", m.rows[t].output_2 or "")
            for m in models
            for t in texts
            if t in m.rows
        ]
        judge = None
        if not run.finished("judgements.jsonl"):
            server = judge_server(options, run)
            judge = resolve_judge(options.judge, options.device, server=server, calls=run / JUDGE_CALLS)
            if hasattr(judge, "estimate"):
                tell("the judge", judge.estimate(questions), server)
        run_pairs(run, "judgements", judge, questions, batch, options.quiet or options.judge == "human")
        told = {row["id"]: row for _, row in read_jsonl(run / "judgements.jsonl")}
        for m in models:
            _write(run, m, texts, {t: told[keys[m.model, t]] for t in texts if t in m.rows}, options.judge, old)
        result = _result(models, texts, {k: told[id]["p"] for k, id in keys.items()}, options, baseline, old)
        keep(run, result, rejudge_plot(result))
    return result, spending(judge)


def _write(
    run: RunFolder, m: Published, texts: Sequence[str], told: Mapping[str, Mapping[str, Any]], judge: str, old: str
) -> None:
    rows = []
    for text in texts:
        if text in told:
            row, p = m.rows[text], told[text]["p"]
            made = {k: v for k, v in asdict(row).items() if k != "p"} | {
                "annotator": judge,
                "preference": None if p is None else preference(p, text),
                "published_annotator": old,
                "published_preference": 1 + (row.p or 0.0),
            }
            rows.append(made if p is not None else made | {"reason": told[text]["reason"]})
    write_atomic(run / slug(m.model) / "annotations.json", json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def _result(
    models: Sequence[Published],
    texts: Sequence[str],
    told: Mapping[tuple[str, str], float | None],
    options: argparse.Namespace,
    baseline: str,
    old: str,
) -> dict[str, Any]:
    new: dict[str, dict[str, float]] = {}
    for m in models:
        found = {t: told[m.model, t] for t in texts if t in m.rows}
        new[m.model] = {t: preference(p, t) - 1 for t, p in found.items() if p is not None}
    judged = [m for m in models if new[m.model]]
    if not judged:
        raise UserError(f"--judge {options.judge}: gave no usable verdict at all; see {options.out}/judgements.jsonl")
    pairs = [(m, t) for m in judged for t in texts if t in new[m.model]]
    shift = paired_difference(
        [new[m.model][t] for m, t in pairs], [m.rows[t].p or 0.0 for m, t in pairs], [t for _, t in pairs], options.seed
    )
    common = [t for t in texts if all(t in new[m.model] for m in judged)]
    order = rank_correlation(
        [[m.rows[t].p or 0.0 for t in common] for m in judged],
        [[new[m.model][t] for t in common] for m in judged],
        seed=options.seed,
    )
    notes = [f"every figure named rejudged_ is {options.judge}'s and not comparable with published ones"]
    if order is None:
        notes.append("a rank correlation needs three models and instructions that all of them answered")
    shown = [p for p in told.values() if p is not None]
    return {
        "name": "alpaca-rejudge",
        "label": f"judged again by {options.judge}; published by {old}",
        "judge": options.judge,
        "published_judge": old,
        "baseline": baseline,
        "instructions": len(texts),
        "models": [_model(m, texts, new[m.model], options.seed) for m in models],
        "mean_shift": points(shift),
        "rank_correlation": order,
        "comparisons": _comparisons(judged, texts, new, options.seed),
        "first_shown_win_rate": sum(shown) / len(shown),
        "unjudged": len(told) - len(shown),
        "left_out": dict(sum((Counter(m.left_out) for m in models), Counter())),
        "notes": notes,
    }


def _model(m: Published, texts: Sequence[str], new: Mapping[str, float], seed: int) -> dict[str, Any]:
    used = [t for t in texts if t in new]
    entry: dict[str, Any] = {
        "model": m.model,
        "n": len(used),
        "unjudged": sum(t in m.rows for t in texts) - len(used),
        "left_out": m.left_out,
    }
    if not used:
        return entry | {"published_win_rate": None, "rejudged_win_rate": None, "shift": None}
    old, now = [m.rows[t].p or 0.0 for t in used], [new[t] for t in used]
    sided = [(p, q) for p, q in zip(old, now) if abs(p - 0.5) > TIE and abs(q - 0.5) > TIE]
    delta = [len(m.rows[t].output_1 or "") - len(m.rows[t].output_2 or "") for t in used]
    adjusted = {
        f"{which}_length_adjusted_win_rate": 100
        * length_adjusted_win_rate(shares, delta, used, 2, seed).length_adjusted_win_rate
        for which, shares in (("published", old), ("rejudged", now))
    }
    return entry | {
        "published_win_rate": 100 * sum(old) / len(old),
        "rejudged_win_rate": 100 * sum(now) / len(now),
        "shift": points(paired_difference(now, old, used, seed)),
        "same_side": sum((p > 0.5) == (q > 0.5) for p, q in sided) / len(sided) if sided else None,
        **adjusted,
    }


def _comparisons(
    models: Sequence[Published], texts: Sequence[str], new: Mapping[str, Mapping[str, float]], seed: int
) -> list[dict[str, Any]]:
    """Every two models by both judges on the instructions that both answered: does the new one see the same difference."""
    found = []
    for one, other in combinations(models, 2):
        shared = [t for t in texts if t in new[one.model] and t in new[other.model]]
        if shared:
            now = paired_difference(
                [new[one.model][t] for t in shared], [new[other.model][t] for t in shared], shared, seed
            )
            old = paired_difference(
                [one.rows[t].p or 0.0 for t in shared], [other.rows[t].p or 0.0 for t in shared], shared, seed
            )
            found.append({"first": one.model, "second": other.model, "rejudged": points(now), "published": points(old)})
    return found


def points(difference: Difference) -> dict[str, Any]:
    """A difference of shares in percentage points."""
    return {k: v if v is None or k in ("n", "clusters") else 100 * v for k, v in asdict(difference).items()}
