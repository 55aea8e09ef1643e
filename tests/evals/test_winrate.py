"""Who is compared with whom, worked by hand: the judge reads the number in the text, P = sigmoid of the difference."""

import math

import pytest

from windvane.core.records import Message, Prompt, Response
from windvane.evals.winrate import Sides, run_evaluate, summarise, win_rates
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_jsonl


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


class ByNumber:
    def __init__(self, silent=()):
        self.silent = silent

    def judge(self, questions):
        return [
            None if q.prompt.id in self.silent else sigmoid(float(q.first.text) - float(q.second.text))
            for q in questions
        ]


PROMPTS = [Prompt(f"p{i}", (Message("user", str(i)),), (5, 6)) for i in range(3)]


def answers(*values):
    """The same answers to every prompt."""
    return {
        p.id: [Response(f"{p.id}-{i}", p.id, i, str(v), (7, 8, 9)[: i + 1], "stop") for i, v in enumerate(values)]
        for p in PROMPTS
    }


def test_answer_i_meets_answer_i():
    rates = win_rates(ByNumber(), PROMPTS, answers(2, 0), answers(1, 3))
    assert rates == pytest.approx([(sigmoid(1) + sigmoid(-3)) / 2] * 3)
    assert win_rates(None, PROMPTS, answers(2), answers(1)) == [None] * 3


def test_what_was_not_judged_is_counted():
    failed = {}
    rates = win_rates(ByNumber({"p1"}), PROMPTS, answers(2), answers(1), failed)
    assert rates[1] is None and rates[0] == pytest.approx(sigmoid(1))
    assert list(failed) == ["p1"] and len(failed["p1"]) == 1


class FixedKL:
    """A scorer whose drift is known: 0.5 nats at each of an answer's tokens."""

    def token_kl(self, other, trees):
        import torch

        return [[None, *(torch.full((len(n.token_ids),), 0.5) for n in t.nodes[1:])] for t in trees]


def test_every_column_and_its_summary(tmp_path):
    sides = Sides(now=answers(3, 3), start=answers(1, 1), previous=answers(2, 2), drift=answers(0, 0))
    with RunFolder(tmp_path) as run:
        scorers = (FixedKL(), FixedKL())
        run_evaluate(LocalRunner(run, True), "e", PROMPTS, sides, ByNumber({"p2"}), ByNumber(), scorers, 2)
    rows = [row for _, row in read_jsonl(tmp_path / "e.jsonl")]
    first = rows[0]
    assert first["win_start"] == first["proxy_start"] == pytest.approx(sigmoid(2))
    assert first["win_previous"] == first["proxy_previous"] == pytest.approx(sigmoid(1))
    assert (first["kl"], first["kl_token"]) == (
        pytest.approx(0.75),
        pytest.approx(0.5),
    )  # (1 + 2 tokens)/2 answers x 0.5
    assert first["mean_length"] == 1.5 and first["failed"] == 0
    assert rows[2]["win_start"] is None and rows[2]["failed"] == 4 and rows[2]["reasons"]
    found = summarise(rows, seed=0)
    assert found["win_rate"] == pytest.approx(sigmoid(2)) and found["win_rate_previous"] == pytest.approx(sigmoid(1))
    assert (found["prompts"], found["unjudged"], found["failed_verdicts_evaluation"]) == (3, 1, 4)
    assert summarise(rows, 0, judged=False)["unjudged"] == 0


def test_a_judge_that_never_answers_is_no_missing_judge(tmp_path):
    rows = [{**dict.fromkeys(("win_start", "win_previous", "proxy_start", "proxy_previous")), "mean_length": 1.0, "kl": 0.0,
             "kl_token": 0.0, "failed": 2, "finish_length_share": 0.0}] * 4  # fmt: skip
    found = summarise(rows, 0)
    assert found["win_rate"] is None and found["unjudged"] == 4
