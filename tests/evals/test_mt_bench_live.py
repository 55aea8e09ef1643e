"""Two turns, graded or in pairs: by hand through scripts, a server, a function, tiny weights; broken off and resumed."""

import json
import math

import pytest

from tests import tiny
from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.evals.arena_hard import command as pairwise
from windvane.evals.mt_bench.command import main
from windvane.evals.mt_bench.pairs import winner
from windvane.evals.mt_bench.score import read_scores, summarise

CATEGORIES = {81: "writing", 82: "writing", 111: "math", 112: "math"}
broken_after = None
calls = []


def grader(conversation, answer, reference):
    """A user's own grade: the number that the answer ends with; it sees the reference of math alone, and both turns in the second."""
    if broken_after is not None and len(calls) >= broken_after:
        raise RuntimeError("the machine went away")
    calls.append((conversation, answer, reference))
    return float(answer.split()[-1]) if answer[-1].isdigit() else "no idea"


def longer(prompt, a, b):
    calls.append((prompt, a, b))
    return 0.5 if len(a) == len(b) else 0.9 if len(a) > len(b) else 0.1


class Chatty:
    """Says how many turns it was shown, with what temperature; one prompt it refuses."""

    def __init__(self, sampling):
        self.sampling, self.reasons = sampling, {}

    def generate(self, prompts, indices, seed):
        from windvane.core.records import Response

        found = []
        for p in prompts:
            text = f"{len(p.messages)} messages at {self.sampling.temperature} after {p.messages[0].content}"
            if "Q112" in text:
                self.reasons[f"{p.id}-0"] = "out of order"
            found.append([] if "Q112" in text else [Response(f"{p.id}-0", p.id, 0, text, (), "stop")])
        return found


@pytest.fixture(autouse=True)
def fresh():
    global broken_after
    calls.clear()
    broken_after = None


def lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.fixture
def files(tmp_path):
    rows = [{"question_id": i, "category": c, "turns": [f"Q{i} one?", f"Q{i} two?"]} for i, c in CATEGORIES.items()]
    lines(tmp_path / "q.jsonl", rows)
    lines(
        tmp_path / "ref.jsonl",
        [{"question_id": i, "choices": [{"index": 0, "turns": [f"ref {i} one", f"ref {i} two"]}]} for i in (81, 111)],
    )
    # a's grades by turn: 81: 8 6, 82: 4 and unreadable, 111: 9 7, 112: the first answer is refused
    told = {"Q81 one?": 8, "Q81 two?": 6, "Q82 one?": 4, "Q82 two?": "?", "Q111 one?": 9, "Q111 two?": 7}
    a = [{"prompt": q, "answer": f"a says {g}"} for q, g in told.items()]
    lines(tmp_path / "a.jsonl", [*a, {"prompt": "Q112 one?", "answer": None, "reason": "refused"}])
    lines(tmp_path / "b.jsonl", [{"answer": "b always says 5"}])
    return tmp_path


def command(files, out, judge, *more):
    models = ["--model", f"scripted:{files / 'a.jsonl'}", f"scripted:{files / 'b.jsonl'}", "--name", "a", "b"]
    start = [*models, "--questions", str(files / "q.jsonl"), "--references", str(files / "ref.jsonl")]
    return [*start, "--judge", judge, "--out", str(files / out), "--quiet", *more]


GRADER = f"py:{__name__}:grader"


