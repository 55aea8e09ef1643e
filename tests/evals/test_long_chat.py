"""Long documents, open questions, grades by a rubric judge: by hand through scripts, a tiny model, broken off and resumed."""

import json
from pathlib import Path

import pytest

from windvane.core.errors import UserError
from windvane.core.protocols import Grade
from windvane.evals.long_chat.command import main
from windvane.evals.long_chat.files import read_grades, read_questions
from windvane.evals.long_chat.score import summarise
from windvane.judges import rubric

ROWS = [
    {"id": "q1", "document": "The lake is blue.", "question": "Which colour?", "reference": "Blue."},
    {"id": 2, "context": "The lake is blue.", "input": "What is blue?", "answer": "The lake."},
    {"document": "Boats drift.", "question": "What do boats do?", "reference": "They drift."},
    {"document": "No reference here.", "question": "Why?"},
    {"question": "Of what?", "reference": "-"},
    {"id": "q1", "document": "Another.", "question": "Again?", "reference": "-"},
]


def lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.fixture
def files(tmp_path):
    lines(tmp_path / "q.jsonl", ROWS)
    told = {"Which colour?": "a blue one", "What is blue?": "a lake, a lake"}
    rows = [{"contains": q, "answer": t} for q, t in told.items()]
    lines(tmp_path / "a.jsonl", [*rows, {"prompt": "", "answer": "x"}, {"answer": None, "reason": "out of order"}])
    lines(tmp_path / "b.jsonl", [{"answer": "b always says this"}])
    judge = [
        {"contains": "a blue one", "answer": "Right.\nScore: 5"},
        {"contains": "a lake, a lake", "answer": "I would rather not say."},
        {"contains": "b always says this", "answer": "Poor.\nScore: 2"},
    ]
    lines(tmp_path / "judge.jsonl", judge)
    return tmp_path


def command(files, *more, models=("a", "b")):
    specs = [f"scripted:{files / f'{m}.jsonl'}" for m in models]
    start = ["--model", *specs, "--name", *models, "--questions", str(files / "q.jsonl"), "--out", str(files / "out")]
    return [*start, "--judge", f"rubric:scripted:{files / 'judge.jsonl'}", "--quiet", "--json", *more]


def test_by_hand(files, capsys):
    """a: one 5, one that cannot be read, one not answered; b: 2 2 2. Paired: b - a = -3 on q1 alone."""
    assert main(command(files)) == 0
    found = json.loads(capsys.readouterr().out)
    a, b = found["models"]
    assert (a["average"], a["graded"], a["asked"]) == (5.0, 1, 3) and (b["average"], b["graded"]) == (2.0, 3)
    assert a["scores"] == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1} and b["scores"]["2"] == 3
    assert b["documents"] == 2, "two questions are on one document"
    assert sum(a["ungraded"].values()) == 2 and a["ungraded"]["out of order"] == 1
    assert a["low"] < 4 and a["high"] == 5, "one answer does not make sure"
    assert [(c["first"], c["second"], c["mean"], c["n"]) for c in found["comparisons"]] == [("b", "a", -3.0, 1)]
    assert found["left_out"] == {"no reference": 1, "no document": 1, "repeated": 1} and found["questions"] == 3
    assert "not comparable" in found["label"] and found["spent"] is None
    rows = [json.loads(line) for line in (files / "out" / "grades.jsonl").open()]
    kept = next(r for r in rows if r["model"] == "a" and r["question_id"] == "2")
    assert (
        kept["score"] is None
        and "no line 'Score: N'" in kept["reason"]
        and kept["feedback"] == "I would rather not say."
    )
    assert rows[0]["feedback"] == "Right." and summarise(rows)["models"] == found["models"]
    assert json.loads((files / "out" / "result.json").read_text())["name"] == "long-chat"
    assert "grade" in (files / "out" / "plot.svg").read_text()


def test_every_two_models_are_compared():
    """Grades 5, 4 and 1 on one question each of two documents: b - a = -1, c - a = -4, c - b = -3; no spread, so anything would show."""
    rows = [
        {"model": m, "question_id": q, "document": q, "score": s, "reason": None, "finish": "stop"}
        for m, s in (("a", 5), ("b", 4), ("c", 1))
        for q in ("1", "2")
    ]
    found = summarise(rows)["comparisons"]
    assert [(c["first"], c["second"], c["mean"], c["mde"]) for c in found] == [
        ("b", "a", -1, 0), ("c", "a", -4, 0), ("c", "b", -3, 0),
    ]  # fmt: skip


class Seen:
    def __init__(self, after=None):
        self.asked, self.after = [], after

    def grade(self, questions):
        if self.after is not None and len(self.asked) >= self.after:
            raise RuntimeError("the machine went away")
        self.asked += questions
        return [Grade(q.key, 3, "fair") for q in questions]


def test_the_judge_reads_the_reference_and_not_the_document(files, monkeypatch, capsys):
    seen = Seen()
    monkeypatch.setattr(rubric, "open_judge", lambda *args, **kwargs: seen)
    assert main(command(files, models=("b",))) == 0
    assert [q.prompt.messages[0].content for q in seen.asked][:2] == ["Which colour?", "What is blue?"]
    assert [q.reference for q in seen.asked] == ["Blue.", "The lake.", "They drift."]
    assert all(q.response.text == "b always says this" and "1:" in q.rubric for q in seen.asked)
    seen.asked.clear()
    mine = files / "mine.txt"
    mine.write_text("5: it rhymes.")
    more = ["--with-document", "--rubric", str(mine), "--out", str(files / "other")]
    assert main(command(files, *more, models=("b",))) == 0
    assert len(seen.asked) == 4 and seen.asked[3].reference is None and seen.asked[0].rubric == "5: it rhymes."
    assert seen.asked[3].prompt.messages[0].content == "No reference here.\n\nWhy?"


