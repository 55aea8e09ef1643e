"""Arena-Hard put live: five levels in both orders by hand, a judge of pairs, a server, kills; the paired difference of two models."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.evals.arena_hard.command import main
from windvane.evals.chat_questions import read_questions, read_responses
from windvane.stats.bradley_terry import Battle
from windvane.stats.rating_gaps import rating_gaps


def lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Five questions; the model is refused one, the baseline has no answer to another."""
    lines(tmp_path / "q.jsonl", [{"question_id": f"q{i}", "turns": [{"content": f"Do {i}."}]} for i in range(5)])
    base = [
        {"question_id": f"q{i}", "model_id": "base", "choices": [{"turns": [{"content": f"base {i}"}]}]}
        for i in range(4)
    ]
    lines(tmp_path / "base.jsonl", base)
    told = [{"prompt": f"Do {i}.", "answer": None if i == 3 else f"ours {i}", "reason": "refused"} for i in range(5)]
    lines(tmp_path / "m.jsonl", told)
    # q0: much better in both orders. q1: A>B both times, contradicted. q2: game 1 unreadable, game 2 a tie.
    verdicts = {("base 0", "ours 0"): "[[B>>A]]", ("ours 0", "base 0"): "[[A>>B]]", ("base 1", "ours 1"): "[[A>B]]",
                ("ours 1", "base 1"): "[[A>B]]", ("base 2", "ours 2"): "Hard to say.", ("ours 2", "base 2"): "So [[A=B]]"}  # fmt: skip
    lines(tmp_path / "j.jsonl", _by_order(verdicts))
    return tmp_path


def _by_order(verdicts):
    """`contains` sees one text; the answer shown as A is unique to a game."""
    return [{"contains": f"{first}\n>>> end of answer A", "answer": said} for (first, _), said in verdicts.items()]


def command(files, out, judge, *more):
    start = ["--model", f"scripted:{files / 'm.jsonl'}", "--name", "ours", "--questions", str(files / "q.jsonl")]
    end = ["--judge", judge, "--out", str(files / out), "--quiet", "--resamples", "50"]
    return [*start, "--baseline", str(files / "base.jsonl"), *end, *more]


