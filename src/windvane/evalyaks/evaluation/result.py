"""The result of a comparison of predicted with reference scores: every model and its reference lines, as data, chart and text.

In: scored rows and the models' predictions. Out: for every model, and for the constant, majority, length-only and second-rater lines beside
it, the paper's outcomes and degree of variation and the agreement by part and criterion, each with a 95% interval over candidates; the same
for the subsets that are shown apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.charts.intervals import Point, interval_plot
from windvane.evalyaks.evaluation.measures import OUTCOMES, Scale
from windvane.evalyaks.evaluation.reference_lines import lines
from windvane.evalyaks.evaluation.systems import Scored, System, compare

AGREEMENT = ("qwk", "exact", "adjacent", "rmse", "within_half", "within_one", "pearson", "spearman", "bias")


def evaluate(
    rows: Sequence[Scored], models: Sequence[System], scale: Scale | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """`models` beside their lines on all rows and on the subsets that are to be seen apart: each setting (global, indian), and the
    rows that a second rater marked where not all are."""
    scale = scale or Scale()
    compared = compare(rows, [*models, *lines(rows, scale)], scale, resamples, seed)
    settings = sorted({r.setting for r in rows if r.setting})
    subsets = {f"setting {s}": [i for i, r in enumerate(rows) if r.setting == s] for s in settings}
    double = [i for i, r in enumerate(rows) if r.second]
    if 0 < len(double) < len(rows):
        subsets["marked twice"] = double
    apart = {}
    for name, at in subsets.items():
        own = [rows[i] for i in at]
        some = [System(m.name, [m.predictions[i] for i in at], m.kind, m.note) for m in models]
        apart[name] = compare(own, [*some, *lines(own, scale)], scale, resamples, seed)
    notes = [] if all(r.words is not None for r in rows) else ["no length-only line: rows lack words and text"]
    notes += [] if double else ["no human-human line: no row has a second rater's scores"]
    return {"name": "cefr", **overview(compared), **compared, "subsets": apart, "notes": notes}


def overview(compared: Mapping[str, Any]) -> dict[str, Any]:
    """A sentence on the models, and a flat row a system: what a report shows first."""
    flat = ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk", "coverage")
    rows = [{"system": s["name"], **{m: s["average"][m]["value"] for m in flat}} for s in compared["systems"]]
    said = [
        f"{s['name']}: acceptable accuracy {_with(s['average']['acceptable_accuracy'])}, DOV {_with(s['average']['dov'], 2)}, "
        f"QWK {_with(s['average']['qwk'], 2)}"
        for s in compared["systems"]
        if s["kind"] == "model"
    ]
    return {"headline": "; ".join(said) + ".", "models": rows}


def plot(result: Mapping[str, Any]) -> str:
    """Average acceptable accuracy of every system."""
    points = []
    for s in result["systems"]:
        m = s["average"]["acceptable_accuracy"]
        points.append(Point(s["name"], m["value"], m["low"], m["high"], int(s["kind"] == "line")))
    title = "Acceptable accuracy, mean over parts"
    return interval_plot(
        points, title, "share of answers, 95% intervals over candidates", (0.0, 1.0), names=("models", "lines")
    )


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal: a table a part, one system a line; subsets after the whole."""
    shown = _tables(result)
    for name, subset in result.get("subsets", {}).items():
        shown += ["", f"{name}:", *_tables(subset)]
    shown += [f"  {note}" for note in result.get("notes", ())]
    shown += [f"  left out, {reason}: {n}" for reason, n in result["left_out"].items()]
    for model, reasons in result["invalid"].items():
        shown += [f"  {model}, invalid, {reason}: {n}" for reason, n in reasons.items()]
    return "\n".join(shown)


def _tables(result: Mapping[str, Any]) -> list[str]:
    systems = result["systems"]
    width = max(len(s["name"]) for s in systems)
    shown = [f"{result['rows']} answers of {result['candidates']} candidates; 95% intervals over candidates"]
    head = f"  {'':{width}}  " + "  ".join(f"{o[:10]:>10}" for o in OUTCOMES)
    for part, first in systems[0]["parts"].items():
        shown.append(f"{'part ' + part if part != 'all' else 'all'}: {first['rows']} answers")
        shown.append(f"{head}  {'acceptable acc.':>20}  {'strict':>6}  {'DOV':>17}  {'QWK':>19}")
        for system in systems:
            block = system["parts"][part]
            shares = "  ".join(f"{_shown(block[o]):>10}" for o in OUTCOMES)
            shown.append(
                f"  {system['name']:{width}}  {shares}  {_with(block['acceptable_accuracy']):>20}  "
                f"{_shown(block['strict_acceptable_accuracy']):>6}  {_with(block['dov'], 2):>17}  {_with(block['qwk'], 2):>19}"
            )
        for criterion in first["criteria"]:
            shown.append(f"  {criterion}")
            for system in systems:
                if not system["name"].startswith("constant "):  # nothing to agree with; --json has them
                    m = system["parts"][part]["criteria"][criterion]
                    shown.append(
                        f"    {system['name']:{width}}" + "".join(f"  {n} {_shown(m[n], 2)}" for n in AGREEMENT)
                    )
    shown.append("mean over parts")
    for system in systems:
        a = system["average"]
        shown.append(
            f"  {system['name']:{width}}  acceptable {_with(a['acceptable_accuracy'])}  strict {_with(a['strict_acceptable_accuracy'])}"
            f"  DOV {_with(a['dov'], 2)}  QWK {_with(a['qwk'], 2)}  valid {_shown(a['coverage'])}"
        )
    return shown


def _shown(measure: Mapping[str, float | None], digits: int = 3) -> str:
    return "-" if measure["value"] is None else f"{measure['value']:.{digits}f}"


def _with(measure: Mapping[str, float | None], digits: int = 3) -> str:
    if measure["low"] is None or measure["high"] is None:
        return _shown(measure, digits)
    return f"{_shown(measure, digits)} [{measure['low']:.{digits}f}, {measure['high']:.{digits}f}]"
