"""A language model as a judge: through a server with and without log-probabilities, through weights here, through a script."""

import json
import math

import pytest
import torch

from tests import tiny
from tests.engines.scripted_server import Scripted, chat, top
from windvane.core.errors import UserError
from windvane.core.protocols import Question, RubricQuestion
from windvane.core.records import Message, Prompt, Response
from windvane.engines.http.server import Server
from windvane.engines.names import resolve_generator
from windvane.judges.names import resolve_judge, resolve_rubric_judge
from windvane.judges.questions import Ask, LocalAsker
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import render
from windvane.prompts.pairwise import pairwise_messages
from windvane.stages.judge import compare

ASKED = Prompt.of((Message("user", "Name a fruit."),))
QUICK = Server(concurrency=4, retries=1, backoff_seconds=0.001)


def answer(index, text):
    return Response(f"{ASKED.id}-{index}", ASKED.id, index, text, (1,), "stop")


APPLE, PEAR, STONE = answer(0, "Apple"), answer(1, "Pear"), answer(2, "Stone")


def shown_first(body, *names):
    """Which of two texts the question shows as m."""
    text = body["messages"][0]["content"]
    return min(names, key=text.index)


def test_log_probabilities_in_both_orders():
    """Apple first: p(m) = .8, p(M) = .1; Pear first: .3 and .6. P(Apple) = (8/9 + 1 - 1/3)/2 = 7/9, gap |8/9 + 1/3 - 1| = 2/9."""

    def script(body, attempt):
        assert body["logprobs"] is True and body["top_logprobs"] == 5 and body["temperature"] == 0
        p, q = (0.8, 0.1) if shown_first(body, "Apple", "Pear") == "Apple" else (0.3, 0.6)
        return (200, {}, chat("M", logprobs=top(M=math.log(q), m=math.log(p))))

    with Scripted(script) as scripted:
        (verdict,) = compare(resolve_judge(scripted.spec, server=QUICK), [(ASKED, APPLE, PEAR)])
    assert verdict.p == pytest.approx(7 / 9) and verdict.disagreement == pytest.approx(2 / 9)


def test_text_where_no_log_probabilities_are_offered():
    """A judge that always says m: each order contradicts the other, a tie; one that cannot be read is kept with its reason."""

    def script(body, attempt):
        if "logprobs" in body:
            return (400, {}, {"error": {"message": "logprobs are not supported here"}})
        return (200, {}, chat("I cannot choose." if "Stone" in body["messages"][0]["content"] else "**m**"))

    with Scripted(script) as scripted:
        judge = resolve_judge(f"llm:{scripted.spec}", server=QUICK)
        tie, broken = compare(judge, [(ASKED, APPLE, PEAR), (ASKED, APPLE, STONE)])
    assert (tie.p, tie.disagreement) == (0.5, 1.0)
    assert broken.p is None and broken.reason.count("names no label: 'I cannot choose.'") == 2


def test_a_failed_call_is_a_verdict_with_a_reason(tmp_path):
    def script(body, attempt):
        bad = shown_first(body, "Apple", "Pear") == "Apple"
        return (500, {}, b"") if bad else (200, {}, chat("m"))

    with Scripted(script) as scripted:
        judge = resolve_judge(scripted.spec, server=QUICK, calls=tmp_path / "calls.jsonl")
        (verdict,) = compare(judge, [(ASKED, APPLE, PEAR)])
        assert verdict.p is None and verdict.p_ba == 1.0 and verdict.reason.endswith("HTTP 500")
        again = resolve_judge(scripted.spec, server=QUICK, calls=tmp_path / "calls.jsonl")
        questions = [Question(f"{verdict.id}-ba", ASKED, PEAR, APPLE), Question("new", ASKED, APPLE, STONE)]
        assert again.estimate(questions).calls == 1, "what was answered is not asked again"


def test_scripted(tmp_path):
    rows = [
        {"contains": "Stone", "answer": "undecided"},
        {"contains": "Plum", "answer": None, "reason": "asleep"},
        {"answer": "M"},
    ]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    judge = resolve_judge(f"llm:scripted:{tmp_path / 'script.jsonl'}")
    questions = [
        Question("a", ASKED, APPLE, PEAR),
        Question("b", ASKED, APPLE, STONE),
        Question("c", ASKED, answer(3, "Plum"), PEAR),
        Question("d", ASKED, APPLE, PEAR),
    ]
    assert judge.judge(questions) == [0.0, None, None, 0.0]
    assert (
        "undecided" in judge.reasons["b"]
        and judge.reasons["c"].endswith("c: asleep")
        and set(judge.reasons) == {"b", "c"}
    )


