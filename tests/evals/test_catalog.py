"""The list of evaluations names verbs that exist, and says of each what it needs."""

import json
from pathlib import Path

from windvane.cli.verbs import VERBS
from windvane.evals.catalog import EVALUATIONS, main


def test_every_name_is_a_verb(capsys):
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == set(EVALUATIONS) and all(f"eval {name}" in VERBS for name in found)
    assert all(row["needs"] and isinstance(row["offline"], bool) for row in found.values())
    assert main([]) == 0 and "needs a network" in capsys.readouterr().out


def test_the_page_has_the_same_names():
    page = (Path(__file__).parents[2] / "docs" / "evaluations" / "README.md").read_text()
    rows = [line.split("|")[1].strip(" []").partition("]")[0] for line in page.splitlines() if line.startswith("| ")]
    assert set(EVALUATIONS) <= set(rows)
