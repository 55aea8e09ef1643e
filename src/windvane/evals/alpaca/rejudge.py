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
from windvane.evals.alpaca.annotations import Annotation, read_annotations
from windvane.evals.alpaca.length_adjusted import length_adjusted_win_rate
from windvane.evals.alpaca.live import AlpacaSettings, preference, question
from windvane.evals.alpaca.table import rejudge_plot, rejudge_table
from windvane.evals.live.driver import Collected, Evaluation
from windvane.evals.live.flags import check_live
from windvane.evals.live.model import slug
from windvane.runs.store import RunFolder, file_sha256, write_atomic
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


def rejudge(options: argparse.Namespace) -> Evaluation:
    """The evaluation that `options` describe: nothing is asked of a model. Raises `UserError` where the files do not go together."""
    check_live(options, "alpaca", ("judge",), "alpaca-rejudge")
    if not options.annotations:
        raise UserError("eval alpaca --rejudge: name files of published annotations")
    read = [read_published(path, options.annotator) for path in options.annotations]
    models = [r[0] for r in read]
    for what, names in (("baseline", sorted({r[1] for r in read})), ("annotator", sorted({r[2] for r in read}))):
        if len(names) > 1:
            raise UserError(f"--rejudge: the files have {len(names)} different {what}s ({', '.join(names)}); take one")
    twice = [name for name, n in Counter(m.model for m in models).items() if n > 1]
    if twice:
        raise UserError(f"--rejudge: two files are of model {twice[0]!r}; name each model once")
    baseline, published_judge = read[0][1], read[0][2]
    texts = drawn(models, options.limit)
    files = {m.model: file_sha256(path) for m, path in zip(models, options.annotations)}
    batch = 1 if options.judge == "human" else options.batch
    keys = {(m.model, t): content_id([m.model, t]) for m in models for t in texts if t in m.rows}
    questions = [
        question(keys[m.model, t], t, m.rows[t].output_1 or "", m.rows[t].output_2 or "")
        for m in models
        for t in texts
        if t in m.rows
    ]

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        verdicts = collected.verdicts["judgements"]
        for m in models:
            of_model = {t: verdicts[keys[m.model, t]] for t in texts if t in m.rows}
            _write(collected.run, m, texts, of_model, options.judge, published_judge)
        probabilities = {k: verdicts[key]["p"] for k, key in keys.items()}
        result = _result(models, texts, probabilities, options, baseline, published_judge)
        return result, rejudge_plot(result)

    return Evaluation(
        name="alpaca-rejudge",
        settings=AlpacaSettings("alpaca-rejudge", options.judge, files, options.limit, batch=batch),
        requests=lambda _: [],
        questions=lambda _: {"judgements": questions},
        figures=figures,
        table=rejudge_table,
        rows="judgements.jsonl",
    )


def _write(
    run: RunFolder, m: Published, texts: Sequence[str], verdicts: Mapping[str, Mapping[str, Any]], judge: str, old: str
) -> None:
    rows = []
    for text in texts:
        if text in verdicts:
            published, p = m.rows[text], verdicts[text]["p"]
            row = {k: v for k, v in asdict(published).items() if k != "p"} | {
                "annotator": judge,
                "preference": None if p is None else preference(p, text),
                "published_annotator": old,
                "published_preference": 1 + (published.p or 0.0),
            }
            rows.append(row if p is not None else row | {"reason": verdicts[text]["reason"]})
    write_atomic(run / slug(m.model) / "annotations.json", json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def _result(
    models: Sequence[Published],
    texts: Sequence[str],
    verdicts: Mapping[tuple[str, str], float | None],
    options: argparse.Namespace,
    baseline: str,
    old: str,
) -> dict[str, Any]:
    new: dict[str, dict[str, float]] = {}
    for m in models:
        of_model = {t: verdicts[m.model, t] for t in texts if t in m.rows}
        new[m.model] = {t: preference(p, t) - 1 for t, p in of_model.items() if p is not None}
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
    shown = [p for p in verdicts.values() if p is not None]
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
        "unjudged": len(verdicts) - len(shown),
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
