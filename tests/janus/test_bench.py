"""`windvane eval multifaceted` from bench to table, with judges that are programmes or scripts."""

import json

import pytest

from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.core.protocols import Grade
from windvane.janus.bench.command import main
from windvane.runs.store import read_jsonl

MODEL = f"py:{__name__}:Echo"


def rubric(word):
    return {
        "criteria": f"Does the answer say {word}?",
        "score_descriptions": {str(i): f"{word} {i}" for i in range(1, 6)},
    }


def bench(path, count=12):
    rows = []
    for i in range(count):
        word = ["warm", "dry", "blunt"][i % 3]
        rows.append(
            {"id": i, "source": ["koala", "flask"][i % 2], "system": f"You are {word}.", "prompt": f"Tell me {i // 3}.",
             "reference_answer": word, "rubrics": [rubric(word), rubric("me")]}
        )  # fmt: skip
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


class Echo:
    """Says system message and prompt back."""

    def __init__(self, sampling):
        self.reasons = {}

    def generate(self, prompts, indices, seed):
        from windvane.core.records import Response

        return [
            [Response(f"{p.id}-{i}", p.id, i, " ".join(m.content for m in p.messages), (), "stop") for i in indices]
            for p in prompts
        ]


class Reads:
    """5 where the answer has the rubric's word, else 1; nothing for the third instance's prompt in the second run."""

    def grade(self, questions):
        found = []
        for q in questions:
            word = json.loads(q.rubric)["criteria"].removeprefix("Does the answer say ").removesuffix("?")
            assert "You are" not in q.prompt.text, "the judge reads the prompt without the system message"
            score = 5 if word in q.response.text else 1
            lost = q.key.endswith("-2-0-1")
            found.append(Grade(q.key, None if lost else score, "told", f"x: {q.key}: no verdict" if lost else None))
        return found


class Likes(Reads):
    """Grades by length: blind to rubrics."""

    def grade(self, questions):
        return [Grade(q.key, 4, "") for q in questions]


def command(tmp_path, *more, count=12, judge=f"py:{__name__}:Reads", answers=None):
    """The arguments that grade MODEL (or `answers`) on a bench of `count` instances."""
    of = ["--model", MODEL] if answers is None else ["--answers", answers]
    argv = ["--bench", bench(tmp_path / "b.jsonl", count), *of, "--judge", judge, "--out", tmp_path / "out", *more]
    return [str(one) for one in argv]


