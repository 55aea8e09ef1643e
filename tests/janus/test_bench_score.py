"""Figures by hand, published shares, diversity against another implementation, kin among judges."""

import math

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from windvane.core.errors import UserError
from windvane.evals.diversity import distinct_n, mean_distinct, mean_rouge_between
from windvane.evals.model_families import family, related, warnings
from windvane.janus.bench.score import Graded, against_shuffled, instance_scores, kind_of_reason, summarise
from windvane.janus.bench.votes import Shares, read_votes, shares, summarise_votes


def graded(instance, scores, source="koala", prompt=None, run=0):
    return [
        Graded(instance, source, prompt or instance, k, run, s, None if s else "x: j: no line 'Score: N'")
        for k, s in enumerate(scores)
    ]


def test_means_by_hand():
    # a: run 0 (5+3+4)/3 = 4 without the unread one, run 1 (4+4+4+4)/4 = 4 -> 4; b: 2; c: nothing read
    rows = [
        *graded("a", [5, None, 3, 4]),
        *graded("a", [4, 4, 4, 4], run=1),
        *graded("b", [2, 2], "flask"),
        *graded("c", [None], "flask"),
    ]
    assert instance_scores(rows) == {"a": 4.0, "b": 2.0}
    # unread as 1: a = ((5+1+3+4)/4 + 4)/2 = 3.625, c = 1; as 5: a = (17/4 + 4)/2 = 4.125, c = 5
    found = summarise(rows)
    assert found["mean"] == 3.0 and found["macro"] == 3.0 and found["scored"] == 2
    assert found["bounds"] == pytest.approx([(3.625 + 2 + 1) / 3, (4.125 + 2 + 5) / 3])
    assert (found["instances"], found["instances_unscored"], found["grades"], found["unreadable"]) == (3, 1, 11, 2)
    assert found["reasons"] == {"no line 'Score": 2} or list(found["reasons"].values()) == [2]
    assert found["runs"] == [3.0, 4.0] and found["distribution"] == {"1": 0, "2": 2, "3": 1, "4": 5, "5": 1}
    assert [(s["source"], s["mean"], s["scored"]) for s in found["sources"]] == [("flask", 2.0, 1), ("koala", 4.0, 1)]


def test_a_source_counts_by_its_instances():
    """As in the paper's table, whose Average 4.17 is not the mean 4.20 of Janus's five columns."""
    rows = [r for i in range(9) for r in graded(f"a{i}", [5])] + graded("b", [1], "flask")
    found = summarise(rows)
    assert found["mean"] == 4.6 and found["macro"] == 3.0
    assert sum((4.43, 4.06, 4.41, 4.11, 4.01)) / 5 == pytest.approx(4.204)


def test_rubrics_and_runs_of_an_instance_are_one_draw():
    """Ten grades of each of 40 instances: the interval is that of 40 values, sd / sqrt(40), not of 400 grades; and of 8 prompts
    where five instances share one and its level."""
    rng = np.random.default_rng(0)
    level = rng.integers(1, 6, 8)
    rows = [
        r
        for i in range(40)
        for run in range(2)
        for r in graded(str(i), [int(level[i % 8])] * 5, prompt=str(i % 8), run=run)
    ]
    found = summarise(rows)
    values = [float(level[i % 8]) for i in range(40)]
    half = 1.96 * np.std(values) / math.sqrt(40)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, rel=0.1)
    wide = 1.96 * np.std(level) / math.sqrt(8)
    assert found["by_prompt"]["prompts"] == 8
    assert (found["by_prompt"]["high"] - found["by_prompt"]["low"]) / 2 == pytest.approx(wide, rel=0.1)
    assert summarise(graded("a", [1]) + graded("b", [2]))["by_prompt"] is None


def test_the_control():
    own = [r for i in range(30) for r in graded(str(i), [4, 5])]
    other = [r for i in range(30) for r in graded(str(i), [2 + i % 2, 3])]
    found = against_shuffled(own, other)
    assert (
        found["mean"] == 2.75
        and found["difference"] == pytest.approx(1.75)
        and 1.6 < found["low"] < 1.75 < found["high"] < 1.9
    )
    assert against_shuffled(own, [])["difference"] is None


