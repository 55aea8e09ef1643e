"""The page of an EvalYaks run, on planted numbers: what the headline may say, and what stands beside it."""

import json

import pytest

from windvane.cli.report import render
from windvane.evalyaks.report import graded_answer, graded_panels, graded_tables
from windvane.report.gather import gather


def system(name, acceptable, dov):
    measures = {"strict_acceptable_accuracy": acceptable, "qwk": None, "coverage": 1.0}
    return {"system": name, "acceptable_accuracy": acceptable, "dov": dov, **measures}


def planted(folder, gaps):
    """A run whose adapters differ from base, weight-free and constant 3 by `gaps`: (value, low, high)."""
    rows = [system("base", 0.5, 1.2), system("trained", 0.8, 0.6), system("weight-free", 0.8, 0.6)]
    rows += [system("constant 2", 0.4, 1.4), system("constant 3", 0.6, 1.1)]
    differences = []
    for other, (value, low, high) in zip(("base", "weight-free", "constant 3", "constant 2"), (*gaps, gaps[2])):
        where = {"model": "trained", "other": other, "part": "average", "criterion": None}
        differences.append({**where, "measure": "acceptable_accuracy", "value": value, "low": low, "high": high})
        differences.append({**where, "measure": "dov", "value": 9.0, "low": 9.0, "high": 9.0})
    (folder / "evaluations" / "cefr-test").mkdir(parents=True)
    result = {"name": "cefr", "rows": 40, "differences": differences, "headline": "h"}
    (folder / "evaluations" / "cefr-test" / "result.json").write_text(json.dumps(result))
    (folder / "adapters" / "part1" / "train").mkdir(parents=True)
    steps = [{"step": s, "split": "train", "epoch": s / 2, "loss": 1.0 / s} for s in (1, 2)]
    (folder / "adapters" / "part1" / "train" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in steps))
    losses = {"loss_first": 1.0, "loss_last": 0.5, "held_out_first": None, "held_out_last": None}
    summary = {
        "recipe": "evalyaks",
        "model": "base",
        "conversations": {"train": 30, "held-out": 4, "test": 40},
        "left_out": {"conversations <without> bands": 2},
        "adapters": [{"name": "part1", "steps": 2, **losses}],
        "evaluations": {"cefr-test": rows},
        "levels": [{"adapter": "vocabulary", "by": "base", "items": 8, "accurate": 0.5, "low": 0.2, "high": 0.8}],
        "iterations": [],
        "notes": [],
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize(
    ("base", "tone", "headline"),
    [
        ((0.3, 0.2, 0.4), "good", "Closer to the reference than the base"),
        ((-0.3, -0.4, -0.2), "bad", "Farther from the reference than the base"),
        ((0.1, -0.1, 0.3), "unsure", "No difference to the base is shown"),
        ((0.1, None, None), "unsure", "No difference to the base is shown"),
    ],
)
def test_the_headline_is_the_interval_s(tmp_path, base, tone, headline):
    run = planted(tmp_path, (base, (-0.05, -0.1, -0.01), (0.2, 0.1, 0.3)))
    found = graded_answer(gather(run), run)
    assert (found.tone, found.headline) == (tone, headline)
    assert "from 0.500 to 0.800" in found.sentence and "from 1.20 to 0.60 bands" in found.sentence
    assert [t for t, _ in found.remarks] == ["bad", "good"]
    assert found.remarks[0][1].startswith("It is behind the scorer that needs no weights (difference -0.050")
    assert "answering 3 to everybody" in found.remarks[1][1], "the best of the constants"


def test_tables_panels_and_the_page(tmp_path):
    run = planted(tmp_path, ((0.3, 0.2, 0.4), (0.0, -0.1, 0.1), (0.2, 0.1, 0.3)))
    found = gather(run)
    told = graded_tables(found)
    assert told["conversations"].rows[-1] == ["left out: conversations <without> bands", "2"]
    assert told["measured"].rows[0][:2] == ["base, test", "0.500"] and told["adapters"].rows[0][0] == "part1"
    assert graded_panels(found, run)["loss"].svg is not None
    page = render(run)
    assert "Closer to the reference" in page and "&lt;without&gt;" in page and "Win rates" not in page


def test_a_run_that_has_scored_nothing_says_so(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"recipe": "evalyaks", "iterations": [], "model": "m"}))
    assert graded_answer(gather(tmp_path), tmp_path).headline == "Not measured yet"
    assert "Not measured yet" in render(tmp_path)
