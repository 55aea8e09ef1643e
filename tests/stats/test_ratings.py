"""Bradley-Terry by hand, against scikit-learn on the same rows, and the three forms of judgement files."""

import json
import math

import numpy as np
import pytest

from windvane.core.errors import UserError
from windvane.evals.arena_hard import command as pairwise
from windvane.evals.judgements import read_judgements
from windvane.evals.mt_bench import command as mt_bench
from windvane.stats.bradley_terry import Battle, bounded, bradley_terry, rate


def test_two_models_by_hand():
    """3 wins of 4: theta = log(3/1); rating 1000 + 400 log10(3) = 1190.85; win rate 3/4."""
    battles = [Battle("new", "old", s, i) for i, s in enumerate((1, 1, 1, 0))]
    found = {r.model: r for r in rate(battles, "old", 50)}
    assert found["new"].rating == pytest.approx(1000 + 400 * math.log10(3), abs=1e-3)
    assert found["new"].win_rate == pytest.approx(0.75, abs=1e-6)
    assert found["old"].rating == 1000 and found["old"].low == found["old"].high == 1000


def made_up(seed=0, models=6, n=1500):
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 1, models)
    battles = []
    for q in range(n):
        i, j = rng.choice(models, 2, replace=False)
        p = 1 / (1 + math.exp(strength[j] - strength[i]))
        share = 0.5 if rng.random() < 0.2 else float(rng.random() < p)
        battles.append(Battle(f"m{i}", f"m{j}", share, q, float(rng.choice([1, 3]))))
    return battles


def test_equals_logistic_regression():
    """Rows as Arena-Hard lays them out: +1/-1 features, each battle twice so that a tie is one win and one loss, weights as repeats."""
    from sklearn.linear_model import LogisticRegression

    battles = made_up()
    names = sorted({b.first for b in battles} | {b.second for b in battles})
    x, y, w = [], [], []
    for b in battles:
        line = np.zeros(len(names))
        line[names.index(b.first)], line[names.index(b.second)] = 1, -1
        for half in range(2):
            x.append(line)
            y.append(half if b.share == 0.5 else b.share)
            w.append(b.weight)
    model = LogisticRegression(fit_intercept=False, C=1e12, tol=1e-12, max_iter=10_000).fit(
        np.array(x), y, sample_weight=w
    )
    theirs = model.coef_[0] - model.coef_[0][0]
    found = {r.model: r.rating for r in rate(battles, names[0], 2)}
    ours = [found[n] for n in names]
    assert ours == pytest.approx((1000 + 400 / math.log(10) * theirs).tolist(), abs=0.05)


def test_star_gives_the_plain_win_share():
    """Everyone met the baseline alone: the predicted win rate is the weighted share of wins, ties half (Arena-Hard's score)."""
    battles = [Battle("a", "base", s, i, w) for i, (s, w) in enumerate([(1, 3), (0, 1), (0.5, 1), (1, 1)])]
    battles += [Battle("b", "base", s, i, 1.0) for i, s in enumerate([1, 0, 0, 0])]
    found = {r.model: r.win_rate for r in rate(battles, "base", 2)}
    assert found["a"] == pytest.approx(4.5 / 6, abs=1e-6) and found["b"] == pytest.approx(0.25, abs=1e-6)


def test_unbounded_and_apart():
    table = np.array([[0, 3, 0], [0, 0, 2], [0, 1, 0.0]])  # 0 beat 1 always; 1 and 2 split
    assert bounded(table, 1).tolist() == [False, True, True]
    assert np.isfinite(bradley_terry(table, 1)).all()
    battles = [Battle("best", "mid", 1, i) for i in range(3)] + [
        Battle("mid", "low", s, i) for i, s in enumerate((1, 1, 0))
    ]
    found = {r.model: r for r in rate(battles, "mid", 20)}
    assert found["best"].rating is None and found["best"].win_rate > 0.999 and found["low"].rating < 1000
    with pytest.raises(UserError, match="no chain of battles joins 'x' with 'mid'"):
        rate([*battles, Battle("x", "y", 1, 0), Battle("x", "y", 0, 0)], "mid")
    with pytest.raises(UserError, match="no battle of the anchor 'none'"):
        rate(battles, "none")


def test_interval_is_wider_where_questions_repeat():
    """40 questions with 10 equal verdicts each hold as much as 40 verdicts, not as 400."""
    rng = np.random.default_rng(0)
    outcome = (rng.random(40) < 0.6).astype(float)
    many = rate([Battle("a", "b", s, q) for q, s in enumerate(outcome) for _ in range(10)], "b", 400)[0]
    few = rate([Battle("a", "b", s, q) for q, s in enumerate(outcome)], "b", 400)[0]
    assert many.win_rate_high - many.win_rate_low == pytest.approx(few.win_rate_high - few.win_rate_low, rel=0.05)


def test_interval_is_the_binomial_one():
    """Two models, 300 questions, 210 won: 0.7 +- 1.96 sqrt(0.7 0.3/300); as ratings, through 400 log10(p/(1 - p))."""
    found = rate([Battle("a", "b", float(i < 210), i) for i in range(300)], "b", 2000)[0]
    half = 1.96 * (0.7 * 0.3 / 300) ** 0.5
    assert (found.win_rate_low, found.win_rate_high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.008)
    points = [1000 + 400 * math.log10(p / (1 - p)) for p in (found.win_rate_low, found.win_rate_high)]
    assert (found.low, found.high) == pytest.approx(tuple(points), abs=0.01)