def told(argv, capsys):
    assert main([*map(str, argv), "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_is_graded(tmp_path, capsys):
    argv = command(tmp_path)
    argv += ["--runs", "2", "--shuffled", "--writer", "gpt-4", "--rubric-maker", "gpt-4o"]
    found = told(argv, capsys)
    # each answer holds its own word and "me": 5; another's rubrics are (another word -> 1, "me" -> 5): 3, or 5 where the word is the same
    assert found["mean"] == 5 and found["grades"] == 12 * 2 * 2 and found["unreadable"] == 1
    assert found["reasons"] == {"no verdict": 1} and found["instances_unscored"] == 0
    # (the grade that is lost makes it 4 for one instance)
    assert found["shuffled"]["mean"] == pytest.approx(37 / 12) and found["shuffled"]["difference"] == pytest.approx(
        23 / 12
    )
    assert found["shuffled"]["low"] > 1.5
    assert [(s["source"], s["scored"]) for s in found["sources"]] == [("flask", 6), ("koala", 6)]
    assert found["by_prompt"]["prompts"] == 4
    # "you are X tell me n" of 6 words: two answers to one prompt share 5
    assert found["diversity"]["rouge_l_between_system_messages"]["mean"] == pytest.approx(5 / 6)
    assert any("writer (gpt-4) and rubric maker (gpt-4o) are related" in n for n in found["notes"])
    assert len(list(read_jsonl(tmp_path / "out/own.jsonl"))) == 48
    again = told(argv, capsys)
    assert again == found and (tmp_path / "out/plot.svg").read_text().startswith("<svg")


def test_a_blind_judge_fails_the_control(tmp_path, capsys):
    argv = command(tmp_path, "--shuffled", judge=f"py:{__name__}:Likes")
    found = told(argv, capsys)
    assert found["shuffled"]["difference"] == 0 and any("judge is greedy" in n for n in found["notes"])


def test_given_answers_and_missing_ones(tmp_path, capsys):
    """The released layout: ids are JSON keys there and numbers in the bench."""
    answers = {str(i): {"response": "warm me" if i else " "} for i in range(10)}
    (tmp_path / "a.json").write_text(json.dumps(answers))
    argv = command(tmp_path, answers=tmp_path / "a.json")
    assert main([*map(str, argv), "--quiet", "--runs", "1"]) == 0
    text = capsys.readouterr().out
    assert (
        "without an answer: 1 empty answer, 2 not in the answers' file" in text
        and "who was the writer is not recorded" in text
    )
    result = json.loads((tmp_path / "out/result.json").read_text())
    # instances 3, 6, 9 want "warm": 5 and 5; the six others 1 and 5
    assert result["scored"] == 9 and result["mean"] == pytest.approx((3 * 5 + 6 * 3) / 9) and result["model"] == "a"


def test_a_judge_that_answers_prose_through_a_server(tmp_path, capsys):
    """A language model as the judge: prose has no score, is kept and counted; what it may cost is told first."""

    def script(body, attempt):
        asked = body["messages"][-1]["content"]
        return 200, {}, chat("It is nice." if "Does the answer say me" in asked else "Kind enough.\n**[RESULT]** 4/5")

    with Scripted(script) as server:
        argv = command(tmp_path, judge=f"rubric:{server.spec}")
        assert main([*map(str, argv), "--quiet", "--runs", "1", "--price-in", "1", "--price-out", "1"]) == 0
        first = len(server.bodies)
        assert main([*map(str, argv), "--quiet", "--runs", "1"]) == 0 and len(server.bodies) == first == 24
    told = capsys.readouterr()
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["mean"] == 4 and result["unreadable"] == 12 and result["bounds"] == [2.5, 4.5]
    assert "the judge: 24 calls, about" in told.err and "in money" in told.err
    assert "12 of 24 grades could not be read" in told.out and "24 calls" in told.out


def test_without_the_system_message(tmp_path, capsys):
    argv = command(tmp_path, "--no-system")
    found = told(argv, capsys)
    assert (
        found["system"] is False
        and found["mean"] == pytest.approx(3 + 2 / 3 / 12)
        and found["diversity"]["rouge_l_between_system_messages"]["mean"] == 1
    )


def test_a_bench_of_one(tmp_path, capsys):
    """The released evaluation fails with fewer than three instances."""
    argv = command(tmp_path, count=1)
    found = told(argv, capsys)
    assert found["mean"] == found["low"] == found["high"] == 5 and found["by_prompt"] is None


def test_votes(tmp_path, capsys):
    (tmp_path / "v.jsonl").write_text('{"instance": 1, "vote": "win"}\n{"instance": 2, "vote": "lose"}\n')
    assert main(["--votes", str(tmp_path / "v.jsonl")]) == 0
    assert "tie or win    50.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (["--runs", "0"], "--runs 0"),
        (["--answers", "x.json"], "--model M or --answers FILE: give one"),
        (["--judge", "reward:x"], "gives no grades by a rubric"),
        (["--judge", f"py:{__name__}:MODEL"], "has no .grade"),
    ],
)
def test_mistakes(tmp_path, change, wrong):
    argv = command(tmp_path, "--quiet", count=3)
    with pytest.raises(UserError, match="eval multifaceted: --judge is needed"):
        main(["--bench", "b.jsonl", "--model", MODEL])
    with pytest.raises(UserError) as error:
        main([*argv, *change])
    assert wrong in str(error.value)


def test_all_rubrics_alike_cannot_be_shuffled(tmp_path):
    argv = command(tmp_path, "--quiet", count=1)
    with pytest.raises(UserError, match="nothing to exchange"):
        main([*argv, "--shuffled"])