def test_broken_off_and_resumed(files, monkeypatch, capsys):
    first, then = Seen(after=2), Seen()
    judges = iter([first, then])
    monkeypatch.setattr(rubric, "open_judge", lambda *args, **kwargs: next(judges))
    with pytest.raises(RuntimeError, match="went away"):
        main(command(files, "--batch", "1", models=("b",)))
    assert main(command(files, "--batch", "1", models=("b",))) == 0
    assert len(first.asked) == 2 and len(then.asked) == 1, "no grade is asked for twice"
    assert json.loads(capsys.readouterr().out)["models"][0]["average"] == 3
    kept = (files / "out" / "result.json").read_bytes()
    monkeypatch.setattr(rubric, "open_judge", None)
    assert main(command(files, "--batch", "1", models=("b",))) == 0, "a finished one needs no judge"
    assert (files / "out" / "result.json").read_bytes() == kept
    with pytest.raises(UserError, match="other settings"):
        main(command(files, "--limit", "2", models=("b",)))


def test_a_model_of_weights_answers_greedily_and_refuses_what_is_too_long(files, monkeypatch, capsys):
    text = "Anna sings.\n\nThe boat drifts near the lake."
    rows = [
        {"document": text, "question": "What does Anna do?", "reference": "Anna sings"},
        {"document": "The boat drifts. " * 3000, "question": "What does Anna do?", "reference": "?"},
    ]
    lines(files / "q.jsonl", rows)
    seen = Seen()
    monkeypatch.setattr(rubric, "open_judge", lambda *args, **kwargs: seen)
    argv = ["--model", "world:facts", "--questions", str(files / "q.jsonl"), "--out", str(files / "out")]
    assert main([*argv, "--judge", "rubric:x", "--max-new-tokens", "12", "--quiet", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]
    assert [q.response.text for q in seen.asked] == ["Anna sings"]
    (reason,) = found["ungraded"]
    assert found["graded"] == 1 and found["cut"] == 0 and "12" in reason


def test_given_answers_are_graded_beside_a_models_and_grades_are_summed_up_again(files, capsys):
    """The same answers as a's and b's scripts give: the same grades; the rows read again: the same figures."""
    third = read_questions(files / "q.jsonl", False, None)[0][2].id
    given = [
        {"question_id": "q1", "model": "a", "text": "a blue one"},
        {"id": 2, "prediction": "a lake, a lake"},
        {"id": "x"},
    ]
    path = lines(files / "given.jsonl", [*given, {"id": "no question's", "text": "?"}])
    assert main([*command(files, models=("b",)), "--answers", path]) == 0
    found = json.loads(capsys.readouterr().out)
    b, a = found["models"]
    assert (a["model"], a["average"], a["graded"], a["asked"]) == ("a", 5.0, 1, 3) and (b["average"], b["graded"]) == (
        2.0,
        3,
    )
    assert a["ungraded"]["no answer in the file"] == 1
    assert [(c["first"], c["second"], c["mean"]) for c in found["comparisons"]] == [("a", "b", 3.0)]
    grades = files / "out" / "grades.jsonl"
    assert third in grades.read_text()
    assert main([str(grades), "--json", "--out", str(files / "again")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {k: again[k] for k in ("models", "comparisons", "label", "judge")} == {
        k: found[k] for k in ("models", "comparisons", "label", "judge")
    }
    assert (files / "again" / "plot.svg").exists()
    # The same command goes on; with other answers under the same name it does not.
    assert main([*command(files, models=("b",)), "--answers", path]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == found["models"]
    lines(files / "given.jsonl", [given[0] | {"text": "another"}])
    with pytest.raises(UserError, match="other settings"):
        main([*command(files, models=("b",)), "--answers", path])


def test_grades_that_cannot_be_used_are_counted(files):
    row = {"question_id": 1, "model": "m", "score": 4}
    rows = [row, row, row | {"question_id": 2, "score": 6}, row | {"question_id": 3, "score": None}, {"score": 1}, 7]
    found, left = read_grades(Path(lines(files / "g.jsonl", rows)))
    assert [r["score"] for r in found] == [4, None]
    assert left == {"repeated": 1, "score is not 1 to 5": 1, "no model": 1, "not a table": 1}
    (one,) = summarise(found)["models"]
    assert (one["average"], one["graded"], one["asked"]) == (4, 1, 2)
    with pytest.raises(UserError, match=r"no usable grade \(left out: 1 no model\)"):
        read_grades(Path(lines(files / "g.jsonl", [{"score": 1}])))
    with pytest.raises(UserError, match="answers none of the questions"):
        main([*command(files, models=("b",)), "--answers", str(files / "g.jsonl")])


def test_mistakes(files):
    with pytest.raises(UserError, match="gives no grades"):
        main(command(files, "--judge", "pairrm:x", models=("b",)))
    with pytest.raises(UserError, match="--judge is needed"):
        main(["--model", "x", "--questions", str(files / "q.jsonl"), "--out", str(files / "o")])
    with pytest.raises(UserError, match=r"--model M \.\.\. or --answers"):
        main(["--judge", "rubric:x", "--questions", str(files / "q.jsonl"), "--out", str(files / "o")])
    lines(files / "empty.jsonl", [{"question": "?"}])
    with pytest.raises(UserError, match="1 no document"):
        read_questions(files / "empty.jsonl", False, None)
    found, _ = read_questions(files / "q.jsonl", True, 2)
    assert len(found) == 2 and found == read_questions(files / "q.jsonl", True, 2)[0]