def test_by_hand(files, capsys):
    """q0 counts 3 wins twice, q1 a loss (game 1: the baseline is A) and a win, q2 half a win:
    (3 + 3 + 1 + .5)/(3 + 3 + 1 + 1 + 1) = 7.5/9."""
    assert main([*command(files, "out", f"llm:scripted:{files / 'j.jsonl'}"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = found["models"][0]
    assert best["model"] == "ours" and best["score"] == pytest.approx(100 * 7.5 / 9, abs=1e-4)
    assert found["verdicts"] == {"A=B": 1, "A>>B": 1, "A>B": 2, "B>>A": 1}
    assert (
        found["unjudged"] == 3 and found["left_out"]["game without a verdict"] == 3
    )  # one unreadable, two of the refused q3
    assert found["without_baseline"] == 1 and found["questions"] == 4 and found["reasons"]["refused"] == 2
    assert found["contradicted_by_order"] == 0.5 and found["levels"] == "the judge's own"
    rows = [json.loads(line) for line in (files / "out" / "judgements.jsonl").open()]
    assert rows[0]["question_id"] == "q0" and [g["score"] for g in rows[0]["games"]] == ["B>>A", "A>>B"]
    assert rows[2]["games"][0]["judgment"] == "Hard to say." and rows[2]["games"][0]["score"] is None
    again = [str(files / "out" / "judgements.jsonl"), "--baseline", "base", "--resamples", "50", "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["models"] == found["models"]
    assert json.loads((files / "out" / "result.json").read_text())["name"] == "arena-hard"
    assert "ours" in (files / "out" / "plot.svg").read_text()
    assert read_responses(files / "out" / "answers" / "ours.jsonl")[1] == {f"q{i}": (f"ours {i}",) for i in range(3)}


def second(prompt, a, b):
    """P(a wins): sure of ours on 0, of the baseline on 1, undecided on 2."""
    p = {"0": 0.95, "1": 0.3, "2": 0.5}[a[-1]]
    return p if a.startswith("ours") else 1 - p


def test_a_judge_of_pairs(files, capsys):
    """0.95 is >>, 0.3 is a plain loss, 0.5 a tie: (3 + 3 + 0 + 0 + .5 + .5)/(3 + 3 + 1 + 1 + 1 + 1)."""
    assert main([*command(files, "pairs", f"py:{__name__}:second"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["score"] == pytest.approx(70, abs=1e-4) and "thresholds" in found["levels"]


def test_two_models_are_compared_in_pairs(files, capsys):
    given = [
        {"question_id": f"q{i}", "model_id": "given", "choices": [{"turns": [{"content": f"given {i}"}]}]}
        for i in range(3)
    ]
    path = lines(files / "given.jsonl", given)
    assert main([*command(files, "two", f"py:{__name__}:second", "--answers", path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    gap, *against = found["comparisons"]
    assert [{c["first"], c["second"]} - {"ours", "given"} for c in against] == [{found["anchor"]}] * 2
    assert (gap["first"], gap["second"], gap["n_questions_shared"]) == ("ours", "given", 3)
    scores = {m["model"]: m["score"] for m in found["models"]}
    assert gap["mean"] == pytest.approx(scores["ours"] - scores["given"]) and gap["mde"] > 0


def test_gaps_equal_a_paired_bootstrap():
    """With every model against the anchor alone, a score is the mean share: the gap's error is that of the paired differences."""
    rng = np.random.default_rng(0)
    a, b = (rng.random(200) < 0.6).astype(float), (rng.random(200) < 0.5).astype(float)
    b[:150] = a[:150]  # mostly the same questions won: pairing must pay
    battles = [Battle(m, "z", s, q) for m, side in (("a", a), ("b", b)) for q, s in enumerate(side)]
    gap, against, _ = rating_gaps(battles, "z", 1000)
    plain = 100 * (a - b)
    assert abs(gap["mean"]) == pytest.approx(abs(plain.mean()), abs=1e-4)
    assert gap["standard_error"] == pytest.approx(plain.std(ddof=1) / 200**0.5, rel=0.1)
    assert gap["mde"] == pytest.approx(2.8016 * gap["standard_error"], rel=1e-3)
    # A model and the baseline: the mean share less one half, with the error of a mean of 200.
    assert {against["first"], against["second"]} == {"a", "z"}
    assert abs(against["mean"]) == pytest.approx(abs(100 * a.mean() - 50), abs=1e-3)
    assert against["standard_error"] == pytest.approx(100 * a.std(ddof=1) / np.sqrt(200), rel=0.1)
    assert against["mde"] == pytest.approx(2.8016 * against["standard_error"], rel=1e-3)


def test_both_releases_of_the_question_and_answer_files(tmp_path):
    q = lines(
        tmp_path / "q", [{"uid": "u", "category": "c", "prompt": "Do."}, {"uid": "u", "prompt": "x"}, {"uid": 1}, 3]
    )
    found = read_questions(tmp_path / "q", 1)
    assert found.rows[0].turns == ("Do.",) and found.rows[0].written == "u"
    assert found.left_out == {"repeated question_id": 1, "no turns or prompt": 1, "not a table": 1} and q
    said = [{"role": "user", "content": "Do."}, {"role": "assistant", "content": {"answer": "Done."}}]
    lines(tmp_path / "a", [{"uid": "u", "model": "m", "messages": said}])
    assert read_responses(tmp_path / "a") == ("m", {"u": ("Done.",)}, {})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--judge", "human"], "also needs --model"),
        (["--model", "m", "--judge", "human", "--questions", "{q}", "--out", "{out}"], "the file of the baseline's answers"),
        (["--model", "m", "--judge", "human", "--baseline", "{base}", "--out", "{out}"], "--questions is needed"),
        (["--model", "m", "--name", "base", "--judge", "human", "--questions", "{q}", "--baseline", "{base}", "--out", "{out}"],
         "names must differ"),
        (["{q}", "--model", "m"], "is rated as it is"),
        ([], "name files of judgements"),
    ],
)  # fmt: skip
def test_what_cannot_be(files, arguments, line):
    names = {"q": files / "q.jsonl", "base": files / "base.jsonl", "out": files / "none"}
    with pytest.raises(UserError, match=line):
        main([a.format(**names) for a in arguments])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_two_kills(tmp_path):
    """kill -9 while the model answers and while the judge judges: the same manifest as an undisturbed run, no kept call made again."""
    questions = [{"question_id": i, "turns": [f"Do {i}."]} for i in range(60)]
    lines(tmp_path / "q.jsonl", questions)
    lines(tmp_path / "base.jsonl", [{"question_id": i, "choices": [{"turns": [f"base {i}"]}]} for i in range(60)])

    def script(body, attempt):
        time.sleep(0.02)
        text = body["messages"][0]["content"]
        return (200, {}, chat("[[A>B]]" if "end of answer A" in text else f"answer to {text}"))

    def arguments(server, out):
        start = ["--model", server.spec, "--name", "m", "--questions", str(tmp_path / "q.jsonl"), "--quiet"]
        files = ["--baseline", str(tmp_path / "base.jsonl"), "--judge", server.spec, "--out", str(tmp_path / out)]
        return [*start, *files, "--concurrency", "4", "--resamples", "20", "--batch", "8"]

    with Scripted(script) as server:
        for journal, target in (("answers/m.calls.journal", 20), ("judge_calls.journal", 50)):
            command = [sys.executable, "-m", "windvane", "eval", "arena-hard", *arguments(server, "out")]
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
            path = tmp_path / "out" / journal
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                if path.exists() and path.read_bytes().count(b"\n") >= target:
                    break
                time.sleep(0.005)
            assert process.poll() is None, "killed alive"
            process.kill()
            process.wait()
        assert main(arguments(server, "out")) == 0
        again = sum(n - 1 for n in server.served.values())
        assert len(server.served) == 180 and again <= 2 * 4, "at most what was under way at the two kills"
        assert main(arguments(server, "whole")) == 0
    assert (tmp_path / "out" / "manifest.json").read_text() == (tmp_path / "whole" / "manifest.json").read_text()
