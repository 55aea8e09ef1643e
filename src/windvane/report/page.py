"""RUN/report.html: one self-contained page that opens with the answer.

In: a run folder, finished or not. Out: RUN/report.html, written atomically, the same bytes for the same run: no dates, seconds,
absolute paths or host names. Nothing is fetched: style, script, charts and data are in the file, and its content security policy
forbids the network and any script but its own. All text from models and users is escaped by the template, or reaches the page as
JSON that the script shows as text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import dumps
from windvane.evalyaks.report import SECTIONS as GRADED_SECTIONS
from windvane.evalyaks.report import graded_answer, graded_panels, graded_tables, is_graded
from windvane.finetune.panels import SECTIONS as OWN_SECTIONS
from windvane.finetune.panels import is_own, own_answer, own_tables
from windvane.janus.training.report import models_page
from windvane.longpo.report.browse import long_browse
from windvane.longpo.report.gather import long_run
from windvane.longpo.report.panels import long_answer, long_panels, long_tables
from windvane.report.browse import browse
from windvane.report.comparison import write_beside
from windvane.report.evaluations import evaluations
from windvane.report.frame import fill
from windvane.report.gather import gather, iteration_numbers
from windvane.report.panels import panels
from windvane.report.tables import tables
from windvane.report.verdict import answer
from windvane.run.store import write_atomic

SECTIONS = (
    ("answer", "Answer"),
    ("wins", "Win rates"),
    ("training", "Training"),
    ("drift", "Drift"),
    ("judge", "Judge"),
    ("evaluations", "Evaluations"),
    ("browse", "Answers"),
    ("settings", "Settings"),
)
LONG_SECTIONS = (
    ("answer", "Answer"),
    ("documents", "Data"),
    ("training", "Training"),
    ("drift", "KL"),
    ("evaluations", "Evaluations"),
    ("browse", "Questions"),
    ("settings", "Settings"),
)
SIGNS = {"good": "▲", "bad": "▼", "unsure": "◆", "note": "•"}


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path. `UserError` where `run` is not a run folder or a file in it is broken."""
    path = run / "report.html"
    write_atomic(path, render(run))
    return path


def render(run: Path) -> str:
    """The page's text."""
    if (models := models_page(run)) is not None:
        return models
    found, numbers, measured = gather(run), iteration_numbers(run), evaluations(run)
    long = long_run(run, numbers)
    own, graded = is_own(found), is_graded(found)
    sets = browse(run) if long is None else long_browse(run, numbers)
    return fill(
        "page.html",
        GRADED_SECTIONS if graded else OWN_SECTIONS if own else SECTIONS if long is None else LONG_SECTIONS,
        "page.js",
        data=embedded({"sets": sets}),
        long=long,
        own=own,
        graded=graded,
        signs=SIGNS,
        answer=(
            graded_answer(found, run)
            if graded
            else own_answer(found, [one.name for one in measured])
            if own
            else answer(found)
            if long is None
            else long_answer(found, long, [one.name for one in measured])
        ),
        notes=found.summary.get("notes", []),
        recipe=found.summary.get("recipe", "run" if long is None else "longpo"),
        model=found.summary.get("model", "model not named yet"),
        evaluation_judge=found.summary.get("evaluation_judge"),
        proxy_is=(
            "is the judge that trained"
            if found.summary.get("proxy_judge") == found.summary.get("judge")
            else f"stands for the judge that trained ({found.summary.get('judge')})"
        ),
        proxy_judge=found.summary.get("proxy_judge") or "not named",
        judged=bool(found.judged),
        evaluated=bool(found.iterations),
        panels=graded_panels(found, run) if graded else panels(found) if long is None else long_panels(found, long),
        tables=graded_tables(found)
        if graded
        else own_tables(found)
        if own
        else tables(found)
        if long is None
        else long_tables(long),
        cycles=found.cycles.overall,
        evaluations=measured,
        settings=found.settings,
        sets=sets,
    )


def embedded(value: Any) -> Markup:
    """JSON that cannot leave its `<script>` element: `<`, `>` and `&` are written as escapes inside its strings."""
    text = dumps(value)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def main(argv: Sequence[str]) -> int:
    """`windvane report RUN`, or `windvane report RUN_A RUN_B [--out FILE]`: two runs side by side."""
    parser = Parser(
        prog="windvane report",
        description="Write RUN/report.html again from the run's files; of two runs, a page of both side by side.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("other", type=Path, metavar="RUN_B", nargs="?", help="another, to stand beside it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of two runs (default: beside.html, here)")
    given = parser.parse_args(argv)
    if given.other is None:
        if given.out is not None:
            raise UserError("--out: one run's page is RUN/report.html; it goes with two runs")
        print(write_report(given.run))
    else:
        print(write_beside((given.run, given.other), given.out or Path("beside.html")))
    return 0