@pytest.mark.parametrize(
    ("published", "headline"),
    [((36.8, 38.4, 12.4, 12.4), 75.2), ((47, 25.4, 8.3, 19.4), 72.4), ((37.5, 28.9, 6.3, 27.3), 66.4)],
)
def test_the_published_votes(published, headline):
    """Published shares as they are printed (one row adds up to 100.1), and as counts of a thousand votes."""
    assert 100 * Shares(*(p / 100 for p in published)).tie_or_win == pytest.approx(headline)
    counts = dict(zip(("win", "both good", "both bad", "lose"), (round(10 * p) for p in published)))
    assert 100 * shares(counts).tie_or_win == pytest.approx(headline, abs=0.08)


def test_votes_from_a_file(tmp_path):
    path = tmp_path / "votes.jsonl"
    rows = [(i, ["win", "both_good", "Both bad", "lose"][i % 4]) for i in range(20) for _ in range(3)]
    path.write_text("".join(f'{{"instance": {i}, "vote": "{v}"}}\n' for i, v in rows))
    found = summarise_votes(read_votes(path))
    assert found["votes"] == 60 and found["instances"] == 20
    assert found["win"]["percent"] == 25 and found["tie or win"]["percent"] == 50
    half = 196 * math.sqrt(0.25 / 20)  # of 20 instances, not of 60 votes
    assert (found["tie or win"]["high"] - found["tie or win"]["low"]) / 2 == pytest.approx(half, rel=0.15)
    path.write_text('{"instance": 1, "vote": "win"}\n{"instance": 1, "vote": "draw"}\n')
    with pytest.raises(UserError, match="row 2: field 'vote': 'draw'; one of win, both good, both bad, lose"):
        read_votes(path)
    with pytest.raises(UserError, match="votes: tie"):
        shares({"tie": 3})
    assert shares({"win": 1}) == Shares(1, 0, 0, 0)


def test_distinct_n():
    assert distinct_n(["a b a b"], 2) == 2 / 4  # ab, ba of 4 words
    assert distinct_n(["a b", "a b"], 2) == 1 / 4 and distinct_n(["?"], 1) is None
    assert mean_distinct([["a b a b"], ["a b c d"]], 1).mean == (2 / 4 + 4 / 4) / 2


def test_rouge_between_answers():
    groups = [["the cat sat on the mat", "the cat lay on a mat", "dogs bark"], ["one"], ["same words", "same words"]]
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    first = groups[0]
    expected = sum(scorer.score(first[i], first[j])["rougeL"].fmeasure for i, j in ((0, 1), (0, 2), (1, 2))) / 3
    found = mean_rouge_between(groups)
    assert found.mean == pytest.approx((expected + 1) / 2) and found.n == 2
    assert mean_rouge_between([["one"]]) is None


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("rubric:http://127.0.0.1:8000/v1#gpt-4-0125-preview", "gpt-3.5-turbo", "family OpenAI"),
        ("rubric:local:models/Mistral-7B-Instruct-v0.2", "kaist-ai/janus-7b", "family Mistral"),
        ("local:a/tiny-x", "rubric:local:b/tiny-x", "both are tiny-x"),
        ("meta-llama/Llama-3.1-8B", "lmsys/vicuna-13b", "family Llama"),
        ("Qwen3-8B", "Qwen/QwQ-32B", "family Qwen"),
        ("openai/o1-mini", "gpt-4o", "family OpenAI"),
        ("Qwen3-8B", "gpt-4", None),
        ("tiny-x", "tiny-y", None),
    ],
)
def test_kin(a, b, told):
    found = related(a, b)
    assert found == related(b, a) and ((told in found) if told else found is None)


def test_warnings():
    assert family("my-own-model") is None
    lines = warnings({"judge": "gpt-4", "model": "Qwen3-8B", "writer": "gpt-4o", "rubric maker": None})
    assert lines[0] == "who was the rubric maker is not recorded" and len(lines) == 2
    assert lines[1].startswith("judge (gpt-4) and writer (gpt-4o) are related: both are of the family OpenAI")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (
            "rubric:http://h:1/v1#m: own-3-0-1: no line 'Score: N' in the answer: 'It is: nice.'",
            "no line 'Score: N' in the answer",
        ),
        ("rubric:local:m: own-3-0-1: not a whole number from 1 to 5: 'Score: 9'", "not a whole number from 1 to 5"),
        ("not a whole number from 1 to 5: 7", "not a whole number from 1 to 5"),
        ("rubric:http://h:1/v1#m: own-3-0-1: HTTP 500", "HTTP 500"),
        ("x: key: no verdict", "no verdict"),
        (None, "no reason"),
    ],
)
def test_kinds_of_reasons(reason, kind):
    assert kind_of_reason(reason) == kind