def test_a_model_that_begins_with_something_else_is_read_by_its_text():
    """<think> takes .999999 of the first token, and what is left for m and M says 9 to 1 for m: a leftover, not a verdict."""

    def script(body, attempt):
        said = "<think>the first</think>\nM" if "Stone" in body["messages"][0]["content"] else "<think>Well, the"
        tiny_ones = {"<think>": -1e-6, "m": math.log(9e-7), "M": math.log(1e-7)}
        return (200, {}, chat(said, logprobs=top(**tiny_ones)))

    with Scripted(script) as scripted:
        judge = resolve_judge(scripted.spec, server=QUICK)
        told = judge.judge([Question("a", ASKED, APPLE, STONE), Question("b", ASKED, APPLE, PEAR)])
        assert told == [0.0, None] and judge.reasons["b"].endswith("b: the answer names no label: '<think>Well, the'")
        patient = resolve_judge(scripted.spec, server=Server(judge_tokens=4096, concurrency=1))
        patient.judge([Question("a", ASKED, APPLE, STONE)])
        assert patient.estimate([Question("a", ASKED, APPLE, STONE)]).likely.completion_tokens == 4096
    assert [body["max_tokens"] for body in scripted.bodies] == [16, 16, 4096]


def test_weights_here_against_a_plain_forward(tmp_path, monkeypatch):
    """The byte tokenizer has one token for m and one for M: P is the softmax of their two logits after the prompt. (Random weights give the
    two about 2/260 together, which is no beginning of an answer: then the text is read, and holds no label.)"""
    folder = tiny.folder(tmp_path / "model", "llama")
    judge = resolve_judge(f"llm:local:{folder}", device="cpu")
    assert judge.judge([Question("k", ASKED, APPLE, PEAR)]) == [None] and "cut before" in judge.reasons["k"]
    monkeypatch.setattr("windvane.judges.questions.LEAST", 0.001)
    (p,) = judge.judge([Question("k", ASKED, APPLE, PEAR)])
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), "float32", "cpu")
    ids = render(tokenizer, pairwise_messages(ASKED, "Apple", "Pear"))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    m, M = (tokenizer.convert_tokens_to_ids(t) for t in "mM")
    assert p == pytest.approx(float(torch.sigmoid((logits[m] - logits[M]).double())), abs=1e-6) and p != 0.5
    long = Question("l", ASKED, answer(0, "x" * 5000), PEAR)
    assert judge.judge([long]) == [None] and "exceed the judge's window of 4096" in judge.reasons["l"]
    (told,) = LocalAsker(model, tokenizer).ask([Ask("t", (Message("user", "Hi"),))], 4)
    assert isinstance(told.text, str) and told.top == {}


def test_rubric(tmp_path):
    rows = [{"contains": "Stone", "answer": "Hard.\nScore: 9"}, {"answer": "A fruit indeed.\nScore: 5"}]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    judge = resolve_rubric_judge(f"rubric:scripted:{tmp_path / 'script.jsonl'}")
    good, bad = judge.grade([RubricQuestion(str(i), ASKED, r, "Is it a fruit?") for i, r in enumerate((APPLE, STONE))])
    assert (good.key, good.score, good.feedback, good.reason) == ("0", 5, "A fruit indeed.", None)
    assert (
        bad.score is None
        and bad.feedback == "Hard."
        and bad.reason.endswith("1: not a whole number from 1 to 5: 'Score: 9'")
    )


def test_rubric_through_a_server():
    with Scripted(lambda body, attempt: (200, {}, chat("Fine.\nScore: 2"))) as scripted:
        judge = resolve_rubric_judge(f"rubric:{scripted.spec}", server=QUICK)
        assert judge.grade([RubricQuestion("k", ASKED, APPLE, "Is it a fruit?")])[0].score == 2
        assert "logprobs" not in scripted.bodies[0] and scripted.bodies[0]["max_tokens"] == 512


def test_script_by_prompt(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text(json.dumps({"prompt": "Name a fruit.", "answers": ["Apple", "Pear"]}) + "\n")
    made = resolve_generator(f"scripted:{path}", None)
    ((a, b, c),) = made.generate([ASKED], [0, 1, 2], seed=0)
    assert [r.text for r in (a, b, c)] == ["Apple", "Pear", "Apple"] and c.id == f"{ASKED.id}-2" and a.token_ids == ()
    with pytest.raises(UserError, match=r"no answer to prompt .*'Say hi'; add a row"):
        made.generate([Prompt.of((Message("user", "Say hi"),))], [0], 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "empty"),
        ('{"prompt": "x"}\n', "row 1: no answers"),
        ('{"promt": "x"}\n', "promt"),
        ("{\n", "row 1: not valid JSON"),
    ],
)
def test_broken_scripts(tmp_path, text, line):
    (tmp_path / "s.jsonl").write_text(text)
    with pytest.raises(UserError, match=line):
        resolve_generator(f"scripted:{tmp_path / 's.jsonl'}", None)
    with pytest.raises(UserError, match="no such file"):
        resolve_generator("scripted:nowhere.jsonl", None)


@pytest.mark.parametrize("spec", ["rubric", "rubric:", "llm:scripted:x", "reward:x"])
def test_unknown_judges_of_grades(spec):
    with pytest.raises(UserError, match="rubric:BACKEND"):
        resolve_rubric_judge(spec)
