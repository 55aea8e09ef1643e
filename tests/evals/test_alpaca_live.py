"""AlpacaEval's question put to a live judge: by hand, through a server, broken off and resumed, from a tiny model's weights."""

import ast
import importlib.util
import json
import math
from pathlib import Path

import pytest

from tests import tiny
from tests.engines.scripted_server import Scripted, chat, top
from tests.official import alpaca_eval
from windvane.core.errors import UserError
from windvane.evals.alpaca.command import main
from windvane.evals.alpaca.live import preference, switched

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "alpaca_eval"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no published annotations at {DATA}")
ASKED = ["Name a fruit.", "Name a stone.", "Name a colour.", "Name a bird."]
calls = []
broken_after = None  # the judge below breaks off there


def longer(prompt, a, b):
    """P(a wins): 0.9 for the longer answer; None where one says nothing."""
    if broken_after is not None and len(calls) >= broken_after:
        raise RuntimeError("the machine went away")
    calls.append(prompt)
    return None if "nothing" in (a, b) else 0.9 if len(a) > len(b) else 0.1


LONGER = f"py:{__name__}:longer"


@pytest.fixture(autouse=True)
def fresh():
    global broken_after
    calls.clear()
    broken_after = None


@pytest.fixture
def files(tmp_path):
    """Two longer answers, one that says nothing, one refused."""
    base = [{"instruction": t, "output": "pear", "generator": "base", "dataset": "d"} for t in ASKED]
    (tmp_path / "base.json").write_text(json.dumps(base))
    answers = ["a long apple", "a long granite", "nothing", None]
    rows = [{"prompt": t, "answer": a, "reason": "refused"} for t, a in zip(ASKED, answers)]
    (tmp_path / "model.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def command(files, out="out", judge=LONGER, *more):
    base = str(files / "base.json")
    start = ["--model", f"scripted:{files / 'model.jsonl'}", "--name", "ours", "--instructions", base]
    return [*start, "--judge", judge, "--out", str(files / out), "--bootstrap", "0", "--quiet", *more]


@needs_data
def test_the_order_is_the_published_runs():
    """A published preference near 1 where the judge said m, its label of the answer shown first, means the model was shown second; all
    805 rows agree with our draw."""
    rows = json.loads((DATA / "gpt-3.5-turbo-1106" / "annotations.json").read_text())
    seen = 0
    for row in rows:
        told = row["raw_completion"]
        told = ast.literal_eval(told) if isinstance(told, str) else told
        if told is None:
            continue
        word = told["logprobs"]["content"][0]["top_logprobs"][0]["token"]
        if word in ("m", "M") and abs(row["preference"] - 1.5) > 0.1:
            seen += 1
            model_won = row["preference"] > 1.5
            assert switched(row["instruction"]) == ((word == "m") == model_won)
    assert seen > 700


def test_preference_is_one_for_the_baseline():
    shown = {switched(t): t for t in ASKED}
    assert preference(0.9, shown[True]) == pytest.approx(1.9) and preference(0.9, shown[False]) == pytest.approx(1.1)


def test_by_hand(files, capsys):
    """Wins at 0.9 on two of four; one verdict and one answer are missing: 90.0 on two rows, both counted with their reason."""
    assert main([*command(files), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["win_rate"] == pytest.approx(90) and found["n_total"] == 2 and found["instructions"] == 4
    assert found["left_out"] == {"no preference": 1, "no output_2": 1} and found["unjudged"] == 1
    assert found["length_controlled_winrate"] is None and "not comparable" in found["label"]
    assert found["spent"] is None and found["name"] == "alpaca" and found["annotator"] == LONGER
    rows = {r["instruction"]: r for r in json.loads((files / "out" / "annotations.json").read_text())}
    assert set(rows[ASKED[0]]) == {
        "instruction", "output_1", "generator_1", "dataset", "output_2", "generator_2", "annotator", "preference",
    }  # fmt: skip
    assert rows[ASKED[0]]["preference"] == pytest.approx(1.9)
    assert rows[ASKED[3]]["preference"] is None and rows[ASKED[3]]["reason"] == "refused"
    assert "not a probability" in rows[ASKED[2]]["reason"]
    kept = json.loads((files / "out" / "result.json").read_text())
    assert kept == {k: v for k, v in found.items() if k not in ("out", "spent")}
    assert (files / "out" / "plot.svg").read_text().startswith("<svg")
    # Anyone scores the rows again.
    assert main([str(files / "out" / "annotations.json"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["win_rate"], again["n_total"], again["model"]) == (found["win_rate"], 2, "ours")


class Rambler:
    """Thinks aloud before two answers, and is cut in the last of four."""

    def __init__(self, sampling):
        self.sampling = sampling

    def generate(self, prompts, indices, seed):
        from windvane.core.records import Response

        said = {"Name a fruit.": "<think>Hm.</think>plum", "Name a stone.": "Hm.</think>", "Name a colour.": "red"}
        return [
            [Response(f"{p.id}-0", p.id, 0, text or "a bird is", (), "stop" if text else "length")]
            for p in prompts
            for text in [said.get(p.text)]
        ]


def test_answers_that_were_cut_or_think_aloud_are_told(files, capsys):
    given = command(files, "out", LONGER, "--max-new-tokens", "7", "--json")
    given[1] = f"py:{__name__}:Rambler"
    assert main(given) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "ours: 1 of 4 answers end at 7 tokens, in mid-answer (--max-new-tokens)" in notes
    assert any(n.startswith("ours: 2 of 4 answers hold what the model thought aloud") for n in notes)


def test_given_outputs_and_a_limit(files, capsys):
    outputs = [{"instruction": t, "output": "x" * n, "generator": "theirs"} for n, t in enumerate(ASKED, 3)]
    (files / "theirs.json").write_text(json.dumps(outputs))
    start = ["--outputs", str(files / "theirs.json"), "--instructions", str(files / "base.json"), "--judge", LONGER]
    assert main([*start, "--out", str(files / "o"), "--limit", "3", "--json", "--bootstrap", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "theirs" and found["n_total"] == found["instructions"] == 3 and len(calls) == 3
    against = ["--against", str(files / "o" / "annotations.json")]
    assert main([*command(files, "two"), *against, "--json"]) == 0
    gap = json.loads(capsys.readouterr().out)["comparison"]
    assert gap["against"] == "theirs" and {"low", "high", "mde"} <= set(gap["win_rate_difference"])


def test_broken_off_and_resumed(files, capsys):
    """The same files as an undisturbed run's, and no verdict that was kept is asked for again."""
    global broken_after
    main(command(files, "whole", LONGER, "--batch", "1"))
    calls.clear()
    broken_after = 2
    with pytest.raises(UserError, match="the machine went away"):
        main(command(files, "parts", LONGER, "--batch", "1"))
    broken_after = None
    main(command(files, "parts", LONGER, "--batch", "1"))
    assert len(calls) == 3
    assert (files / "whole" / "manifest.json").read_text() == (files / "parts" / "manifest.json").read_text()
    with pytest.raises(UserError, match="started with other settings"):
        main(command(files, "parts", LONGER, "--batch", "1", "--temperature", "0.1"))


def test_a_server_with_a_budget(files, capsys):
    """Label log-probabilities are read; the estimate stands before the first call; the budget stops and is raised; no call is repeated."""

    def script(body, attempt):
        text = body["messages"][0]["content"]
        p = 0.2 if text.index("pear") < text.index("<<< answer M") else 0.8
        return (200, {}, chat("m", 100, 1, logprobs=top(m=math.log(p), M=math.log(1 - p))))

    with Scripted(script) as server:
        price = ["--price-in", "1e4", "--price-out", "0", "--concurrency", "1", "--batch", "1"]  # 1 in money a call
        with pytest.raises(UserError, match=r"budget of 10\.0 in money"):
            main([*command(files, "out", server.spec), *price, "--budget", "10"])
        before = sum(server.served.values())
        assert "in money" in capsys.readouterr().err.splitlines()[0]
        assert main([*command(files, "out", server.spec), *price, "--budget", "1000", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert before == 1 and set(server.served.values()) == {1} and sum(server.served.values()) == 3
    assert found["spent"]["cost"] == pytest.approx(3.0)
    rows = {r["instruction"]: r["preference"] for r in json.loads((files / "out" / "annotations.json").read_text())}
    assert rows[ASKED[0]] == pytest.approx(1.8) and rows[ASKED[1]] == pytest.approx(1.8)


def test_one_budget_for_model_and_judge(files, capsys):
    """The model's four calls cost 4 of 10; the judge may take the 6 that are left, and no call of its fits in the worst case."""

    def script(body, attempt):
        return (200, {}, chat("a long answer", 100, 0))

    with Scripted(script) as server:
        more = ["--price-in", "1e4", "--model-price-in", "1e4", "--model-price-out", "0", "--budget", "10"]
        start = ["--model", server.spec, "--instructions", str(files / "base.json"), "--judge", server.spec]
        end = ["--out", str(files / "b"), "--max-new-tokens", "1", "--batch", "1", "--concurrency", "1", "--quiet"]
        with pytest.raises(UserError, match=r"the budget of 6\.0 in money"):
            main([*start, *end, *more])
    with pytest.raises(UserError, match="give --price-in and --price-out"):
        main([*start, *end, "--budget", "1"])


def test_weights_here(files, tmp_path, capsys):
    """A tiny model answers; a prompt that exceeds its window is a row with the reason, not a stop."""
    model = tiny.folder(tmp_path / "model", window=128)
    asked = [{"instruction": "hi", "output": "pear"}, {"instruction": "long " * 60, "output": "pear"}]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    start = ["--model", str(model), "--name", "tiny", "--instructions", str(tmp_path / "asked.json"), "--judge", LONGER]
    assert main([*start, "--out", str(tmp_path / "w"), "--max-new-tokens", "8", "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_total"] == 1 and found["left_out"]["no output_2"] == 1
    rows = json.loads((tmp_path / "w" / "annotations.json").read_text())
    assert "window of 128" in next(r["reason"] for r in rows if "reason" in r)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--judge", "human"], "also needs --model"),
        (["--judge", "human", "--model", "m"], "--instructions is needed"),
        (["{base}", "--judge", "human"], "is scored, or judged again"),
        (["--rejudge", "--judge", "human", "--out", "{out}"], "name files of published annotations"),
        (
            ["--model", "m", "--judge", "nobody", "--instructions", "{model}", "--out", "{out}"],
            "no row has an instruction",
        ),
        (["{base}", "{base}"], "name a file of annotations"),
    ],
)
def test_what_cannot_be(files, arguments, line):
    names = {"base": files / "base.json", "model": files / "empty.json", "out": files / "none"}
    (files / "empty.json").write_text('[{"a": 1}]')
    with pytest.raises(UserError, match=line):
        main([a.format(**names) for a in arguments])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval 0.6.6 is not installed")
def test_the_official_package_scores_our_rows(files, capsys):
    """And draws the same orders."""
    assert main([*command(files), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = json.loads((files / "out" / "annotations.json").read_text())
    theirs = alpaca_eval("metrics.winrate").get_winrate(rows)
    assert theirs["win_rate"] == pytest.approx(found["win_rate"]) and theirs["n_total"] == found["n_total"]
    draw = alpaca_eval("utils").random_seeded_choice
    assert all(switched(t) == draw(seed=f"is_switched_outputs{t}0", choices=[False, True]) for t in ASKED)
