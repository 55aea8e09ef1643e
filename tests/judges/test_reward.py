"""Rewards in padded batches against each chat alone through the model."""

import math

import pytest
import torch
import transformers as hf

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.judges import reward
from windvane.judges.reward import RewardJudge

SHAPE = {
    "vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "num_labels": 1,
    "max_position_embeddings": 300,
}  # fmt: skip


def classifier(kind="mistral", pad=None, **changes):
    torch.manual_seed(0)
    if kind == "mistral":
        config = hf.MistralConfig(**SHAPE | changes, num_key_value_heads=2, sliding_window=None, pad_token_id=pad)
        model = hf.MistralForSequenceClassification(config)
    else:
        config = hf.BertConfig(**SHAPE | changes, pad_token_id=0 if pad is None else pad)
        model = hf.BertForSequenceClassification(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.mul_(6.0)
    return model.eval()


def prompt(text):
    return Prompt.of((Message("system", "Be kind."), Message("user", text)))


def answer(index, text):
    return Response(f"r{index}", "p", index, text, (), "stop")


TEXTS = ["short", "a somewhat longer answer", "the longest of these four answers, by far, on purpose", "x"]
ANSWERS = [answer(i, t) for i, t in enumerate(TEXTS)]
P = prompt("Say something.")


def alone(model, tokenizer, prompt, text):
    chat = [{"role": m.role, "content": m.content} for m in prompt.messages] + [{"role": "assistant", "content": text}]
    ids = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        return model(input_ids=ids["input_ids"]).logits[0, 0].item()


@pytest.mark.parametrize(("kind", "pad"), [("mistral", None), ("mistral", 0), ("mistral", 2), ("bert", None)])
def test_batched_scores_are_each_chats_own(kind, pad):
    """pad 2 is </s>, which ends every chat: the plain forward reads the token before it, and so must a batch."""
    model, tokenizer = classifier(kind, pad), tiny.byte_tokenizer()
    judge = RewardJudge(model, tokenizer)
    found = judge.rewards([(P, a) for a in ANSWERS])
    wanted = [alone(model, tokenizer, P, t) for t in TEXTS]
    assert found == pytest.approx(wanted, abs=1e-5)
    assert max(wanted) - min(wanted) > 1e-3, "the answers differ in reward"
    assert model.config.pad_token_id == (pad if kind == "mistral" else 0), "left as it was"


def test_probability_is_the_sigmoid_of_the_difference():
    model, tokenizer = classifier(), tiny.byte_tokenizer()
    judge = RewardJudge(model, tokenizer)
    a, b = (alone(model, tokenizer, P, t) for t in TEXTS[:2])
    ab, ba = judge.judge([Question("k-ab", P, ANSWERS[0], ANSWERS[1]), Question("k-ba", P, ANSWERS[1], ANSWERS[0])])
    assert ab == pytest.approx(1 / (1 + math.exp(b - a)), abs=1e-6)
    assert ab + ba == pytest.approx(1.0, abs=1e-12)


def test_each_answer_is_scored_once(monkeypatch):
    judge = RewardJudge(classifier(), tiny.byte_tokenizer())
    seen = []
    plain = judge._forward
    monkeypatch.setattr(judge, "_forward", lambda rows: seen.extend(rows) or plain(rows))
    questions = [
        Question(f"{i}-{j}", p, ANSWERS[i], ANSWERS[j])
        for p in (P, prompt("Other."))
        for i in range(4)
        for j in range(4)
        if i != j
    ]
    assert len(judge.judge(questions)) == 24
    assert len(seen) == 8
    monkeypatch.setattr(reward, "BATCH_TOKENS", 150)  # several batches, same answers
    assert RewardJudge(judge.model, judge.tokenizer).judge(questions) == pytest.approx(judge.judge(questions), abs=1e-5)


def test_not_a_number_is_no_answer():
    model = classifier()
    torch.nn.init.constant_(model.score.weight, math.nan)
    judge = RewardJudge(model, tiny.byte_tokenizer(), "rm")
    assert judge.judge([Question("k", P, ANSWERS[0], ANSWERS[1])]) == [None]
    assert judge.reasons == {"k": "reward:rm gave nan and nan for k"}


def test_refusals():
    with pytest.raises(UserError, match=r"reward:rm: has 2 labels"):
        RewardJudge(classifier(num_labels=2), tiny.byte_tokenizer(), "rm")
    bare = tiny.byte_tokenizer()
    bare.chat_template = None
    with pytest.raises(UserError, match=r"reward:rm: its tokenizer has no chat template"):
        RewardJudge(classifier(), bare, "rm")
    judge, long = RewardJudge(classifier(), tiny.byte_tokenizer(), "rm"), answer(7, "y" * 300)
    with pytest.raises(UserError, match=f"prompt {P.id}, answer r7: 3\\d\\d tokens exceed its window of 300"):
        judge.judge([Question("k", P, ANSWERS[0], long)])
    odd = tiny.byte_tokenizer()
    odd.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(UserError, match=f"reward:rm: prompt {P.id}: .*no system role"):
        RewardJudge(classifier(), odd, "rm").judge([Question("k", P, ANSWERS[0], ANSWERS[1])])
