import math

import pytest
import torch
import transformers as hf

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.engines.local import LocalGenerator, Sampling, rope_switch, stop_ids, window
from windvane.models.lora import add_lora
from windvane.prompts.chat import render

TOKENIZER = tiny.byte_tokenizer()


def prompt(text):
    made = Prompt.of((Message("user", text),))
    return Prompt(made.id, made.messages, render(TOKENIZER, made.messages))


PROMPTS = [
    prompt(t) for t in ("Hello.", "A much longer question, which goes on and on. " * 6, "Why?", "Name three birds.")
]


def generator(model=None, **changes):
    settings = {"k": 3, "max_new_tokens": 20} | changes
    return LocalGenerator(model or tiny.model("mistral"), TOKENIZER, Sampling(**settings))


def plain_logps(model, prompt, response):
    ids = torch.tensor([[*prompt.token_ids, *response.token_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt.token_ids) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(response.token_ids)[:, None]).sum().item()


@pytest.mark.parametrize("family", sorted(tiny.FAMILIES))
def test_answers_are_the_models_own_samples(family):
    model = tiny.model(family, scale=2.0)
    for p, answers in zip(PROMPTS, generator(model).generate(PROMPTS, range(3), seed=1), strict=True):
        assert [a.index for a in answers] == [0, 1, 2] and {a.prompt_id for a in answers} == {p.id}
        assert len({a.token_ids for a in answers}) == 3
        for a in answers:
            assert a.logps == pytest.approx(plain_logps(model, p, a), abs=2e-4)
            assert a.finish == ("stop" if a.token_ids[-1] == 2 else "length")
    ids = [a.id for answers in generator(model).generate(PROMPTS, range(3), seed=1) for a in answers]
    assert len(set(ids)) == 12


def test_an_answer_depends_on_seed_prompt_and_index_alone():
    made = generator()
    whole = made.generate(PROMPTS, range(4), seed=5)
    part = made.generate([PROMPTS[2], PROMPTS[0]], [3, 1], seed=5)
    assert [a.token_ids for a in part[0]] == [whole[2][3].token_ids, whole[2][1].token_ids]
    assert [a.token_ids for a in part[1]] == [whole[0][3].token_ids, whole[0][1].token_ids]
    other = made.generate([PROMPTS[2]], [3], seed=6)
    assert other[0][0].token_ids != whole[2][3].token_ids


def test_same_batch_same_bytes():
    first, second = (generator().generate(PROMPTS, range(3), seed=5) for _ in range(2))
    assert first == second


def test_stop_token_is_kept_in_ids_and_left_out_of_the_text():
    model = tiny.model("mistral", scale=1.0)
    with torch.no_grad():
        model.lm_head.weight[2] = model.lm_head.weight.mean(0) + 0.5  # </s> becomes likely now and then
    answers = [a for row in generator(model, max_new_tokens=60).generate(PROMPTS, range(6), seed=0) for a in row]
    stopped = [a for a in answers if a.finish == "stop"]
    assert stopped
    for a in answers:
        assert (2 in a.token_ids) == (a.finish == "stop") and a.token_ids.count(2) <= 1
        assert not any(special in a.text for special in ("</s>", "<s>", "<pad>"))
        said = a.token_ids[:-1] if a.finish == "stop" else a.token_ids
        assert a.text == TOKENIZER.decode(said, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("generation", "config", "expected"), [(7, 5, {2, 7}), ([7, 9], 5, {2, 7, 9}), (None, 5, {2, 5}), (None, None, {2})]
)
def test_stop_ids(generation, config, expected):
    model = tiny.model("llama")
    model.generation_config.eos_token_id, model.config.eos_token_id = generation, config
    assert stop_ids(model, TOKENIZER) == sorted(expected)


def test_every_stop_id_stops():
    model = tiny.model("llama", scale=1.0)
    model.generation_config.eos_token_id = list(range(100, 180))
    answers = [a for row in generator(model).generate(PROMPTS, range(5), seed=0) for a in row]
    assert all((a.finish == "stop" and 100 <= a.token_ids[-1] < 180) or a.token_ids[-1] == 2 for a in answers)
    assert all(a.text == TOKENIZER.decode(a.token_ids[:-1], skip_special_tokens=True) for a in answers)


def test_a_prompt_too_long_is_refused_by_id():
    model = tiny.model("llama", window=120)
    assert window(model) == 120
    long = PROMPTS[1]
    with pytest.raises(UserError, match=f"prompt {long.id}: {len(long.token_ids)} tokens .* window of 120"):
        generator(model).generate(PROMPTS, range(2), seed=0)
    fits = Prompt("x", (), tuple([5] * 100))
    assert generator(model).generate([fits], [0], seed=0)[0][0].token_ids
    with pytest.raises(UserError, match=r"101 tokens"):
        generator(model).generate([Prompt("x", (), tuple([5] * 101))], [0], seed=0)


def test_training_mode_is_given_back_and_dropout_is_off():
    model = add_lora(tiny.model("llama"), rank=2, alpha=4, dropout=0.5).train()
    made = generator(model)
    first = made.generate(PROMPTS, range(2), seed=0)
    assert model.training
    assert made.generate(PROMPTS, range(2), seed=0) == first
    assert any(p.requires_grad for p in model.parameters())


def test_many_prompts_in_several_groups(monkeypatch):
    from windvane.engines import local

    model = tiny.model("llama")
    whole = generator(model).generate(PROMPTS, range(2), seed=3)
    monkeypatch.setattr(local, "TRUNK_TOKENS", 10)  # every prompt on its own
    assert [[a.token_ids for a in row] for row in generator(model).generate(PROMPTS, range(2), seed=3)] == [
        [a.token_ids for a in row] for row in whole
    ]


def test_nothing_to_do():
    assert generator().generate([], range(3), seed=0) == []
    assert generator().generate(PROMPTS, [], seed=0) == [[], [], [], []]


def test_greedy_answers_are_all_equal():
    rows = generator(temperature=0.0).generate(PROMPTS, range(3), seed=0)
    assert all(len({a.token_ids for a in row}) == 1 for row in rows)
    assert all(math.isfinite(a.logps) for row in rows for a in row)


@pytest.mark.parametrize(
    "bad", [{"k": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}]
)
def test_bad_sampling(bad):
    with pytest.raises(UserError, match=f"sampling: .*{next(iter(bad))}"):
        Sampling(**bad)


def test_position_embeddings_that_switch_at_a_length():
    """LongRoPE: an answer that grows across the switch is sampled from the model that the plain forward is there."""
    torch.manual_seed(0)
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "rope_theta": 10_000.0}
    config = hf.Phi3Config(
        vocab_size=260, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=120, original_max_position_embeddings=40, rope_parameters=rope, pad_token_id=0, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    model = hf.Phi3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(3.0)
    assert rope_switch(model) == 40 and rope_switch(tiny.model()) is None
    prompts = [Prompt(str(n), (), tuple(range(10, 10 + n))) for n in (5, 20, 35, 39, 41, 60)]
    made = generator(model, max_new_tokens=12)
    for p, answers in zip(prompts, made.generate(prompts, range(2), seed=0)):
        for a in answers:
            ids, wanted = [*p.token_ids, *a.token_ids], 0.0
            for i in range(len(p.token_ids), len(ids)):  # each token from the rows that had been seen by then
                with torch.no_grad():
                    logits = model(input_ids=torch.tensor([ids[:i]])).logits[0, -1]
                wanted += torch.log_softmax(logits, -1)[ids[i]].item()
            assert a.logps == pytest.approx(wanted, abs=2e-4), p.id
    unruled = generator(model, max_new_tokens=12)
    unruled.switch = None  # control: without the rule the crossing ones are wrong
    crossing = [p for p in prompts if p.id in ("35", "39")]
    told = [a.logps for row in unruled.generate(crossing, range(2), seed=0) for a in row]
    right = [a.logps for row in made.generate(crossing, range(2), seed=0) for a in row]
    assert max(abs(t - r) for t, r in zip(told, right)) > 1e-2
