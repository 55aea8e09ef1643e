"""The share of its target that each side reached stands in the report's table, per cent; the wrong way is negative."""

import json
import shutil

from windvane.report.gather import gather
from windvane.report.tables import tables


def test_reached(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    summary["iterations"][-1] |= {"chosen_reached": 0.022, "rejected_reached": -0.5}
    (tmp_path / "run/summary.json").write_text(json.dumps(summary))
    drift = tables(gather(tmp_path / "run"))["drift"]
    assert drift.head[-2:] == ["Of its target, chosen", "Of its target, rejected"]
    assert len(drift.rows[-1]) == len(drift.head)
    assert drift.rows[-1][-2:] == ["2.2%", "-50.0%"] and drift.rows[0][-2:] == ["–", "–"]
