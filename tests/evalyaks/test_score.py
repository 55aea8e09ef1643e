"""Scoring: bands with their reasons, leave-one-out, whole tests, the table and its resume."""

import csv
import dataclasses
import json

import pytest

from tests.evalyaks.transcripts import OTHERS, programmes, said
from windvane.core.errors import UserError
from windvane.evalyaks.evaluation.command import main as measure
from windvane.evalyaks.scoring.command import main
from windvane.evalyaks.scoring.default import train
from windvane.evalyaks.scoring.leave_out import leave_one_out
from windvane.evalyaks.scoring.open import open_scorer
from windvane.evalyaks.scoring.score import Assessment, Band, nearest
from windvane.evalyaks.scoring.weights import shipped
from windvane.evalyaks.scoring.whole_test import half, whole_test
from windvane.evalyaks.transcripts.record import Turn
from windvane.evalyaks.writing.plan import plans
from windvane.evalyaks.writing.program import write


@pytest.fixture(scope="module")
def records():
    return programmes(10)


def test_bands_probabilities_and_reasons(records):
    for record, a in zip(records, open_scorer().assess(records), strict=True):
        assert set(a.expected) == set(record.scores) and a.words > 0
        for b in a.bands:
            assert sum(b.probabilities.values()) == pytest.approx(1) and b.band == nearest(b.expected)
            assert b.expected == pytest.approx(sum(float(k) * p for k, p in b.probabilities.items()))
            assert b.probability == b.probabilities[f"{b.band:g}"] and b.because
    told = open_scorer().assess(records[:1], rationale=True)[0].rationale
    assert told.startswith("GV ") and "DM " in told
    assert (
        open_scorer()
        .assess([said(("candidate", "I like it."), part=None)])[0]
        .reason.startswith("the part is not known")
    )
    assert nearest(2.5) == 3 and nearest(0.2) == 1 and nearest(7) == 5 and half(3.25) == 3.5 and half(3.24) == 3.0


def test_the_shipped_scorer_says_what_it_is_and_can_be_made_again():
    scorer = shipped()
    assert "a programme of this project wrote" in scorer.about and "no person wrote or marked" in scorer.about
    assert {(line.part, line.criterion) for line in scorer.lines} == {
        (p, c) for p in "1234" for c in ("GV", "DM", "IC") if c != "IC" or p in "34"
    }


@pytest.mark.slow
def test_the_shipped_scorer_is_what_its_command_makes():
    again = train(parts=(1,)).lines[0]
    kept = next(line for line in shipped().lines if (line.part, line.criterion) == ("1", "GV"))
    assert again.weights == pytest.approx(kept.weights, abs=1e-3) and again.n == kept.n == 400
    assert again.means == pytest.approx(kept.means)


def test_sentences_that_weighed_most(records):
    scorer = open_scorer()
    record = records[0]
    found = leave_one_out(record, scorer)
    whole = scorer.assess([record])[0].expected
    for w in found[:3]:
        assert record.turns[w.turn].text[w.start : w.end] == w.text
        turn = record.turns[w.turn]
        left = turn.text[: w.start] + turn.text[w.end :]
        rest = tuple(
            Turn(t.role, left) if i == w.turn else t for i, t in enumerate(record.turns) if i != w.turn or left.strip()
        )
        without = scorer.assess([dataclasses.replace(record, turns=rest)])[0].expected
        assert w.change == pytest.approx({c: without[c] - whole[c] for c in whole})
    one = leave_one_out(said(("candidate", "I like it because it is fun.")), scorer)
    assert one[0].change == {} and one[0].reason.startswith("empty"), "nothing is left to score"
    with pytest.raises(UserError, match="abstained: empty"):
        leave_one_out(said(("candidate", "")), scorer)


