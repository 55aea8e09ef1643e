"""The weight-free scorer: features counted by hand, fits equal to other implementations, weights that can be read and saved."""

import json
import math
import random

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression, Ridge

from tests.evalyaks.conversations import DATA, public
from windvane.core.errors import UserError
from windvane.evalyaks.scoring.baseline import cross_validate, main
from windvane.evalyaks.scoring.features import FEATURES, features
from windvane.evalyaks.scoring.fit import fit, fit_ordinal, fit_ridge
from windvane.evalyaks.scoring.weights import Line, Scorer, estimate, load, save, score
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.transcripts.split import cluster


def said(*turns, part=3, **more):
    return Transcript.of(part, [Turn(role, text) for role, text in turns], **more)


def test_features_by_hand():
    record = said(
        ("examiner", "Which festival do you like?"),
        ("candidate", "Um, I like the festival because he go there. Why not?"),
        ("partner", "Music makes everybody happy."),
        ("candidate", "I agree, music... What do you think?"),
        context={"task": "Choose a festival"},
    )
    found = features(record)
    # um i like the festival because he go there why not | i agree music what do you think: 11 + 7 words
    assert found["words"] == 18 and found["log_words"] == pytest.approx(math.log(19))
    assert found["turn_words"] == pytest.approx(math.log(1 + 9)) and found["shortest_turn"] == pytest.approx(
        math.log(8)
    )
    assert found["longest_sentence"] == pytest.approx(math.log(10)), "um ... there: 9 words"
    assert found["variety"] == pytest.approx(17 / math.sqrt(18)), "only i comes twice"
    assert found["articles"] == pytest.approx(1 / 18) and found["fillers"] == pytest.approx(1 / 18)
    assert found["subordinators"] == pytest.approx(1 / 18) and found["commas"] == pytest.approx(2 / 18)
    assert found["agreement_errors"] == pytest.approx(100 / 18), "he go"
    assert found["questions"] == 1 and found["addresses"] == pytest.approx(1 / 18)
    assert found["moves"] == pytest.approx(3 / 2), "i agree; what do you think, and do you think within it"
    assert found["pauses"] == pytest.approx(100 / 18)
    assert found["talk_share"] == pytest.approx(18 / 22)
    # content words before: festival, like (both taken up); music, makes, everybody, happy (one of four)
    assert found["uptake"] == pytest.approx((2 / 2 + 1 / 4) / 2)


def test_features_have_the_same_names_for_anything():
    for text in ("", "...", "一二三", "a", "x " * 5000):
        found = features(said(("candidate", text)))
        assert list(found) == list(FEATURES) and all(math.isfinite(v) for v in found.values())


def test_only_the_candidate_is_scored():
    one = features(said(("candidate", "I think so."), ("partner", "No, it is terrible and I disagree.")))
    two = features(said(("partner", "I think so."), ("candidate", "No, it is terrible and I disagree.")))
    assert one["words"] == 3 and two["words"] == 7


# --- fits ---------------------------------------------------------------------------------------------------------------------


def test_ridge_equals_its_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.integers(1, 6, 30).astype(float)
    weights, (intercept,) = fit_ridge(x, y, np.unique(y), 3.0)
    c = x - x.mean(0)
    assert weights == pytest.approx(np.linalg.solve(c.T @ c + 3 * np.eye(4), c.T @ (y - y.mean())))
    assert intercept == pytest.approx(y.mean() - x.mean(0) @ weights)
    assert weights == pytest.approx(Ridge(alpha=3.0).fit(x, y).coef_)


@pytest.mark.parametrize("penalty", [0.5, 5.0])
def test_two_levels_are_logistic_regression(penalty):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 3))
    y = np.where(x @ [1.0, -2, 0.5] + rng.logistic(size=80) > 0, 4.0, 2.0)
    weights, (threshold,) = fit_ordinal(x, y, np.unique(y), penalty)
    other = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(x, y)
    assert weights == pytest.approx(other.coef_[0], abs=1e-3) and -threshold == pytest.approx(
        other.intercept_[0], abs=1e-3
    )


