import math

import pytest
import torch

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.core.user_objects import load_object
from windvane.engines.function import open_generator
from windvane.judges.function import CheckedJudge, FunctionJudge, open_judge

P = Prompt.of((Message("user", "Q?"),))
A, B = (Response(f"r{i}", P.id, i, t, (), "stop") for i, t in enumerate(("aa", "b")))
QUESTIONS = [Question("k-ab", P, A, B), Question("k-ba", P, B, A)]

MODULE = """
calls = []
def longer(prompt, a, b):
    calls.append((prompt, a, b))
    return 0.9 if len(a) > len(b) else 0.1
def boom(prompt, a, b):
    raise KeyError("missing\\nsecond line")
class Judge:
    reasons = {"k-ba": "the model was silent"}
    def judge(self, questions):
        return [0.25, None]
class Needs:
    def __init__(self, path): pass
class Wrong:
    def judge(self, questions):
        return [0.5]
ready = Judge()
number = 3
class Generator:
    def __init__(self, sampling): self.sampling = sampling
    def generate(self, prompts, indices, seed): return []
class Says:
    reasons = {"x-0": "asleep"}
    def __init__(self, sampling): self.text = "half \\ud83d of \\U0001f600"
    def generate(self, prompts, indices, seed):
        from windvane.core.records import Response
        return [[Response(f"{p.id}-{i}", p.id, i, self.text, (), "stop") for i in indices] for p in prompts]
class Few(Says):
    def generate(self, prompts, indices, seed): return super().generate(prompts[:1], indices, seed)
class Bare(Says):
    def generate(self, prompts, indices, seed): return [["text"] for _ in prompts]
class Other(Says):
    def generate(self, prompts, indices, seed): return super().generate(prompts, [9], seed)
class Fails(Says):
    def generate(self, prompts, indices, seed): raise TimeoutError("too slow")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch, request):
    """A module in the current folder, under a name of its own for each test."""
    name = f"mine_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/nonexistent")  # so that what is added to sys.path goes again
    return name


def test_plain_function_of_three_strings(mine):
    judge = open_judge(f"{mine}:longer", "cpu", "float32")
    assert judge.judge(QUESTIONS) == [0.9, 0.1]
    assert load_object(f"{mine}:calls") == [("Q?", "aa", "b"), ("Q?", "b", "aa")]


@pytest.mark.parametrize("name", ["Judge", "ready"])
def test_object_or_class(mine, name):
    judge = open_judge(f"{mine}:{name}", "cpu", "float32")
    assert judge.judge(QUESTIONS) == [0.25, None]
    assert judge.reasons == {"k-ba": "the model was silent"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [(0, 0.0), (1, 1.0), (torch.tensor(0.25), 0.25), (1.7, None), (-0.1, None), (math.nan, None), ("0.5", None), (None, None),
     (True, None), (torch.tensor([0.1, 0.2]), None), ([0.5], None)],
)  # fmt: skip
def test_only_probabilities_are_kept(value, kept):
    for judge in (FunctionJudge("m:f", lambda *_: value), CheckedJudge("m:f", _Fixed(value))):
        assert judge.judge(QUESTIONS) == [kept, kept]
        assert set(judge.reasons) == (set() if kept is not None else {"k-ab", "k-ba"})
    if isinstance(value, float) and kept is None:
        assert judge.reasons["k-ab"] == f"the judge returned {value}: not a probability in [0, 1]"


class _Fixed:
    def __init__(self, value):
        self.value = value

    def judge(self, questions):
        return [self.value for _ in questions]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boom", r"py:\w+:boom: question k-ab: KeyError: 'missing\\nsecond line' at mine_\d+.py:7"),
        ("Wrong", r"py:\w+:Wrong: 2 questions from k-ab on: .judge gave 1 answers"),
    ],
)
def test_errors_while_judging(mine, name, message):
    with pytest.raises(UserError, match=message):
        open_judge(f"{mine}:{name}", "cpu", "float32").judge(QUESTIONS)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:f", "no module no_such_module; run in the folder of no_such_module.py or install it"),
        ("MINE:absent", "has no absent"),
        ("MINE:number", "is int; give a function"),
        ("MINE:Needs", "making a Needs with no arguments failed with TypeError"),
        ("MINE", "expected py:module:object"),
        ("MINE:", "expected py:module:object"),
    ],
)
def test_errors_while_opening(mine, spec, message):
    with pytest.raises(UserError, match=message) as caught:
        open_judge(spec.replace("MINE", mine), "cpu", "float32")
    assert "\n" not in str(caught.value)


def test_a_module_that_does_not_import(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/nonexistent")
    (tmp_path / "broken_syntax.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "broken_import.py").write_text("import no_such_thing\n")
    with pytest.raises(UserError, match=r"importing broken_syntax failed with SyntaxError.* at broken_syntax.py:2"):
        load_object("broken_syntax:f")
    with pytest.raises(UserError, match=r"importing broken_import failed with ModuleNotFoundError: .*no_such_thing"):
        load_object("broken_import:f")


def test_generator_of_ones_own(mine):
    made = open_generator(f"{mine}:Generator", "the sampling", "cpu", "float32")
    assert made.inner.sampling == "the sampling" and made.generate([], [], 0) == []
    with pytest.raises(UserError, match=r"has no .generate"):
        open_generator(f"{mine}:longer", None, "cpu", "float32")


def test_a_generators_answers_are_checked(mine):
    other = Prompt.of((Message("user", "R?"),))
    says = open_generator(f"{mine}:Says", None, "cpu", "float32")
    assert [[a.text for a in answers] for answers in says.generate([P, other], [0, 1], 0)] == [
        ["half \ufffd of \U0001f600"] * 2
    ] * 2
    assert says.reasons == {"x-0": "asleep"}
    for name, message in (
        ("Few", "gave 1 lists of answers; give one for each prompt"),
        ("Bare", r"must give windvane.core.records.Response .* it gave 'text'"),
        ("Other", "gave answer 9 to .*, which was not asked for"),
        ("Fails", r"2 prompts from .* on: TimeoutError: too slow at mine_"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            open_generator(f"{mine}:{name}", None, "cpu", "float32").generate([P, other], [0, 1], 0)
        assert "\n" not in str(caught.value)
