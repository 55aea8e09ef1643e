"""The demo gets better, and says so; its two controls do not. The programme grades, on topics that training never saw."""

import json

import pytest

from windvane.cli.main import main
from windvane.runs.store import file_sha256


def demo(out, *more):
    assert main(["demo", "--out", str(out), "--quiet", *more]) == 0
    return json.loads((out / "summary.json").read_text())["iterations"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    return out, demo(out)


@pytest.mark.slow
def test_it_gets_better(finished):
    _, rows = finished
    assert [r["iteration"] for r in rows] == [0, 1, 2, 3]
    rates = [r["win_rate"] for r in rows]
    assert rows[0]["low"] < 0.5 + 0.03 and abs(rates[0] - 0.5) < 0.04, "the start against itself is noise around 1/2"
    assert rates[1] > 0.55 and rates[3] > 0.62 and rates[1] < rates[2] < rates[3]
    assert rows[3]["low"] > 0.6
    assert all(r["low"] < r["win_rate"] < r["high"] for r in rows)
    assert rows[3]["proxy_win_rate"] > rates[3], "the proxy likes what it rewarded better than the programme does"
    assert rows[0]["kl"] == 0.0 and 0 < rows[1]["kl"] < rows[2]["kl"] < rows[3]["kl"] < 6
    assert rows[3]["mean_length"] > rows[0]["mean_length"], "one logit for the longer reply shows"
    assert all(r["prompts"] >= 200 for r in rows)


@pytest.mark.slow
def test_what_it_leaves_behind(finished, capsys):
    out, _ = finished
    manifest = json.loads((out / "manifest.json").read_text())
    assert {
        "summary.json",
        "report.html",
        "recipe.toml",
        "model/model.safetensors",
        "model/README.md",
        "heldout.jsonl",
    } <= set(manifest)
    for t in (1, 2, 3):
        for name in (
            "prompts",
            "responses",
            "verdicts",
            "groups",
            "reference",
            "answers",
            "evaluation",
            "train/metrics",
        ):
            assert f"iter-{t}/{name}.jsonl" in manifest
    assert all(file_sha256(out / name) == digest for name, digest in manifest.items())
    held = {json.loads(row)["id"] for row in (out / "heldout.jsonl").read_text().splitlines()}
    for t in (1, 2, 3):
        trained = {json.loads(row)["id"] for row in (out / f"iter-{t}/prompts.jsonl").read_text().splitlines()}
        assert len(trained) == 256 and not trained & held
    assert main(["demo", "--out", str(out), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "win rate vs start" in told and str(out / "report.html") in told


@pytest.mark.slow
def test_control_half_of_the_verdicts_flipped(tmp_path):
    rows = demo(tmp_path / "run", "--judge", "world:styles:coin")
    assert rows[3]["win_rate"] < 0.55 and rows[3]["low"] < 0.53


@pytest.mark.slow
def test_control_a_judge_that_sees_only_length(tmp_path):
    rows = demo(tmp_path / "run", "--judge", "world:styles:length", "--evaluate.proxy", "world:styles:length")
    assert rows[3]["proxy_win_rate"] > 0.60
    assert rows[3]["win_rate"] < 0.53
