"""One command for three benchmarks of a finished run: each is what its own verb makes, kept under the run; it resumes."""

import json

import pytest

from tests import tiny
from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.evals.alpaca.live import switched
from windvane.evals.helpfulness import main
from windvane.report.evaluations import evaluations


@pytest.fixture
def files(tmp_path):
    """A run whose model is tiny, and two questions of each benchmark."""
    tiny.folder(tmp_path / "run" / "model", "llama")
    (tmp_path / "alpaca.json").write_text(
        json.dumps([{"instruction": f"Q{i}", "output": "base", "generator": "b"} for i in range(2)])
    )
    (tmp_path / "mt.jsonl").write_text(
        "".join(
            json.dumps({"question_id": 80 + i, "category": "writing", "turns": [f"M{i}", "more"]}) + "\n"
            for i in range(2)
        )
    )
    (tmp_path / "arena.jsonl").write_text(
        "".join(json.dumps({"question_id": f"a{i}", "turns": [{"content": f"A{i}"}]}) + "\n" for i in range(2))
    )
    rows = [
        {"question_id": f"a{i}", "model_id": "base", "choices": [{"turns": [{"content": "base"}]}]} for i in range(2)
    ]
    (tmp_path / "base.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def judged(body, attempt):
    """Ours wins in AlpacaEval, ties in Arena-Hard, 7 of 10 in MT-Bench."""
    text = body["messages"][-1]["content"]
    if "labelled m and M" in text:
        asked = next(f"Q{i}" for i in range(2) if f"\nQ{i}\n" in text)
        return 200, {}, chat("m" if switched(asked) else "M")
    return 200, {}, chat("Fair enough. [[A=B]]" if "A>>B" in text else "Fair enough.\nRating: [[7]]")


def command(files, spec, *more):
    named = [files / "run", "--judge", spec, "--alpaca", files / "alpaca.json", "--mt-bench", files / "mt.jsonl"]
    named += ["--arena-hard", files / "arena.jsonl", "--arena-baseline", files / "base.jsonl"]
    return [*map(str, named), "--max-new-tokens", "4", "--quiet", "--device", "cpu", *more]


@pytest.mark.slow
def test_all_three(files, capsys):
    with Scripted(judged) as server:
        assert main([*command(files, f"llm:{server.spec}"), "--json"]) == 0
        first = len(server.bodies)
        found = json.loads(capsys.readouterr().out)
        assert main(command(files, f"llm:{server.spec}")) == 0 and len(server.bodies) == first, "nothing is asked twice"
    text = capsys.readouterr().out
    assert {k: v["value"] for k, v in found.items()} == {"alpaca": 100, "mt-bench": 7, "arena-hard": pytest.approx(50)}
    assert "not comparable with published scores" in text and "AlpacaEval's win rate, %" in text
    assert sorted(e.name for e in evaluations(files / "run")) == ["alpaca", "arena-hard", "mt-bench"]


def test_mistakes(files):
    with pytest.raises(UserError, match="give at least one of --alpaca, --mt-bench, --arena-hard"):
        main([str(files / "run"), "--judge", "llm:x"])
    with pytest.raises(UserError, match="the questions and the baseline's answers go together"):
        main([str(files / "run"), "--judge", "llm:x", "--arena-hard", "q.jsonl"])
    with pytest.raises(UserError, match="no model there"):
        main([str(files), "--judge", "llm:x", "--alpaca", "a.json"])
    with pytest.raises(UserError, match="unrecognized arguments: --nonsense"):
        main([*command(files, "llm:x"), "--nonsense"])
