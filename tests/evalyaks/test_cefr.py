"""`windvane eval cefr`: every form of score file, the lines beside a model, intervals over candidates."""

import csv
import json

import numpy as np
import pytest

from windvane.core.errors import UserError
from windvane.evalyaks.evaluation.command import main, parse_scale
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.reference_lines import fit_length, length_only, lines, majority, predict_length
from windvane.evalyaks.evaluation.result import evaluate
from windvane.evalyaks.evaluation.rows import read_scored
from windvane.evalyaks.evaluation.systems import Scored, System, compare


def made(n, seed=0, part="1", candidate=lambda i: f"c{i}"):
    """Rows whose length says something about the bands, and a noisy model."""
    rng = np.random.default_rng(seed)
    rows, predictions = [], []
    for i in range(n):
        gv, dm = (int(v) for v in rng.integers(1, 6, 2))
        words = int(10 * gv + rng.integers(0, 15))
        rows.append(Scored(f"{part}-{i:03d}", part, candidate(i), {"GV": float(gv), "DM": float(dm)}, words))
        noisy = [float(np.clip(v + rng.integers(-1, 2), 1, 5)) for v in (gv, dm)]
        predictions.append(dict(zip(("GV", "DM"), noisy)))
    return rows, predictions


def measure(result, system, *path):
    found = next(s for s in result["systems"] if s["name"] == system)
    for key in path:
        found = found[key]
    return found


# --- systems and intervals ----------------------------------------------------------------------------------------------------


def test_a_part_by_hand():
    """Four answers: accurate, partly, acceptable, inaccurate; DOV (0 + 1/2 + 1 + 2)/4; then one invalid more."""
    reference = {"GV": 3.0, "DM": 3.0}
    rows = [Scored(str(i), "1", str(i), reference) for i in range(5)]
    given = [(3, 3), (3, 4), (2, 2), (5, 1), None]
    answers = [None if g is None else {"GV": float(g[0]), "DM": float(g[1])} for g in given]
    found = compare(rows, [System("m", answers)], resamples=50)["systems"][0]["parts"]["1"]
    assert {k: found[k]["value"] for k in ("accurate", "partly", "acceptable", "inaccurate")} == {
        "accurate": 0.2,
        "partly": 0.2,
        "acceptable": 0.2,
        "inaccurate": 0.4,
    }
    assert found["acceptable_accuracy"]["value"] == pytest.approx(0.6)
    assert found["strict_acceptable_accuracy"]["value"] == pytest.approx(0.6)
    assert found["coverage"]["value"] == pytest.approx(0.8)
    assert found["dov"]["value"] == pytest.approx(3.5 / 4)
    assert found["dov_penalised"]["value"] == pytest.approx(7.5 / 5)
    assert found["criteria"]["GV"]["n"] == 4 and sum(map(sum, found["criteria"]["GV"]["confusion"])) == 4
    assert found["criteria"]["GV"]["confusion"][2] == [0, 1, 2, 0, 1]


def test_averages_are_means_over_parts_whatever_their_sizes():
    (one, p1), (two, p2) = made(10, 1, "1"), made(40, 2, "2")
    found = compare(one + two, [System("m", p1 + p2)], resamples=20)["systems"][0]
    for name in ("acceptable_accuracy", "dov", "qwk"):
        parts = [found["parts"][p][name]["value"] for p in ("1", "2")]
        assert found["average"][name]["value"] == pytest.approx(sum(parts) / 2)


def test_intervals_are_over_candidates_not_rows():
    """Ten identical rows a candidate say no more than one: the interval stays that of the candidates, the row-wise one shrinks."""
    rows, predictions = made(30)
    tenfold = [Scored(f"{r.id}-{k}", r.part, r.candidate, r.reference, r.words) for r in rows for k in range(10)]
    alone = [Scored(r.id, r.part, r.id, r.reference, r.words) for r in tenfold]
    many = [p for p in predictions for _ in range(10)]

    def width(result, name):
        m = result["systems"][0]["parts"]["1"][name]
        return m["high"] - m["low"]

    one = compare(rows, [System("m", predictions)], resamples=800)
    clustered = compare(tenfold, [System("m", many)], resamples=800)
    naive = compare(alone, [System("m", many)], resamples=800)
    for name in ("dov", "qwk", "acceptable_accuracy"):
        assert width(clustered, name) == pytest.approx(width(one, name), rel=0.15), name
        assert width(naive, name) < 0.5 * width(one, name), name


