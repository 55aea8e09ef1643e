"""The regression on our own pairs: known coefficients come back, and it equals scikit-learn's logistic regression."""

import json

import numpy as np
import pytest

from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.core.schema import dumps
from windvane.evals.alpaca.length_adjusted import _fit, length_adjusted_win_rate, main


def drawn(n, a, c, seed=0):
    rng = np.random.default_rng(seed)
    delta = rng.normal(-100, 200, n)
    p = 1 / (1 + np.exp(-(c + a * np.tanh(delta / delta.std(ddof=1)))))
    return p, delta


def test_known_coefficients():
    """A judge that only counts length: win rate well above 1/2 for the longer side, 1/2 at equal length."""
    p, delta = drawn(2000, a=-2.0, c=0.0)
    found = length_adjusted_win_rate(p.tolist(), delta.tolist(), range(2000), 200)
    assert found.win_rate > 0.6
    assert found.length_adjusted_win_rate == pytest.approx(0.5, abs=0.005)
    assert found.length_coefficient == pytest.approx(-2.0, abs=0.02)


def test_equals_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    p, delta = drawn(500, a=-1.0, c=0.7)
    y = (rng.random(500) < p).astype(float)
    term = np.tanh(delta / delta.std(ddof=1))
    # A normal prior of precision L on both is an L2 penalty with C = 1/L; ours differ per coefficient, so rescale the columns.
    scale = np.array([2.5, 10.0])
    design = np.column_stack([term, np.ones(500)]) * scale
    model = LogisticRegression(fit_intercept=False, C=1.0, tol=1e-10, max_iter=1000).fit(design, y)
    assert _fit(y, term, np.ones((1, 500)))[0] == pytest.approx(model.coef_[0] * scale, abs=1e-4)


def test_weights_are_repetitions():
    p, delta = drawn(50, -1.0, 0.2)
    term, times = np.tanh(delta / 100), np.random.default_rng(0).integers(0, 4, 50)
    many = _fit(np.repeat(p, times), np.repeat(term, times), np.ones((1, times.sum())))
    assert _fit(p, term, times[None].astype(float))[0] == pytest.approx(many[0])


def test_interval_holds():
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        p, delta = drawn(150, -1.0, 0.3, seed)
        y = (rng.random(150) < p).astype(float)
        found = length_adjusted_win_rate(y.tolist(), delta.tolist(), range(150), 200, seed)
        held += found.low <= 1 / (1 + np.exp(-0.3)) <= found.high
    assert 86 <= held <= 100


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_side_wins_everything(share):
    found = length_adjusted_win_rate([share] * 30, list(range(30)), range(30), 50)
    assert found.length_adjusted_win_rate == pytest.approx(share, abs=0.01) and np.isfinite(found.standard_error)


def test_length_decides_every_pair():
    delta = np.array([-50, -20, -10, 10, 20, 50] * 5, dtype=float)
    found = length_adjusted_win_rate((delta < 0).astype(float), delta, range(30), 50)
    assert found.length_adjusted_win_rate == pytest.approx(0.5, abs=0.02) and found.length_coefficient < -2


def test_a_run_folder(tmp_path, capsys):
    """Iteration 2's answers are longer and win; lengths are tokens; the unjudged prompt is counted."""

    def answers(t, lengths):
        rows = [Response(f"r{t}{i}", f"p{i}", 0, "x", tuple(range(n)), "stop") for i, n in enumerate(lengths)]
        (tmp_path / f"iter-{t}").mkdir(exist_ok=True)
        (tmp_path / f"iter-{t}" / "answers.jsonl").write_text("".join(dumps(r) + "\n" for r in rows))

    answers(0, [10] * 40)
    answers(2, [10 + i for i in range(40)])
    rows = [{"id": f"p{i}", "win_start": None if i == 39 else 0.5 + i / 100, "proxy_start": 0.9} for i in range(40)]
    (tmp_path / "iter-2" / "evaluation.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert main([str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["iteration"], found["n"], found["left_out"], found["length_unit"]) == (
        2,
        39,
        {"no verdict": 1},
        "tokens",
    )
    assert found["win_rate"] == pytest.approx(0.69) and 0.4 < found["length_adjusted_win_rate"] < 0.55
    with pytest.raises(UserError, match="no evaluation of an iteration after the start"):
        main([str(tmp_path), "--iteration", "0"])