def test_a_whole_test_by_hand():
    def scored(part, **bands):
        return Assessment(f"r{part}", part, "scored", None, tuple(Band(c, v, nearest(v)) for c, v in bands.items()))

    own = [
        scored(1, GV=3.0, DM=2.0),
        scored(2, GV=4.0, DM=3.0),
        scored(3, GV=3.2, DM=3.0, IC=4.0),
        scored(4, GV=3.0, DM=4.4, IC=3.0),
    ]
    whole = whole_test("Ann", own)
    assert whole.expected == pytest.approx({"GV": 3.3, "DM": 3.1, "IC": 3.5}) and whole.bands == {
        "GV": 3.5,
        "DM": 3.0,
        "IC": 3.5,
    }
    assert whole.text_only == 20 and not whole.missing
    part = whole_test("Ann", [own[0], Assessment("r2", 2, "abstained", "empty")])
    assert part.parts == (1,) and part.missing == ("part 2: empty", "part 3", "part 4") and part.text_only is None


# --- the verb -------------------------------------------------------------------------------------------------------------------


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_windvane_score(tmp_path, capsys):
    made = [write(plan, 3) for plan in plans(2, seed=9)]
    lines = [
        json.dumps(
            {
                "part": r.part,
                "turns": [dataclasses.asdict(t) for t in r.turns],
                "scores": dict(r.scores),
                "candidate": "=Ann" if i % 2 else "Bo",
            }
        )
        for i, r in enumerate(made)
    ]
    lines += [json.dumps({"part": 1, "turns": [{"role": "candidate", "text": OTHERS["fr"]}]}), "no JSON"]
    source, out = tmp_path / "t.jsonl", tmp_path / "o" / "scores.csv"
    source.write_text("\n".join(lines))
    call = [str(source), "--out", str(out), "--rationale", "--json"]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["scored"], told["abstained"], told["unread"]) == (10, 8, 1, 1)
    assert told["scored_now"] == 9 and told["transcripts_per_hour"] > 1000 and told["reasons"] == {"wrong language": 1}
    rows = rows_of(out)
    assert [r["status"] for r in rows] == ["scored"] * 8 + ["abstained", "unread"] and rows[0]["rationale"]
    assert rows[1]["candidate"] == "'=Ann", "no formula for a spreadsheet"
    assert rows[8]["predicted_GV"] == "" and "not valid JSON" in rows[9]["reason"]
    whole = rows_of(out.with_name("scores-candidates.csv"))
    assert [r["candidate"] for r in whole] == ["Bo", "'=Ann"] and all(r["parts"] == "1 2 3 4" for r in whole)
    assert main(call) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scored_now"] == 0 and rows_of(out) == rows, "kept rows are not scored again"
    assert measure([str(out), "--json", "--resamples", "10"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 8 and result["candidates"] == 2
    (tmp_path / "names.txt").write_text("Ms Rao: Hello?\nMaria: Hi.\nMs Rao: Why?\nMaria: Because.\n")
    with pytest.raises(UserError, match="unknown speaker Ms Rao, Maria; say who it is with --speaker"):
        main([str(tmp_path / "names.txt"), "--out", str(out)])
    with pytest.raises(UserError, match=r"give a \.csv file"):
        main([str(source), "--out", str(tmp_path / "x.txt")])
    with pytest.raises(UserError, match="is weight-free"):
        main([str(source), "--out", str(out), "--adapter", "1=x"])
    (tmp_path / "o" / "scores.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="not written by windvane score"):
        main(call)


def test_a_killed_run_goes_on(tmp_path, monkeypatch, capsys):
    """After the first batch the scorer dies; the same command scores what is left, and the table is an undisturbed run's."""
    from windvane.evalyaks.scoring import score as speech_score

    made = [write(plan, 3) for plan in plans(5, (1,), seed=9)]
    source = tmp_path / "t.jsonl"
    source.write_text(
        "\n".join(json.dumps({"part": 1, "turns": [dataclasses.asdict(t) for t in r.turns]}) for r in made)
    )
    real, calls = speech_score.FeatureScorer.assess, []

    def dying(self, records, rationale=False):
        calls.append(len(records))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, records, rationale)

    monkeypatch.setattr(speech_score.FeatureScorer, "assess", dying)
    call = [str(source), "--out", str(tmp_path / "a.csv"), "--batch", "2", "--json"]
    with pytest.raises(KeyboardInterrupt):
        main(call)
    assert not (tmp_path / "a.csv").exists() and main(call) == 0
    assert json.loads(capsys.readouterr().out)["scored_now"] == 3
    assert main([str(source), "--out", str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
