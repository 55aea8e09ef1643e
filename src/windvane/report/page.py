"""RUN/report.html: one self-contained page that opens with the answer.

In: a run folder, finished or not. Out: RUN/report.html, written atomically, the same bytes for the same run: no dates, seconds,
absolute paths or host names. Nothing is fetched: style, script, charts and data are in the file, and its content security policy
forbids the network and any script but its own. All text from models and users is escaped by the template, or reaches the page as
JSON that the script shows as text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from windvane.core.schema import dumps
from windvane.report.browse import browse
from windvane.report.evaluations import Evaluation, evaluations
from windvane.report.frame import fill
from windvane.report.gather import Gathered, gather
from windvane.report.panels import Panel, panels
from windvane.report.tables import Table, tables
from windvane.report.verdict import Answer, answer
from windvane.runs.store import write_atomic

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
SIGNS = {"good": "▲", "bad": "▼", "unsure": "◆", "note": "•"}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a recipe shows on the page of its run.

    `layout` names the template of its own sections (play.html, long.html, own.html or graded.html), `sections` the (anchor, name) pairs of
    the bar, `sets` what the browser of prompts and responses holds, and `details` a recipe's own data for its template.
    """

    layout: Literal["play", "long", "own", "graded"]
    sections: Sequence[tuple[str, str]]
    answer: Answer
    panels: Mapping[str, Panel]
    tables: Mapping[str, Table]
    sets: list[dict[str, Any]] = field(default_factory=list)
    recipe: str = "run"
    details: Any = None


def write_report(run: Path, render: Callable[[Path], str | None]) -> Path:
    """Write RUN/report.html by the recipe's `render` and return its path.

    Raises `UserError` where `run` is not a run folder or a file in it is broken.
    """
    path, text = run / "report.html", render(run)
    assert text is not None, "a recipe renders its own runs"
    write_atomic(path, text)
    return path


def render_self_play(run: Path) -> str:
    """The page of a self-play run, and of any folder that is not another recipe's."""
    gathered = gather(run)
    contents = Contents("play", SECTIONS, answer(gathered), panels(gathered), tables(gathered), browse(run))
    return render_contents(gathered, evaluations(run), contents)


def render_contents(gathered: Gathered, measured: Sequence[Evaluation], contents: Contents) -> str:
    """The page's text from what a recipe shows on it."""
    summary = gathered.summary
    return fill(
        "page.html",
        contents.sections,
        "page.js",
        data=embedded({"sets": contents.sets}),
        long=contents.details if contents.layout == "long" else None,
        own=contents.layout == "own",
        graded=contents.layout == "graded",
        signs=SIGNS,
        answer=contents.answer,
        notes=summary.get("notes", []),
        recipe=summary.get("recipe", contents.recipe),
        model=summary.get("model", "model not named yet"),
        evaluation_judge=summary.get("evaluation_judge"),
        proxy_is=(
            "is the judge that trained"
            if summary.get("proxy_judge") == summary.get("judge")
            else f"stands for the judge that trained ({summary.get('judge')})"
        ),
        proxy_judge=summary.get("proxy_judge") or "not named",
        judged=bool(gathered.judged),
        evaluated=bool(gathered.iterations),
        panels=contents.panels,
        tables=contents.tables,
        cycles=gathered.cycles.overall,
        evaluations=measured,
        settings=gathered.settings,
        sets=contents.sets,
    )


def embedded(value: Any) -> Markup:
    """JSON that cannot leave its `<script>` element: `<`, `>` and `&` are written as escapes inside its strings."""
    text = dumps(value)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