def test_ordinal_is_at_the_minimum_of_the_loss_spelled_out():
    """Five levels: the loss written down directly has no slope at the fit; the true weights are found from many rows."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3000, 3))
    true, cuts = np.array([1.0, -0.5, 0.0]), np.array([-2.0, -0.5, 1.0, 2.0])
    y = 1.0 + (x @ true + rng.logistic(size=3000))[:, None].__gt__(cuts).sum(1)
    weights, thresholds = fit_ordinal(x, y, np.unique(y), 1.0)
    assert weights == pytest.approx(true, abs=0.1) and thresholds == pytest.approx(cuts, abs=0.2)

    def loss(p):
        w, t = p[:3], np.concatenate([[-np.inf], p[3:], [np.inf]])
        k = (y - 1).astype(int)
        s = x @ w
        chance = 1 / (1 + np.exp(-(t[k + 1] - s))) - 1 / (1 + np.exp(-(t[k] - s)))
        return -np.log(chance).sum() + 0.5 * w @ w

    slope = approx_fprime(np.concatenate([weights, thresholds]), loss, 1e-6)
    assert np.abs(slope).max() < 0.05, slope  # of a loss of thousands


LINKERS = [
    "because",
    "however",
    "which",
    "although",
    "while",
    "unless",
    "therefore",
    "moreover",
    "if",
    "when",
    "where",
    "so",
]


def made(n, seed=0, part=1):
    """Bands that follow from length and linkers, every conversation its own."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        band = rng.randint(1, 5)
        body = " ".join(f"word{rng.randint(0, 9999)}" for _ in range(8 * band + rng.randint(0, 8)))
        linkers = " ".join(LINKERS[: 3 * (band - 1)])  # different ones: what is said again counts once
        answer = f"I say {body} {linkers}."
        other = min(5, max(1, band + rng.choice((-1, 0, 0, 1))))
        scores = {"GV": float(band), "DM": float(other)} | ({"IC": float(other)} if part > 2 else {})
        found.append(said(("examiner", f"Question {i}?"), ("candidate", answer), part=part, scores=scores))
    return found


@pytest.mark.parametrize("kind", ["ridge", "ordinal"])
def test_a_scorer_can_be_read_saved_and_explained(kind, tmp_path):
    records = cluster(made(60))
    scorer = fit(records, kind, "made for a test")
    save(scorer, tmp_path / "s.json")
    assert load(tmp_path / "s.json") == scorer
    data = json.loads((tmp_path / "s.json").read_text())
    assert data["about"] == "made for a test" and {(line["part"], line["criterion"]) for line in data["lines"]} == {
        ("1", "GV"),
        ("1", "DM"),
    }
    assert fit(records[::-1], kind, "made for a test") == scorer, "the order of the records changes nothing"
    gv = score(scorer, records[0])[0]
    line = scorer.lines[0]
    shift = sum(gv.contributions.values())
    values = features(records[0])
    assert shift == pytest.approx(
        sum(line.weights[f] * (values[f] - line.means[f]) / line.deviations[f] for f in line.weights)
    )
    if kind == "ridge":
        assert gv.expected == pytest.approx(np.clip(line.intercepts[0] + shift, 1, 5))
    else:
        above = [1 / (1 + math.exp(t - shift)) for t in line.intercepts]
        assert gv.expected == pytest.approx(1 + sum(above))
    assert list(gv.contributions.values()) == sorted(gv.contributions.values(), key=abs, reverse=True)
    assert not set(line.weights) & {"moves", "talk_share"}, "no partner talks in part 1"
    with pytest.raises(UserError, match="part 4: this scorer knows part 1"):
        score(scorer, said(("candidate", "hello"), part=4))


def test_a_scorer_by_hand():
    """Ordinal, one feature: thresholds 0 and 1, shift 1/2: P = sigmoid(-1/2), sigmoid(1/2) - sigmoid(-1/2), 1 - sigmoid(1/2)."""
    line = Line(
        "ordinal", "1", "GV", (2.0, 3.0, 5.0), {"words": 10.0}, {"words": 4.0}, {"words": 2.0}, (0.0, 1.0), 0.0, 1.0, 3
    )
    e = estimate(line, {"words": 11.0})
    p = [0.3775406688, 0.2449186624, 0.3775406688]
    assert e.contributions == {"words": 0.5}
    assert e.expected == pytest.approx(2 * p[0] + 3 * p[1] + 5 * p[2]) and e.band == 3.0
    assert e.probability == pytest.approx(p[1])
    ridge = Line(
        "ridge", "1", "GV", (1.0, 2.0, 3.0), {"words": 10.0}, {"words": 4.0}, {"words": 2.0}, (2.0,), 0.5, 1.0, 3
    )
    e = estimate(ridge, {"words": 11.0})
    assert e.expected == 2.5 and e.band == 3.0 and e.probability == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a scorer's file"),
        ({"lines": [{}]}, "missing"),
        ({"surplus": 1}, "unknown"),
    ],
)
def test_a_broken_scorer_is_named(tmp_path, change, message):
    line = Line("ridge", "1", "GV", (1.0, 2.0), {"words": 1.0}, {"words": 1.0}, {"words": 1.0}, (1.0,), 1.0, 1.0, 3)
    path = tmp_path / "s.json"
    save(Scorer("x", (line,)), path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | change))
    with pytest.raises(UserError, match=message):
        load(path)
    data["lines"][0]["deviations"]["words"] = 0
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="deviation above 0"):
        load(path)
    data["lines"][0]["weights"] = {"magic": 1.0}
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="same known features"):
        load(path)