def test_a_perfect_score_still_has_an_interval():
    rows, _ = made(25)
    found = compare(rows, [System("m", [r.reference for r in rows])], resamples=50)["systems"][0]["parts"]["1"]
    assert found["acceptable_accuracy"] == {"value": 1.0, "low": pytest.approx(0.8668, abs=1e-3), "high": 1.0}


def test_differences_are_paired():
    """Two models that miss the same rows differ by nothing, with no width; against a constant the interval holds the difference."""
    rows, predictions = made(60)
    result = compare(rows, [System("a", predictions), System("b", list(predictions)), *lines(rows)], resamples=300)
    own = {
        (d["model"], d["other"], d["part"], d["measure"]): d for d in result["differences"] if d["criterion"] is None
    }
    assert own["a", "b", "1", "dov"]["low"] == own["a", "b", "1", "dov"]["high"] == 0
    gap = own["a", "constant 3", "1", "dov"]
    assert gap["value"] == pytest.approx(
        measure(result, "a", "parts", "1", "dov", "value") - measure(result, "constant 3", "parts", "1", "dov", "value")
    )
    assert gap["low"] < gap["value"] < gap["high"] < 0
    assert not any(d["model"] == "majority" for d in result["differences"])


def test_the_interval_covers():
    """120 samples from a model that is right half the time: the 95% interval of the mean DOV (1/2) misses about 5%."""
    missed = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        rows = [Scored(str(i), "1", str(i), {"GV": 3.0}) for i in range(60)]
        answers = [{"GV": 3.0 + int(rng.random() < 0.5)} for _ in rows]
        m = compare(rows, [System("m", answers)], resamples=200, seed=seed)["systems"][0]["parts"]["1"]["dov"]
        missed += not m["low"] <= 0.5 <= m["high"]
    assert 1 <= missed <= 14


# --- the lines ----------------------------------------------------------------------------------------------------------------


def test_lines_by_hand():
    rows = [
        Scored(str(i), "1", str(i), {"GV": b}, w) for i, (b, w) in enumerate([(1.0, 5), (2.0, 9), (2.0, 10), (4.0, 30)])
    ]
    assert majority(rows, rows) == [{"GV": 2.0}] * 4
    assert majority(rows[:2], rows[:1]) == [{"GV": 1.0}], "of equally frequent bands the lower"
    assert majority(rows, [Scored("x", "2", "x", {"GV": 1.0})]) == [{}], "a part never seen has no prediction"
    names = [s.name for s in lines(rows)]
    assert names == ["constant 1", "constant 2", "constant 3", "constant 4", "constant 5", "majority", "length only"]
    assert "length only" not in [s.name for s in lines([Scored("0", "1", "0", {"GV": 1.0})])]
    assert [s.name for s in lines([Scored("0", "1", "0", {"GV": 1.0}, None, {"GV": 2.0})])][-1] == "human"


def test_length_is_fitted_on_others():
    """Bands that are exactly linear in words are predicted exactly; a candidate's own rows never fit the line they are scored by."""
    rows = [Scored(str(i), "1", f"c{i // 2}", {"GV": 1 + 0.1 * i}, i) for i in range(40)]
    assert [p["GV"] for p in predict_length(fit_length(rows), rows)] == pytest.approx([r.reference["GV"] for r in rows])
    before = length_only(rows)
    spoiled = [
        Scored(r.id, r.part, r.candidate, {"GV": 5.0} if r.candidate == "c3" else r.reference, r.words) for r in rows
    ]
    after = length_only(spoiled)
    assert before[6] == after[6] and before[7] == after[7] and before != after