def write(path, rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def game(model, question, first, second, **other):
    return {"model": model, "question_id": question, "games": [{"score": first}, {"score": second}], **other}


def test_arena_hard_file(tmp_path, capsys):
    """Game 1 shows the baseline as A, game 2 the model. q1: B>>A and A>B: model wins 3 + 1. q2: A>B and A=B: loses 1, half of 1.
    q3: one game unreadable, A>B in game 1: loses 1. Share (4 + 0.5)/(4 + 2 + 1) = 4.5/7. Shown first: 0, 1, 1, .5, 1 -> 3.5/5.
    q4: A>B in both orders: contradicted, 1 of 3 with both orders; adds one loss, one win: (4.5 + 1)/9, first 5.5/7."""
    path = write(
        tmp_path / "m.jsonl",
        [game("m", "q1", "B>>A", "A>B"), game("m", "q2", "A>B", "A=B"), game("m", "q3", "A>B", None), game("m", "q4", "A>B", "A>B")],
    )  # fmt: skip
    assert pairwise.main([str(path), "--json", "--resamples", "50"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["model"] == "m" and found["models"][0]["score"] == pytest.approx(100 * 5.5 / 9, abs=1e-4)
    assert found["left_out"] == {"game without a verdict": 1} and found["n_battles"] == 7 and found["n_questions"] == 4
    assert found["first_shown_win_rate"] == pytest.approx(5.5 / 7)
    assert found["contradicted_by_order"] == pytest.approx(1 / 3)
    assert pairwise.main([str(path)]) == 0 and "the answer shown first won 78.6%" in capsys.readouterr().out


def test_pair_file_and_plain_battles(tmp_path):
    """A win needs both orders; a split is a tie; an error is counted."""
    rows = [
        {"question_id": 1, "model_1": "a", "model_2": "b", "g1_winner": "model_1", "g2_winner": "model_1", "turn": 1},
        {"question_id": 1, "model_1": "a", "model_2": "b", "g1_winner": "model_1", "g2_winner": "model_2", "turn": 2},
        {"question_id": 2, "model_1": "a", "model_2": "b", "g1_winner": "error", "g2_winner": "model_2", "turn": 1},
        {"question_id": 3, "model_1": "a", "model_2": "b", "g1_winner": "tie", "g2_winner": "model_2", "turn": 1},
        "{broken",
    ]
    found = read_judgements([write(tmp_path / "pair.jsonl", rows)], "none")
    assert [b.share for b in found.battles] == [1, 0.5, 0.5]
    assert found.left_out == {"judge's error": 1, "broken JSON": 1} and (found.contradicted, found.both_orders) == (
        1,
        3,
    )
    assert found.shown_first == [1, 0, 1, 1, 0.5, 1]
    plain = [
        {"model_a": "x", "model_b": "y", "winner": "model_b", "weight": 2},
        {"model_a": "x", "model_b": "y", "winner": "tie (bothbad)"},
        {"model_a": "x", "model_b": "x", "winner": "tie"},
        {"model_a": "x", "model_b": "y", "winner": "y"},
        {"model_a": "x", "model_b": "y", "winner": "tie", "weight": -1},
        {"model_a": "x", "model_b": "y", "winner": "tie", "weight": 10**400},
    ]
    found = read_judgements([write(tmp_path / "battles.jsonl", plain)], "none")
    assert [(b.share, b.weight) for b in found.battles] == [(0, 2), (0.5, 1)] and sum(found.left_out.values()) == 4
    with pytest.raises(UserError, match="no usable judgement"):
        read_judgements([write(tmp_path / "none.jsonl", [{"a": 1}])], "none")


def single(model, question, turn, score):
    return {"model": model, "question_id": question, "turn": turn, "score": score}


def test_mt_bench_by_hand(tmp_path, capsys):
    """a: turn 1 (8 + 6)/2, turn 2 (4)/1, average (8 + 6 + 4)/3 = 6; b lower by 2 on all three shared turns; -1 is dropped."""
    rows = [single("a", 1, 1, 8), single("a", 2, 1, 6), single("a", 1, 2, 4), single("a", 2, 2, -1)]
    rows += [
        single("b", 1, 1, 6),
        single("b", 2, 1, 4),
        single("b", 1, 2, 2),
        single("b", 1, 3, 5),
        single("b", 2, 2, 11),
        {"model": "b"},
    ]
    path = write(tmp_path / "single.jsonl", rows)
    assert mt_bench.main([str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = found["models"][0]
    assert (best["model"], best["turn_1"], best["turn_2"], best["average"], best["n"]) == ("a", 7, 4, 6, 3)
    # Clusters: question 1 (8, 4), question 2 (6): residual sums 0 and 0 around 6, so the clustered error is 0.
    assert best["average_standard_error"] == pytest.approx(0)
    assert found["comparisons"][0]["mean"] == 2 and found["comparisons"][0]["low"] == 2
    assert found["left_out"] == {
        "no score": 1,
        "turn is not 1 or 2": 1,
        "score outside 1 to 10": 1,
        "no question_id": 1,
    }
    assert mt_bench.main([str(path)]) == 0 and "a - b: +2.00" in capsys.readouterr().out
    with pytest.raises(UserError, match="windvane eval arena-hard"):
        mt_bench.main([str(write(tmp_path / "pair.jsonl", [{"g1_winner": "tie"}]))])