# --- cross-validation ---------------------------------------------------------------------------------------------------------


def test_cross_validation_beside_its_lines(tmp_path, capsys):
    records = made(90)
    path = tmp_path / "t.jsonl"
    turns = [
        {"part": r.part, "scores": dict(r.scores), "turns": [{"role": t.role, "text": t.text} for t in r.turns]}
        for r in records
    ]
    path.write_text("\n".join(map(json.dumps, turns + turns[:10])))
    out = tmp_path / "scorer.json"
    assert main([str(path), "--json", "--resamples", "200", "--folds", "3", "--save", str(out), "--about", "made"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 90, "the same conversation again is no new one"
    average = {s["name"]: s["average"] for s in result["systems"]}
    assert set(average) == {
        "ridge",
        "ordinal",
        "shipped",
        *(f"constant {b}" for b in range(1, 6)),
        "majority",
        "length only",
    }
    for kind in ("ridge", "ordinal"):
        assert (
            average[kind]["qwk"]["value"] > 0.6
            and average[kind]["dov"]["value"] < average["constant 3"]["dov"]["value"]
        )
    assert load(out).about == "made" and load(out).lines[0].n == 90
    with pytest.raises(UserError, match="no transcript has scores"):
        path.write_text(json.dumps({"text": "Candidate: hello"}))
        main([str(path)])


def test_nothing_is_scored_by_what_was_trained_on_it(monkeypatch):
    """Every fit of a fold, the length line's and the majority's too, is without the clusters that it scores."""
    from windvane.evalyaks.scoring import baseline as module

    trained, scored = {}, {}

    def watch(name, of_train, of_held, position):
        original = getattr(module, name)

        def watched(*arguments):
            if of_train:
                trained[name] = {getattr(r, of_train) for r in arguments[0]}
            if of_held:
                held = arguments[position]
                held = {getattr(r, of_held) for r in (held if isinstance(held, list) else [held])}
                source = {"expected": "fit", "predict_length": "fit_length"}.get(name, name)
                assert held and trained[source] and not held & trained[source], name
                scored.setdefault(name, set()).update(held)
            return original(*arguments)

        monkeypatch.setattr(module, name, watched)

    monkeypatch.setattr(
        module, "knows", lambda scorer, _: scorer.about == "training folds"
    )  # the shipped one is not a fold's
    watch("fit", "split_group", None, 0)
    watch("expected", None, "split_group", 1)
    watch("fit_length", "candidate", None, 0)
    watch("predict_length", None, "candidate", 1)
    watch("majority", "candidate", "candidate", 1)
    records = made(40)
    cross_validate(records, 4, 0, 20)
    assert scored["expected"] == scored["predict_length"] == scored["majority"] and len(scored["expected"]) == 40


@public
@pytest.mark.slow
def test_published_rows(capsys):
    """The figures of docs/papers/evalyaks.md, to what other versions of the libraries may change."""
    files = [str(DATA / name) for name in ("Part1_Introduction.csv", "Part2_LongTurn.csv")]
    assert main([*files, "--json", "--resamples", "200"]) == 0
    result = json.loads(capsys.readouterr().out)
    found = {s["name"]: s for s in result["systems"]}
    for part, constant in (("1", 0.75), ("2", 0.76)):
        assert found["constant 2"]["parts"][part]["acceptable_accuracy"]["value"] == pytest.approx(constant, abs=0.01)
        for kind in ("ridge", "ordinal"):
            ours, length = found[kind]["parts"][part], found["length only"]["parts"][part]
            assert ours["qwk"]["value"] > length["qwk"]["value"] and ours["dov"]["value"] < length["dov"]["value"]


@public
def test_published_rows_are_as_the_facts_say():
    """Pearson of candidate words and bands in part 1: .65 and .71."""
    rows = {r.conversation: r for r in reversed(read_transcripts([DATA / "Part1_Introduction.csv"]).records)}.values()
    words = [len(r.said().split()) for r in rows]
    for criterion, known in (("GV", 0.65), ("DM", 0.71)):
        assert np.corrcoef(words, [r.scores[criterion] for r in rows])[0, 1] == pytest.approx(known, abs=0.02)
    assert sorted(words)[len(words) // 2] == pytest.approx(43, abs=2)
