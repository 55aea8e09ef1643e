"""The report of 60,000 prompts: the page stays small, says what it shows, and any other row is a command away."""

import json
import re

import pytest

from benchmarks.report_size import make_run
from windvane.cli.main import main

PROMPTS, WORDS = 20_000, 50  # of each of three iterations, as a run deals 60,000 out; of an answer


@pytest.mark.slow
def test_sixty_thousand_prompts(tmp_path, capsys):
    run = make_run(tmp_path / "run", PROMPTS, words=WORDS)
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 20_000_000
    sets = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])["sets"]
    totals = {one["label"]: (one["total"], len(one["entries"])) for one in sets}
    shown = [totals[f"Training, iteration {t}"] for t in (1, 2, 3)]
    assert all(total == PROMPTS and 300 <= entries < 400 for total, entries in shown), (
        "a seeded sample and the extremes"
    )
    assert page.count("20,000") >= 3, "the tables count every prompt"
    on_page = {entry["id"] for one in sets for entry in one["entries"]}
    with (run / "iter-2" / "prompts.jsonl").open(encoding="utf-8") as rows:
        *_, unseen = (row for row in map(json.loads, rows) if row["id"] not in on_page)
    assert unseen["id"] not in page
    capsys.readouterr()
    assert main(["inspect", str(run), "--id", unseen["id"]]) == 0
    told = capsys.readouterr().out
    assert unseen["messages"][0]["content"] in told and told.count("p_loo") == 5 and told.count("verdicts.jsonl") == 10
