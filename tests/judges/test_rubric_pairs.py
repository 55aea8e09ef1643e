"""Grades turned into preferences: the probability by hand, ties, lost grades, what is asked and how often."""

import json
import math

import pytest

from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.core.protocols import Grade
from windvane.core.records import Message, Prompt, Response
from windvane.engines.http.server import Server
from windvane.judges.names import resolve_judge
from windvane.judges.rubric_pairs import RubricPairJudge, Rubrics
from windvane.sppo.judges import canonical
from windvane.stages.judge import compare

ASKED = Prompt.of((Message("system", "You are dry."), Message("user", "Name a fruit.")))
GRADES = {("dry?", "Apple."): 5, ("dry?", "Pear!"): 3, ("short?", "Apple."): 4, ("short?", "Pear!"): 4}


def answer(index, text):
    return Response(f"{ASKED.id}-{index}", ASKED.id, index, text, (1,), "stop")


APPLE, PEAR, PLUM = answer(0, "Apple."), answer(1, "Pear!"), answer(2, "Plum")


class Table:
    """Grades from a table; counts what it is asked. As a class it is a user's own judge."""

    def __init__(self, grades=None):
        self.grades, self.asked = GRADES if grades is None else grades, []

    def grade(self, questions):
        self.asked += questions
        found = [(q.key, self.grades.get((q.rubric, q.response.text))) for q in questions]
        return [Grade(key, score, "said", None if score else "no line 'Score: N'") for key, score in found]


def judge(table, slope=1.0, place=None):
    rubrics = {ASKED.id: Rubrics(("dry?", "short?"), "Fig.")}
    return RubricPairJudge(table, "test", rubrics, slope, place)


def test_the_gap_of_means_is_the_logit():
    """Means 4.5 and 3.5: sigmoid(1); both orders agree; four grades for two answers and two rubrics, whatever the number of questions."""
    table = Table()
    (verdict,) = compare(judge(table), [(ASKED, APPLE, PEAR)])
    assert verdict.p == pytest.approx(1 / (1 + math.exp(-1))) and verdict.disagreement == pytest.approx(0, abs=1e-12)
    assert len(table.asked) == 4 and {q.reference for q in table.asked} == {"Fig."}
    assert all(q.prompt.text == "Name a fruit." for q in table.asked), "the judge reads no system message"
    (steep,) = compare(judge(Table(), slope=2.0), [(ASKED, APPLE, PEAR)])
    assert steep.p == pytest.approx(1 / (1 + math.exp(-2)))


def test_ties_and_lost_grades():
    same = {(r, t): 4 for r in ("dry?", "short?") for t in ("Apple.", "Pear!")}
    (tie,) = compare(judge(Table(same)), [(ASKED, APPLE, PEAR)])
    assert tie.p == 0.5 and tie.reason is None
    # "dry?" is unread for the pear: "short?" alone counts, 4 - 4, and the remark says what is missing
    (half,) = compare(judge(Table({**GRADES, ("dry?", "Pear!"): None})), [(ASKED, APPLE, PEAR)])
    assert half.p == 0.5 and "1 of 2 rubrics without two grades: no line 'Score: N'" in half.reason
    (none,) = compare(judge(Table()), [(ASKED, APPLE, PLUM)])  # the table has no plum
    assert none.p is None and "2 of 2 rubrics" in none.reason
    (wrong,) = compare(judge(Table({**GRADES, ("dry?", "Pear!"): 7, ("short?", "Pear!"): 4.5})), [(ASKED, APPLE, PEAR)])
    assert wrong.p is None and "not a whole number from 1 to 5: 7" in wrong.reason