def test_by_hand(files, capsys):
    """a: turn 1 (8 + 4 + 9)/3 = 7, turn 2 (6 + 7)/2 = 6.5, average 34/5 = 6.8; writing (8 + 6 + 4)/3 = 6, math (9 + 7)/2 = 8; b is 5.
    Left out for a: one unreadable, two of 112. Paired on five turns: 6.8 - 5 = 1.8, clusters 81: 7 + 7 - ... sums about the mean:
    81: 14 - 13.6 = .4, 82: 4 - 6.8 = -2.8, 111: 16 - 13.6 = 2.4; se = sqrt(3/2 (.16 + 7.84 + 5.76))/5."""
    assert main([*command(files, "out", GRADER), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    a, b = found["models"]
    assert (a["turn_1"], a["turn_2"], a["average"], a["n"]) == (7, 6.5, pytest.approx(6.8), 5)
    assert {k: v["average"] for k, v in a["categories"].items()} == {"writing": 6, "math": 8}
    assert (b["average"], b["n"]) == (5, 8)
    error = math.sqrt(1.5 * (0.16 + 7.84 + 5.76)) / 5
    assert a["average_standard_error"] == pytest.approx(error)
    (gap,) = found["comparisons"]
    assert gap["mean"] == pytest.approx(1.8) and gap["standard_error"] == pytest.approx(error) and gap["clusters"] == 3
    assert gap["mde"] == pytest.approx(2.8016 * error, abs=1e-3)
    assert found["left_out"] == {"no score": 3} and found["unjudged"] == 3 and found["asked"] == 16
    (note,) = (n for n in found["notes"] if "without a correct answer" in n)
    assert note.startswith("1 question(s) of math") and "question 112" in note
    rows = {
        (r["model"], r["question_id"], r["turn"]): r
        for r in map(json.loads, (files / "out" / "judgements.jsonl").open())
    }
    assert rows["a", 112, 1]["reason"] == "refused" and rows["a", 112, 2]["reason"] == "the first turn has no answer"
    assert rows["a", 82, 2]["score"] == -1 and "not a grade from 1 to 10" in rows["a", 82, 2]["reason"]
    assert json.loads((files / "out" / "result.json").read_text())["name"] == "mt-bench"
    assert "writing" in (files / "out" / "plot.svg").read_text()
    # References reach the judge for math alone, and only where both turns have one; the second turn is asked with the first.
    seen = {answer: (conversation, reference) for conversation, answer, reference in calls}
    assert seen["a says 8"] == ("Q81 one?", None) and seen["a says 9"] == ("Q111 one?", "ref 111 one")
    assert seen["a says 7"] == ("User: Q111 one?\n\nAssistant: a says 9\n\nUser: Q111 two?", "ref 111 two")
    # Anyone scores the rows again.
    again = summarise(read_scores(files / "out" / "judgements.jsonl"))
    assert again["models"] == found["models"]
    answers = [json.loads(line) for line in (files / "out" / "answers" / "a.jsonl").open()]
    assert answers[0] == {
        "question_id": 81,
        "model_id": "a",
        "choices": [{"index": 0, "turns": ["a says 8", "a says 6"]}],
    }


def test_categories_of_a_published_file(files, capsys):
    path = lines(
        files / "s.jsonl", [{"question_id": i, "model": "m", "turn": 1, "score": i % 7 + 1} for i in CATEGORIES]
    )
    assert main([path, "--questions", str(files / "q.jsonl"), "--json", "--out", str(files / "kept")]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]["categories"]
    assert found["writing"]["average"] == (5 + 6) / 2 and found["math"]["n_questions"] == 2  # 81 % 7 = 4, 82 % 7 = 5
    assert (files / "kept" / "result.json").exists() and (files / "kept" / "plot.svg").exists()


def test_temperatures_go_by_category_and_the_second_turn_has_the_first(files):
    start = ["--model", f"py:{__name__}:Chatty", "--questions", str(files / "q.jsonl"), "--judge", f"py:{__name__}:one"]
    assert main([*start, "--out", str(files / "t"), "--name", "chatty", "--quiet"]) == 0
    rows = {
        r["question_id"]: r["choices"][0]["turns"] for r in map(json.loads, (files / "t/answers/chatty.jsonl").open())
    }
    assert rows[81] == ["1 messages at 0.7 after Q81 one?", "3 messages at 0.7 after Q81 one?"]
    assert rows[111][0].startswith("1 messages at 0.0") and rows[112] == []


def one(conversation, answer, reference):
    return 1


def test_a_language_model_grades_in_our_words(files, capsys):
    """Through a server: the reference of 111 is shown, an unreadable answer of the judge is kept, no call is made twice."""

    def script(body, attempt):
        text = body["messages"][0]["content"]
        assert ("ref 111 one" in text) == ("Q111 one" in text)
        return (200, {}, chat("no grade" if "a says 4" in text else "Because.\nScore: 6", 50, 10))

    with Scripted(script) as server:
        more = ["--price-in", "10", "--price-out", "10", "--budget", "100", "--json"]
        assert main([*command(files, "out", server.spec), *more]) == 0
        told = capsys.readouterr()
        found = json.loads(told.out)
        assert sum(server.served.values()) == len(server.served) == 6 + 8
        assert main([*command(files, "out", server.spec), *more]) == 0
        assert sum(server.served.values()) == 14, "a finished run asks nothing"
        assert "windvane: " not in capsys.readouterr().err, "and estimates nothing"
    assert "windvane: the judge: 16 calls" in told.err and "windvane: the judge: 14 calls" in told.err
    assert found["models"][0]["average"] == 6 and found["spent"]["cost"] == pytest.approx(14 * 60 * 10 / 1e6)
    assert found["reasons"]["no line with a score in the judge's answer"] == 2  # both turns of 82 show "a says 4"
    rows = [json.loads(line) for line in (files / "out" / "judgements.jsonl").open()]
    assert sum(r["judgment"] == "no grade" and r["score"] == -1 for r in rows) == 2


def test_pairs(files, capsys):
    """b's answer is longer on every turn that both answered (6 of 8): b wins all in both orders, 2 pairs have no answer of a."""
    assert main([*command(files, "p", f"py:{__name__}:longer", "--pairwise", "--resamples", "100"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["anchor"] == "a" and found["models"][0]["model"] == "b" and found["n_battles"] == 6
    assert found["first_shown_win_rate"] == 0.5 and found["left_out"] == {"judge's error": 2}
    assert len(calls) == 12 and found["unjudged"] == 2
    shown = next(c for c in calls if "Q111 two?" in c[0])
    assert "ref 111 one" in shown[0] and "ref 111 two" in shown[0] and "a says 9" in shown[1] and "a says 7" in shown[1]
    rows = [json.loads(line) for line in (files / "p" / "pairs.jsonl").open()]
    assert [(r["g1_winner"], r["g2_winner"]) for r in rows] == [("model_2", "model_2")] * 6 + [("error", "error")] * 2
    assert pairwise.main([str(files / "p" / "pairs.jsonl"), "--baseline", "a", "--json", "--resamples", "100"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == found["models"]


@pytest.mark.parametrize(("more", "tokens"), [((), 16), (("--judge-tokens", "4096"), 4096)])
def test_a_language_model_of_pairs_gets_room(files, more, tokens):
    with Scripted(lambda body, attempt: (200, {}, chat("<think>Hm.</think>m"))) as server:
        assert main([*command(files, f"p{tokens}", server.spec, "--pairwise", "--resamples", "2", *more)]) == 0
    assert {body["max_tokens"] for body in server.bodies} == {tokens}


def test_winners():
    assert [winner(0.9, False), winner(0.9, True), winner(0.2, True), winner(0.5, False), winner(None, True)] == [
        "model_1", "model_2", "model_1", "tie", "error",
    ]  # fmt: skip


def test_broken_off_resumed_and_a_model_added(files):
    global broken_after
    main(command(files, "whole", GRADER, "--batch", "3"))
    calls.clear()
    broken_after = 4
    with pytest.raises(UserError, match="the machine went away"):
        main(command(files, "parts", GRADER, "--batch", "3"))
    broken_after = None
    main(command(files, "parts", GRADER, "--batch", "3"))
    assert (files / "whole" / "manifest.json").read_text() == (files / "parts" / "manifest.json").read_text()
    calls.clear()
    given = lines(
        files / "c.jsonl",
        [{"question_id": 81, "model_id": "c", "choices": [{"index": 0, "turns": ["c says 2", "c says 3"]}]}],
    )
    main(command(files, "parts", GRADER, "--batch", "3", "--answers", given))
    assert [answer for _, answer, _ in calls] == ["c says 2", "c says 3"]
    with pytest.raises(UserError, match="started with other settings"):
        main(command(files, "parts", GRADER, "--batch", "3", "--limit", "2"))


def test_weights_here_grade_and_answer(files, tmp_path):
    """Tiny weights write nonsense: it is kept, none of it is a grade, and the first reason is told."""
    model = str(tiny.folder(tmp_path / "model"))
    start = ["--model", model, "--name", "tiny", "--questions", str(files / "q.jsonl"), "--judge", f"llm:local:{model}"]
    with pytest.raises(UserError, match="no grade could be read; the first: no line with a score"):
        main(
            [
                *start,
                "--out",
                str(files / "w"),
                "--max-new-tokens",
                "6",
                "--judge-tokens",
                "4",
                "--limit",
                "2",
                "--quiet",
            ]
        )
    rows = [json.loads(line) for line in (files / "w" / "judgements.jsonl").open()]
    assert len(rows) == 4 and all(r["score"] == -1 and r["judgment"] is not None for r in rows)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--judge", "human"], "also needs --model"),
        (["--model", "m", "--judge", "human"], "--questions is needed"),
        (
            ["--model", "m", "--questions", "{q}", "--judge", "reward:x", "--out", "{out}"],
            "gives no grades from 1 to 10",
        ),
        (
            ["--model", "m", "--questions", "{q}", "--judge", "human", "--out", "{out}", "--pairwise"],
            "name two with --model",
        ),
        (["--model", "m", "m", "--questions", "{q}", "--judge", "human", "--out", "{out}"], "all different"),
        (["--model", "m", "--questions", "{a}", "--judge", "human", "--out", "{out}"], "no usable question"),
        (["{q}", "--model", "m"], "is scored as it is"),
        ([], "name a file of judgements"),
    ],
)
def test_what_cannot_be(files, arguments, line):
    names = {"q": files / "q.jsonl", "a": files / "a.jsonl", "out": files / "none"}
    if "reward:x" in arguments:
        arguments = [a.replace("m", f"scripted:{files / 'b.jsonl'}") if a == "m" else a for a in arguments]
    with pytest.raises(UserError, match=line):
        main([a.format(**names) for a in arguments])
