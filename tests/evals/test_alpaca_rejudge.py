"""The bridge to a new judge: shifts worked out by hand, rank correlations against scipy, published files, a broken run."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from windvane.core.errors import UserError
from windvane.evals.alpaca.command import main
from windvane.stats.rank_correlation import kendall, rank_correlation, spearman

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "alpaca_eval"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no published annotations at {DATA}")
ASKED = [f"Question {i}?" for i in range(4)]
calls = []
broken_after = None


def first_letter(prompt, a, b):
    """P(a wins) = 0.75 where a comes first in the alphabet, else 0.25; None for an answer that is blank."""
    if broken_after is not None and len(calls) >= broken_after:
        raise RuntimeError("the machine went away")
    calls.append((prompt, a, b))
    return None if " " in (a, b) else 0.75 if a < b else 0.25


JUDGE = f"py:{__name__}:first_letter"


@pytest.fixture(autouse=True)
def fresh():
    global broken_after
    calls.clear()
    broken_after = None


def annotations(path, model, outputs, preferences, judge="old judge", baseline="base"):
    rows = [
        {"instruction": t, "output_1": "mmm", "generator_1": baseline, "output_2": o, "generator_2": model,
         "annotator": judge, "preference": p}
        for t, o, p in zip(ASKED, outputs, preferences)
    ]  # fmt: skip
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """By the new judge: a 0.75 everywhere, b .75 .25 on the two it can be judged on, c .25 everywhere."""
    return [
        annotations(tmp_path / "a.json", "a", ["aa"] * 4, [2, 2, 1, 1]),
        annotations(tmp_path / "b.json", "b", ["aa", "zz", " ", " "], [1, 1, 1, 1.5]),
        annotations(tmp_path / "c.json", "c", ["zz"] * 4, [1.25, 1.25, 1.25, 1.25]),
    ]


def test_shifts_by_hand(files, tmp_path, capsys):
    """a: published 50, rejudged 75, shift 25 over (.75-1, .75-1, .75, .75): cluster sums deviate by .5, se = sqrt(4/3 * 4 * .25)/4 * 100.
    b: on two rows 0 -> 50. c: 25 -> 25. Mean shift over the ten rows: (4 * .25 + 2 * .5 + 0)/10 = 20 points. On the two shared
    instructions a, b, c are published 100, 0, 25 and rejudged 75, 50, 25: rho = 1 - 6 * (0 + 1 + 1)/24 = 0.5, tau = 1/3."""
    assert main(["--rejudge", *files, "--judge", JUDGE, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    a, b, c = found["models"]
    assert (a["published_win_rate"], a["rejudged_win_rate"], a["shift"]["mean"]) == (50, 75, 25)
    assert a["shift"]["standard_error"] == pytest.approx(100 * (4 / 3 * 4 * 0.25) ** 0.5 / 4)
    assert a["shift"]["mde"] == pytest.approx(2.8016 * a["shift"]["standard_error"], abs=0.01)
    assert a["same_side"] == 0.5 and c["same_side"] == 1.0
    assert (b["n"], b["unjudged"], b["published_win_rate"], b["rejudged_win_rate"]) == (2, 2, 0, 50)
    assert (c["shift"]["mean"], c["shift"]["low"], c["shift"]["high"]) == (0, 0, 0)
    assert found["mean_shift"]["mean"] == pytest.approx(20) and found["unjudged"] == 2
    assert found["rank_correlation"]["spearman"] == pytest.approx(0.5)
    assert found["rank_correlation"]["kendall"] == pytest.approx(1 / 3)
    assert found["rank_correlation"]["instructions"] == 2
    one = found["comparisons"][0]  # a - b on the two instructions that both answered
    assert (one["rejudged"]["mean"], one["published"]["mean"]) == (25, 100)
    assert found["label"] == f"judged again by {JUDGE}; published by old judge"
    rows = json.loads((tmp_path / "out" / "b" / "annotations.json").read_text())
    assert rows[0]["annotator"] == JUDGE and rows[0]["preference"] == 1.75 and rows[0]["published_preference"] == 1
    assert rows[2]["preference"] is None and "not a probability" in rows[2]["reason"]
    assert json.loads((tmp_path / "out" / "result.json").read_text())["name"] == "alpaca-rejudge"


def test_the_table_carries_the_label(files, tmp_path, capsys):
    main(["--rejudge", *files, "--judge", JUDGE, "--out", str(tmp_path / "out")])
    text = capsys.readouterr().out
    assert text.startswith(f"judged again by {JUDGE}; published by old judge") and "not comparable" in text
    assert JUDGE in (tmp_path / "out" / "plot.svg").read_text()
    # The rows scored again never get the length-controlled figure.
    main([str(tmp_path / "out" / "a" / "annotations.json"), "--json"])
    again = json.loads(capsys.readouterr().out)
    assert again["win_rate"] == 75 and again["length_controlled_winrate"] is None and again["annotator"] == JUDGE


def test_a_limit_draws_the_same_instructions_of_every_model(files, tmp_path, capsys):
    main(["--rejudge", files[0], files[2], "--judge", JUDGE, "--out", str(tmp_path / "out"), "--limit", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    asked = [{prompt for prompt, *sides in calls if answer in sides} for answer in ("aa", "zz")]
    assert asked[0] == asked[1] and len(asked[0]) == found["instructions"] == 2 and found["rank_correlation"] is None


def test_broken_off_and_resumed(files, tmp_path, capsys):
    global broken_after
    rejudge = ["--rejudge", *files, "--judge", JUDGE, "--batch", "2"]
    main([*rejudge, "--out", str(tmp_path / "whole")])
    calls.clear()
    broken_after = 5
    with pytest.raises(UserError, match="the machine went away"):
        main([*rejudge, "--out", str(tmp_path / "parts")])
    broken_after = None
    main([*rejudge, "--out", str(tmp_path / "parts")])
    assert len(calls) == 12 + 1, "the pair that the break interrupted is asked again, nothing else"
    assert (tmp_path / "whole" / "manifest.json").read_text() == (tmp_path / "parts" / "manifest.json").read_text()


def test_rank_correlations_equal_scipy():
    rng = np.random.default_rng(0)
    for ties in (100, 3):
        a, b = rng.integers(0, ties, 9).astype(float), rng.integers(0, ties, 9).astype(float)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
        assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert rank_correlation([[0.1], [0.2]], [[0.1], [0.2]]) is None
    flat = rank_correlation([[0.5, 0.5]] * 3, [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    assert flat is not None and flat["spearman"] is None


@needs_data
def test_published_files_judged_by_length(tmp_path, capsys):
    """Published win rates of the drawn instructions are the files' own; a judge by the alphabet shifts every model."""
    names = ["alpaca-7b", "gpt-3.5-turbo-1106"]
    files = [str(DATA / n / "annotations.json") for n in names]
    assert main(["--rejudge", *files, "--judge", JUDGE, "--out", str(tmp_path / "o"), "--limit", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for m, path in zip(found["models"], files):
        asked = {
            row["instruction"] for row in json.loads((tmp_path / "o" / m["model"] / "annotations.json").read_text())
        }
        told = [r["preference"] - 1 for r in json.loads(Path(path).read_text()) if r["instruction"] in asked]
        assert len(asked) == 50 and m["published_win_rate"] == pytest.approx(100 * np.mean(told))


def test_what_cannot_be(files, tmp_path):
    other = annotations(tmp_path / "d.json", "d", ["x"] * 4, [1] * 4, judge="another judge")
    base = annotations(tmp_path / "e.json", "e", ["x"] * 4, [1] * 4, baseline="other")
    (tmp_path / "f.json").write_text(json.dumps([{"preference": 1.5, "generator_2": "f"}]))
    for bad, line in [
        ([files[0], other], "2 different annotators"),
        ([files[0], base], "2 different baselines"),
        ([files[0], files[0]], "two files are of model 'a'"),
        ([str(tmp_path / "f.json")], "no row has instruction, output_1 and output_2"),
    ]:
        with pytest.raises(UserError, match=line):
            main(["--rejudge", *bad, "--judge", JUDGE, "--out", str(tmp_path / "x")])
    with pytest.raises(UserError, match="leave --model"):
        main(["--rejudge", *files, "--judge", JUDGE, "--out", str(tmp_path / "x"), "--model", "m"])