def test_settings_and_rows_marked_twice_are_seen_apart():
    rows, predictions = made(20)
    where = ("indian", "global")
    rows = [
        Scored(r.id, r.part, r.candidate, r.reference, r.words, r.reference if i < 5 else None, where[i % 2])
        for i, r in enumerate(rows)
    ]
    result = evaluate(rows, [System("m", predictions)], resamples=20)
    sizes = {name: subset["rows"] for name, subset in result["subsets"].items()}
    assert sizes == {"setting global": 10, "setting indian": 10, "marked twice": 5}
    twice = {s["name"]: s for s in result["subsets"]["marked twice"]["systems"]}
    assert twice["human"]["average"]["accurate"]["value"] == 1, "agreeing raters, on the rows that both marked"
    assert "human" not in {s["name"] for s in result["systems"]} and "m" in twice
    assert evaluate(rows[:5], [System("m", predictions[:5])], resamples=20)["systems"][-1]["name"] == "human"
    assert "no human-human line" in evaluate(rows[5:], [System("m", predictions[5:])], resamples=20)["notes"][0]


# --- files --------------------------------------------------------------------------------------------------------------------


def write(path, header, rows):
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def test_every_form_of_score_file_says_the_same(tmp_path):
    data = [("a", 1, 3, 2, 4, 2), ("b", 1, 5, 1, 5, 1), ("c", 2, 2, 2, 1, 3)]
    files = [
        write(tmp_path / "a.csv", ["id", "part", "GV", "DM", "predicted_GV", "predicted_DM"], data),
        write(tmp_path / "b.csv", ["ID", "Part", "reference_gv", "reference_dm", "GV_pred", "DM_pred"], data),
        write(
            tmp_path / "c.tsv",
            ["id", "part", "Grammar and Vocabulary", "Discourse Management", "model_GV", "model_DM", "GV_confidence"],
            [(*row, 0.5) for row in data],
        ),
    ]
    files[2].write_text(files[2].read_text().replace(",", "\t"))
    rows = [
        {"id": i, "part": p, "reference": {"GV": g, "DM": d}, "predicted": {"GV": str(a), "DM": float(b)}}
        for i, p, g, d, a, b in data
    ]
    files.append(tmp_path / "d.jsonl")
    files[-1].write_text("\n".join(map(json.dumps, rows)))
    for row, (*_, a, b) in zip(rows, data):
        row["predicted"] = f"{{'GRAMMAR_AND_VOCABULARY': {a}, 'DISCOURSE_MANAGEMENT': '{b}'}}"
    files.append(tmp_path / "e.json")
    files[-1].write_text(json.dumps(rows))
    first = read_scored([files[0]])
    assert [(r.id, r.part, r.reference) for r in first.rows][2] == ("c", "2", {"GV": 2.0, "DM": 2.0})
    assert first.systems[0].predictions[0] == {"GV": 4.0, "DM": 2.0}
    for path in files[1:]:
        other = read_scored([path])
        assert other.rows == first.rows and other.systems[0].predictions == first.systems[0].predictions, path.name


def test_predictions_beside_transcripts(tmp_path):
    talk = [{"role": "examiner", "text": "Why?"}, {"role": "candidate", "text": "Because it is good for us."}]
    (tmp_path / "t.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "id": f"t{i}",
                    "part": 1,
                    "turns": [talk[0], {**talk[1], "text": talk[1]["text"] * (i + 1)}],
                    "GV": i + 1,
                }
            )
            for i in range(3)
        )
    )
    write(tmp_path / "p.csv", ["id", "GV"], [("t0", 1), ("t1", 3), ("t9", 4)])
    read = read_scored([tmp_path / "p.csv"], [tmp_path / "t.jsonl"])
    assert [r.reference["GV"] for r in sorted(read.rows, key=lambda r: r.words)] == [1.0, 2.0]
    assert [r.words for r in sorted(read.rows, key=lambda r: r.words)] == [6, 11], "'us.Because' is one word"
    assert read.left_out == {"no reference with that id": 1}


