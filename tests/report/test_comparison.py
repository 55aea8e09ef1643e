"""Two runs side by side: the paired difference by hand, what is not comparable, what differs, hostile text, the page in Chromium."""

import json

import pytest

from tests.report.conftest import NASTY, lines
from windvane.cli.main import main
from windvane.report.comparison import compared, render, side


@pytest.fixture
def pair(tmp_path):
    """Two small runs of one start and one judge; B wins .1 less on each of 40 prompts but the first."""
    for name, shift, lr in (("a", 0.0, "1e-6"), ("b", -0.1, "5e-7")):
        run = tmp_path / name
        rows = [{"iteration": n, "win_rate": w, "low": w - 0.02, "high": w + 0.02, "mean_length": 20.0 + n, "kl": 1.0 * n, "prompts": 40}
                for n, w in enumerate((0.5, 0.6 + shift))]  # fmt: skip
        (run / "iter-1").mkdir(parents=True)
        (run / "summary.json").write_text(
            json.dumps({"recipe": "sppo", "model": "M", "evaluation_judge": "J", "judge": "P", "iterations": rows})
        )
        (run / "recipe.toml").write_text(f'model = "M"\n[train]\nlr = {lr}\nepochs = 1\n')
        wins = [0.6 + (shift if i else 0.0) for i in range(40)]
        lines(run / "iter-1/evaluation.jsonl", [{"id": f"p{i:02d}", "win_start": w} for i, w in enumerate(wins)])
        lines(
            run / "iter-1/answers.jsonl",
            [
                {
                    "id": f"p{i:02d}-0",
                    "prompt_id": f"p{i:02d}",
                    "index": 0,
                    "token_ids": [1, 2],
                    "finish": "stop",
                    "text": f"{name} {NASTY}",
                }
                for i in range(40)
            ],
        )
        lines(
            run / "heldout.jsonl",
            [{"id": f"p{i:02d}", "messages": [{"role": "user", "content": f"ask {i} {NASTY}"}]} for i in range(40)],
        )
    return tmp_path / "a", tmp_path / "b"


def test_the_difference_is_paired_over_the_prompts_of_both(pair):
    a, b = side("A", pair[0]), side("B", pair[1])
    found, why = compared(a, b)
    assert why == "" and found.n == 40 and found.mean == pytest.approx(0.1 * 39 / 40)
    assert 0 < found.low < found.mean, "39 prompts differ by .1 and one by 0"
    assert found.standard_error == pytest.approx(0.1 / 40, rel=1e-6), "s/sqrt(n) of 39 times .1 and once 0"
    page = render(*pair)
    assert "<h1>A is better than B</h1>" in page and "paired over 40 held-out prompts" in page
    assert "<h1>B is better than A</h1>" in render(*reversed(pair))
    assert "one seed" in page, "an interval over prompts says nothing of another seed"
    assert page == render(*pair), "the same bytes"


def test_what_differs_and_what_does_not_is_told(pair):
    page = render(*pair)
    assert "train.lr" in page and "train.epochs" not in page
    assert "24 of 40 shown" in page and "differ most" in page and "drawn at random" in page
    assert "<script>" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("evaluation_judge", "K", "held-out judges differ (J and K)"), ("model", "N", "starts differ (M and N)")],
)
def test_other_judge_or_start_gives_no_difference(pair, key, value, says):
    summary = json.loads((pair[1] / "summary.json").read_text())
    (pair[1] / "summary.json").write_text(json.dumps(summary | {key: value}))
    page = render(*pair)
    assert "<h1>Not comparable</h1>" in page and says in page and "points" not in page


def test_no_common_prompt_and_no_judge(pair):
    rows = [{"id": f"q{i}", "win_start": 0.5} for i in range(3)]
    lines(pair[1] / "iter-1/evaluation.jsonl", rows)
    assert "share no held-out prompt" in render(*pair)
    lines(pair[1] / "iter-1/evaluation.jsonl", [{"id": "p01", "win_start": None}])
    assert "B has no win rate by a held-out judge" in render(*pair)


def test_a_prompt_that_one_alone_answered_is_counted(pair):
    rows = [{"id": f"p{i:02d}", "win_start": 0.5} for i in range(30)]
    lines(pair[1] / "iter-1/evaluation.jsonl", rows)
    assert "10 that only one of them answered are left out" in render(*pair)


def test_command_line(pair, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *map(str, pair)]) == 0 and (tmp_path / "beside.html").exists()
    assert main(["report", *map(str, pair), "--out", "x.html"]) == 0 and (tmp_path / "x.html").exists()
    assert main(["report", str(pair[0]), str(pair[0])]) == 2 and "one folder" in capsys.readouterr().err
    assert main(["report", str(pair[0]), str(tmp_path)]) == 2 and "not a run folder" in capsys.readouterr().err
    assert main(["report", str(pair[0]), "--out", "x"]) == 2


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(pair, tmp_path, width, visit):
    path = tmp_path / "beside.html"
    path.write_text(render(*pair), encoding="utf-8")
    page = visit(path.as_uri(), width)
    assert page.title().startswith("A is better than B")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert page.locator("figure svg[role=img]").count() == 3 and page.locator("details.prompt").count() == 24
    assert set(visit.asked) == {path.as_uri()}
