"""`windvane report RUN`: write a run's page again, whichever recipe made it; of two runs, compare them on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.report.comparison import write_beside
from windvane.report.page import render_self_play, write_report


def render(run: Path) -> str:
    """The page of a run folder by the recipe that made it; a folder that no other recipe claims is shown as a self-play run."""
    from windvane.evalyaks import report as evalyaks
    from windvane.finetune import panels as finetune
    from windvane.janus.training import report as janus
    from windvane.longpo.report import panels as longpo

    for recipe in (janus, longpo, evalyaks, finetune):
        text = recipe.render(run)
        if text is not None:
            return text
    return render_self_play(run)


def main(argv: Sequence[str]) -> int:
    """`windvane report RUN`, or `windvane report RUN_A RUN_B [--out FILE]`."""
    parser = Parser(
        prog="windvane report",
        description="Write RUN/report.html again from the run's files; of two runs, a page of both side by side.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("other", type=Path, metavar="RUN_B", nargs="?", help="another run to compare it with")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page of two runs (default: beside.html, here)")
    given = parser.parse_args(list(argv))
    if given.other is None:
        if given.out is not None:
            raise UserError("--out: one run's page is RUN/report.html; --out goes with two runs")
        print(write_report(given.run, render))
    else:
        print(write_beside((given.run, given.other), given.out or Path("beside.html")))
    return 0
