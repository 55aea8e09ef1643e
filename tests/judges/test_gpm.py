"""The GPM as a judge: its probabilities by the rows' own embeddings, K passes for K answers, refusals."""

import math

import pytest
import torch

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.judges import gpm
from windvane.judges.gpm import GeneralPreferenceJudge, open_judge
from windvane.models.preference_heads import HeadShape
from windvane.models.preference_model import PreferenceModel, save_preference_model, start_preference_model


def prompt(text):
    return Prompt.of((Message("system", "Be kind."), Message("user", text)))


def answer(index, text):
    return Response(f"r{index}", "p", index, text, (), "stop")


TEXTS = ["short", "a somewhat longer answer", "the longest of these four answers, by far, on purpose", "x"]
ANSWERS = [answer(i, t) for i, t in enumerate(TEXTS)]
PROMPTS = [prompt("Say something."), prompt("Something else, please.")]
QUESTIONS = [
    Question(f"{p.id}-{i}-{j}", p, ANSWERS[i], ANSWERS[j])
    for p in PROMPTS
    for i in range(4)
    for j in range(4)
    if i != j
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpm")
    tiny.folder(path / "base")
    tokenizer = tiny.byte_tokenizer()
    model = start_preference_model(str(path / "base"), tokenizer, HeadShape.of("gpm", 8), "float32", "cpu", 0)
    save_preference_model(model, tokenizer, path / "m", "base")
    return str(path / "m")


def by_hand(model, tokenizer, question):
    """P(first wins) from three plain forwards and the formula."""
    chat = [{"role": m.role, "content": m.content} for m in question.prompt.messages]

    def state(text):
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return model.decoder(ids).last_hidden_state[0, -1]

    def embedding(response):
        v = model.head.score(
            state(
                tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": response.text}], tokenize=False)
            )
        )
        return v / v.norm()

    a, b = embedding(question.first), embedding(question.second)
    gate = model.head.gate(state(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)))
    scale = 4 * (gate / math.sqrt(32)).softmax(-1)
    s = sum(scale[i] * (a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i]) for i in range(4))
    return torch.sigmoid(s / 0.1).item()


def test_probabilities_by_hand(folder):
    judge = open_judge(folder, "cpu", "float32")
    found = judge.judge(QUESTIONS)
    with torch.no_grad():
        wanted = [by_hand(judge.model, judge.tokenizer, q) for q in QUESTIONS]
    assert found == pytest.approx(wanted, abs=1e-4)
    assert max(found) - min(found) > 0.05
    forth = dict(zip([q.key for q in QUESTIONS], found))
    for p in PROMPTS:
        for i in range(4):
            for j in range(i):
                assert forth[f"{p.id}-{i}-{j}"] + forth[f"{p.id}-{j}-{i}"] == pytest.approx(1.0, abs=1e-15)


def test_k_passes_and_one_prompt(folder, monkeypatch):
    """24 ordered pairs, 8 answers: each is embedded once, and each prompt's tokens are computed once for its four answers."""
    judge = open_judge(folder, "cpu", "float32")
    seen, plain = [], PreferenceModel.embed
    monkeypatch.setattr(
        PreferenceModel, "embed", lambda self, pooler, trees: seen.extend(trees) or plain(self, pooler, trees)
    )
    first = judge.judge(QUESTIONS)
    assert len(seen) == 2 and [len(t.leaves) for t in seen] == [5, 5], (
        "four answers and the prompt, which costs nothing"
    )
    for tree in seen:
        rows = sum(len(tree.row(leaf)) for leaf in tree.leaves[:4])
        trunk = len(tree.nodes[0].token_ids)
        assert tree.tokens <= rows - 3 * trunk and trunk >= len(tree.row(tree.leaves[4]))
    monkeypatch.setattr(gpm, "BATCH_TOKENS", 10)  # a forward a tree: the same answers
    assert judge.judge(QUESTIONS) == pytest.approx(first, abs=1e-5)


def test_not_a_number_is_no_answer(folder):
    judge = open_judge(folder, "cpu", "float32")
    torch.nn.init.constant_(judge.model.head.score.weight, math.nan)
    question = QUESTIONS[0]
    assert judge.judge([question]) == [None]
    assert judge.reasons == {question.key: f"gpm:{folder} gave a score that is not finite for {question.key}"}


def test_refusals(folder):
    judge = open_judge(folder, "cpu", "float32")
    judge.name = "m"
    with pytest.raises(UserError, match=rf"gpm:m: prompt {PROMPTS[0].id}: 50\d\d tokens exceed the window of 4096"):
        judge.judge([Question("k", PROMPTS[0], ANSWERS[0], answer(5, "y" * 5000))])
    bare = tiny.byte_tokenizer()
    bare.chat_template = None
    with pytest.raises(UserError, match="gpm:m: its tokenizer has no chat template"):
        GeneralPreferenceJudge(judge.model, bare, "m")