def test_grades_are_kept_and_never_asked_again(tmp_path):
    """A second process finds the first one's grades, unread ones too; a torn last line is asked again."""
    first, second = Table(), Table({})
    p = compare(judge(first, place=tmp_path / "g.jsonl"), [(ASKED, APPLE, PEAR), (ASKED, APPLE, PLUM)])
    again = compare(judge(second, place=tmp_path / "g.jsonl"), [(ASKED, APPLE, PEAR), (ASKED, APPLE, PLUM)])
    assert again == p and not second.asked and len(first.asked) == 6
    rows = json.loads((tmp_path / "g.journal").read_text().splitlines()[0].partition("\t")[2])["rows"]
    assert {r["feedback"] for r in rows} == {"said"}
    whole = (tmp_path / "g.journal").read_bytes()
    (tmp_path / "g.journal").write_bytes(whole[:-5])
    third = Table()
    assert (
        compare(judge(third, place=tmp_path / "g.jsonl"), [(ASKED, APPLE, PEAR)])[0] == p[0] and len(third.asked) == 4
    )


def test_the_system_message_is_the_rubric(tmp_path):
    """A server is asked once an answer, its estimate says so, and its words are read as grades are."""

    def script(body, attempt):
        text = body["messages"][0]["content"]
        assert "You are dry." in text and "Below are a request, an answer to it and a rubric" in text
        return 200, {}, chat("Dry.\nScore: 4" if "Apple." in text else "Wet.\nScore: 2")

    with Scripted(script) as server:
        quick = Server(concurrency=2, retries=0)
        made = resolve_judge(f"rubric:{server.spec}", server=quick, calls=tmp_path / "calls-train.jsonl")
        from windvane.stages.judge import questions

        assert made.estimate(questions([(ASKED, APPLE, PEAR)])).calls == 2
        (verdict,) = compare(made, [(ASKED, APPLE, PEAR)])
        assert verdict.p == pytest.approx(1 / (1 + math.exp(-2))) and len(server.bodies) == 2
        assert made.account.counts.answered == 2 and (tmp_path / "calls-train.grades.journal").exists()


def test_rubrics_from_a_bench(tmp_path):
    told = {"criteria": "dry?", "score_descriptions": {str(i): f"{i}" for i in range(1, 6)}}
    row = {"system": "You are dry.", "prompt": "Name a fruit.", "reference_answer": "Fig.", "rubrics": [told]}
    path = tmp_path / "bench.jsonl"
    path.write_text(json.dumps(row) + "\n")
    made = resolve_judge(f"rubric:py:{__name__}:Long", rubrics=str(path))
    (verdict,) = compare(made, [(ASKED, APPLE, PEAR)])
    assert verdict.p == pytest.approx(1 / (1 + math.exp(-1)))
    made.check([ASKED])
    other = Prompt.of((Message("system", "You are wet."), Message("user", "Name a fruit.")))
    with pytest.raises(UserError, match="has no row in the file of rubrics"):
        made.check([ASKED, other])
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": "b"}) + "\n")
    with pytest.raises(UserError, match="row 2: this system message and prompt stand twice"):
        resolve_judge(f"rubric:py:{__name__}:Long", rubrics=str(path))


class Long:
    """The number of letters, less two."""

    def grade(self, questions):
        return [Grade(q.key, {"Apple.": 4, "Pear!": 3}[q.response.text], "") for q in questions]


class Rude:
    def grade(self, questions):
        return [4 for _ in questions]


def test_mistakes():
    bare = Prompt.of((Message("user", "Name a fruit."),))
    with pytest.raises(UserError, match="has no system message, so nothing says what its answers are graded by"):
        resolve_judge(f"rubric:py:{__name__}:Long").check([bare])
    with pytest.raises(UserError, match="rubric_slope: 0"):
        resolve_judge(f"rubric:py:{__name__}:Long", slope=0)
    with pytest.raises(UserError, match=r"must give one windvane\.core\.protocols\.Grade for each"):
        compare(resolve_judge(f"rubric:py:{__name__}:Rude"), [(ASKED, APPLE, PEAR)])


def test_one_model_in_two_roles_is_one_judge():
    """The judge that trains must not evaluate, whatever it is asked for."""
    assert canonical("rubric:http://h/v1#m") == canonical("llm:http://h/v1#m") == canonical("http://h/v1#m")
    assert canonical("rubric:local:m") == canonical("llm:local:m")
    assert canonical("rubric:world:values:noisy") != canonical("world:values:programme")
