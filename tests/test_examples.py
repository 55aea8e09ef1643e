"""Every file in examples/ runs, and prints or writes what it promises."""

import json
import re
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

import windvane as wv
from tests.engines.scripted_server import Scripted, chat

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder and return the lines that it prints."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": f"tell me of the {word} .", "chosen": "the sea is wide .", "rejected": "it is ."}
        for word in ("sea", "cat", "sun", "bird")
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return call


def test_own_judge(run):
    for line in run("own_judge.py"):
        status, rest = line.split(": ", 1)
        words = json.loads(rest.split("words ")[1])
        if status == "pair":
            chosen, rejected = (int(part.split()[-1]) for part in rest.split(", words")[0].split(", "))
            assert words[chosen] == min(words) and words[rejected] == max(words)


def test_own_loss(run, tmp_path):
    (line,) = [line for line in run("own_loss.py", "pairs.jsonl", "RUN") if "steps; model" in line]
    assert line.endswith("model: RUN/model") and (tmp_path / "RUN/model/model.safetensors").exists()
    rows = [json.loads(row) for row in (tmp_path / "RUN/iter-1/train/metrics.jsonl").read_text().splitlines()]
    assert all("margin" in row for row in rows if row["split"] == "train")


def test_own_generator(run):
    assert run("own_generator.py") == ["0: say yes", "1: say yes say yes"]


@pytest.mark.slow
def test_a_run_and_its_folder(run, tmp_path):
    lines = run("run_from_python.py", "RUN", "16")
    assert lines[-1] == "RUN/model" and any(line.startswith("iteration 1: win rate 0.") for line in lines)
    shown = "\n".join(run("run_folder_in_pandas.py", "RUN"))
    verdicts = pd.read_json(tmp_path / "RUN/iter-1/verdicts.jsonl", lines=True)
    assert len(verdicts) == 16 * 10 and "disagreement" in shown and "status" in shown


def test_llm_judge_over_http(run):
    def answer(body, attempt):
        return 200, {}, chat("m")  # always the first response: the two orders cancel out

    with Scripted(answer) as server:
        lines = run("llm_judge_over_http.py", server.spec)
    assert lines == ["0 against 1: 0.5", "0 against 2: 0.5", "1 against 2: 0.5", "tie"]


def test_train_reward_model(run):
    (line,) = [line for line in run("train_reward_model.py", "pairs.jsonl", "RUN") if line.startswith("P(")]
    assert 0 < float(line.split(" = ")[1].split()[0]) < 1 and line.endswith("by reward:RUN/model")


def test_score_transcripts(run, tmp_path):
    answer = "I live in a small town near the sea, and I like it because my friends live there too. " * 4
    (tmp_path / "talk.txt").write_text(f"Examiner: Where do you live?\nCandidate: {answer}\n")
    lines = run("score_transcripts.py", "talk.txt", "1")
    assert lines[0].strip() == "scored"
    (assessment,) = wv.score("talk.txt", part=1)
    assert [line.split(":")[0].strip() for line in lines[1:]] == [band.criterion for band in assessment.bands]
    assert f"expected {assessment.bands[0].expected:.2f}" in lines[1]


@pytest.mark.slow
def test_steerability(run, tmp_path):
    assert run("steerability.py", "OUT", "2")[-1].startswith("steerability")
    assert (tmp_path / "OUT/plot.svg").exists()


@pytest.mark.slow
def test_trl_dpo(run, tmp_path):
    pytest.importorskip("trl", reason="trl is not installed (pip install trl)")
    for part in wv.load_model("toy:styles", device="cpu"):
        part.save_pretrained("MODEL")
    assert run("trl_dpo.py", "MODEL", "pairs.jsonl", "OUT")[-1] == "computed trees"
    assert list((tmp_path / "OUT").glob("checkpoint-*/model.safetensors"))


def test_every_example_is_tested():
    """plain_loop.py is run by tests/models/test_share_prefixes.py."""
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text(encoding="utf-8"))) | {"plain_loop.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