def test_invalid_predictions_count_against_the_model(tmp_path, capsys):
    rows = [
        {"id": "a", "GV": 3, "DM": 3, "predicted": {"GV": 3, "DM": 3}},
        {"id": "b", "GV": 3, "DM": 3, "predicted": "I would say it is fine."},
        {"id": "c", "GV": 3, "DM": 3, "predicted": {"GV": 9, "DM": 3}},
        {"id": "d", "GV": 3, "DM": 3, "predicted": {"GV": 3}},
        {"id": "e", "GV": 0.5, "DM": 3, "predicted": {"GV": 3, "DM": 3}},
        {"id": "f", "predicted": {"GV": 3, "DM": 3}},
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n{broken\n")
    assert main([str(path), "--json", "--resamples", "20", "--out", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 4 and sum(result["left_out"].values()) == 3
    assert sum(result["invalid"]["predicted"].values()) == 3
    assert measure(result, "predicted", "parts", "all", "accurate", "value") == 0.25
    assert measure(result, "predicted", "parts", "all", "dov", "value") == 0
    assert measure(result, "predicted", "parts", "all", "dov_penalised", "value") == 3
    assert measure(result, "constant 3", "parts", "all", "accurate", "value") == 1
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == result
    assert "constant 3" in (tmp_path / "out" / "plot.svg").read_text()
    assert main([str(path), "--resamples", "20"]) == 0
    assert "constant 3" in capsys.readouterr().out


def test_several_models_and_a_second_rater(tmp_path):
    header = ["id", "model", "part", "candidate", "GV", "second_GV", "predicted_GV", "words"]
    rows = [
        (f"r{i}", m, 1, f"c{i // 2}", 1 + i % 5, 1 + (i + 1) % 5, 1 + (i + k) % 5, 10 + i)
        for k, m in enumerate("AB")
        for i in range(10)
    ]
    read = read_scored([write(tmp_path / "m.csv", header, rows[:-1])])
    assert [s.name for s in read.systems] == ["A", "B"] and len(read.rows) == 10
    assert read.systems[1].predictions[-1] is None and read.invalid == {"B": {"no answer": 1}}
    assert {r.candidate for r in read.rows} == {f"c{i}" for i in range(5)} and read.rows[3].words == 13
    assert lines(read.rows)[-1].predictions[0] == {"GV": 2.0}


def test_levels_are_a_scale_of_six(tmp_path):
    """Vocabulary and sentence level: accurate is the same level, acceptable the neighbour."""
    path = write(
        tmp_path / "l.csv",
        ["id", "level", "predicted_level"],
        [("a", "A1", "A1"), ("b", "C2", "C1"), ("c", "B1", "A1"), ("d", "B2", "x")],
    )
    read = read_scored([path])
    assert read.scale == Scale(1, 6) and read.rows[1].reference == {"LEVEL": 6.0}
    found = compare(read.rows, read.systems, read.scale, 20)["systems"][0]["parts"]["all"]
    assert [found[k]["value"] for k in ("accurate", "partly", "acceptable", "inaccurate")] == [0.25, 0, 0.25, 0.5]


def test_half_bands(tmp_path):
    path = write(tmp_path / "h.csv", ["id", "GV", "predicted_GV"], [("a", 2.5, 2.7), ("b", 0, 1.5), ("c", 5, 5)])
    with pytest.raises(UserError, match="no valid prediction"):
        read_scored([write(tmp_path / "n.csv", ["id", "GV", "other"], [("a", 2, 2)])])
    assert read_scored([path]).left_out
    read = read_scored([path], scale=parse_scale("0:5:0.5"))
    block = compare(read.rows, read.systems, read.scale, 20)["systems"][0]["parts"]["all"]
    assert block["criteria"]["GV"]["exact"]["value"] == pytest.approx(2 / 3), "2.7 is band 2.5"
    with pytest.raises(UserError, match="LOW must be below HIGH"):
        parse_scale("5:1:1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 1, 1), ("a", 2, 2)], "other reference scores than before"),
        ([("a", 1, 1), ("a", 1, 2)], "a second prediction"),
        ([], "no row has reference scores"),
    ],
)
def test_mistakes_are_named(tmp_path, rows, message):
    path = write(tmp_path / "x.csv", ["id", "GV", "predicted_GV"], rows)
    with pytest.raises(UserError, match=message):
        read_scored([path])
