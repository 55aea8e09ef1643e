import math

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from tests import tiny
from windvane.models.generate.decode import SharedDecoder
from windvane.models.generate.sampling import choose, draw, nucleus, sample, uniforms

PROMPTS = [[5, 9, 13], [7, 30, 31, 32, 40, 41], [8, 8, 8, 8, 8, 8, 8, 8, 8]]


def test_inverse_cdf_by_hand():
    """p = (.1, 0, .6, .3): cdf (.1, .1, .7, 1); the first id whose cdf exceeds u."""
    probs = torch.tensor([0.1, 0.0, 0.6, 0.3]).repeat(6, 1)
    u = torch.tensor([0.0, 0.0999, 0.1001, 0.6999, 0.7001, 1 - 1e-12], dtype=torch.float64)
    assert draw(probs, u).tolist() == [0, 0, 2, 2, 3, 3]


def test_a_zero_is_never_drawn():
    probs = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]])
    for u in (0.0, 0.5, 1 - 1e-16):
        assert draw(probs, torch.tensor([u], dtype=torch.float64)).item() in (1, 3)


def test_evenly_spaced_uniforms_give_the_distribution():
    logits = torch.tensor([[1.0, -2.0, 0.5, 0.0, 3.0]]).repeat(10_000, 1)
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    for temperature in (1.0, 0.5, 2.0):
        tokens, logps = choose(logits, u, temperature, 1.0)
        weights = [math.exp(x / temperature) for x in logits[0].tolist()]
        wanted = torch.tensor([w / sum(weights) for w in weights])
        assert (torch.bincount(tokens, minlength=5) / 10_000 - wanted).abs().max() < 2e-4
        assert torch.allclose(logps, torch.log_softmax(logits, -1).gather(1, tokens[:, None])[:, 0], atol=1e-6)


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_nucleus_keeps_what_transformers_keeps(top_p):
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(0)) * 3
    kept = nucleus(torch.softmax(logits, -1), top_p) > 0
    theirs = TopPLogitsWarper(top_p)(None, logits.clone()) > -math.inf
    assert torch.equal(kept, theirs)


def test_nucleus_by_hand():
    """The smallest set that reaches .7 of (.5, .3, .2) is the first two; of .5, the first alone."""
    probs = torch.tensor([[0.2, 0.5, 0.3]])
    assert nucleus(probs, 0.7).tolist() == [[0, 0.5, pytest.approx(0.3)]]
    assert nucleus(probs, 0.5).tolist() == [[0, 0.5, 0]]


def test_streams():
    assert np.array_equal(uniforms(7, 100)[:10], uniforms(7, 10))
    assert not np.array_equal(uniforms(7, 10), uniforms(8, 10))


def run(model, prompts, seeds, **changes):
    settings = {"stop_ids": [2], "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 30} | changes
    with torch.no_grad():
        return sample(SharedDecoder(model), prompts, seeds, **settings)


def test_a_row_depends_on_its_own_seed_alone():
    model = tiny.model("llama")
    seeds = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    together = run(model, PROMPTS, seeds)
    for prompt, row, found in zip(PROMPTS, seeds, together):
        for seed, sampled in zip(row, found):
            ((alone,),) = run(model, [prompt], [[seed]])
            assert alone.token_ids == sampled.token_ids
            assert alone.logps == pytest.approx(sampled.logps, abs=1e-3)
    assert len({s.token_ids for found in together for s in found}) == 9


def own_logps(model, prompt, sampled):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *sampled.token_ids]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(sampled.token_ids)[:, None]).sum().item()


def test_log_probabilities_are_the_models_own():
    model = tiny.model("qwen3", scale=2.0)
    for temperature, top_p in ((1.0, 1.0), (0.6, 0.8), (0.0, 1.0)):
        for prompt, found in zip(PROMPTS, run(model, PROMPTS, [[1, 2]] * 3, temperature=temperature, top_p=top_p)):
            for s in found:
                wanted = own_logps(model, prompt, s)
                assert s.logps == pytest.approx(wanted, abs=2e-4, rel=1e-5)


def test_greedy_is_transformers_greedy():
    model = tiny.model("mistral", scale=2.0)
    for prompt, found in zip(PROMPTS, run(model, PROMPTS, [[1]] * 3, temperature=0.0)):
        theirs = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=30, eos_token_id=2)
        assert theirs[0, len(prompt) :].tolist() == list(found[0].token_ids)


def test_stop_tokens_end_a_row_and_stay():
    model = tiny.model("mistral", scale=1.0)  # flat: any of the 260 ids about as often
    stops = list(range(200, 260))
    rows = run(model, PROMPTS, [range(40)] * 3, stop_ids=stops, max_new_tokens=6)
    for prompt, row in zip(PROMPTS, rows):  # what goes on after others have ended is still its own
        for s in row[:8]:
            assert s.logps == pytest.approx(own_logps(model, prompt, s), abs=2e-4)
    found = [s for row in rows for s in row]
    assert {s.stopped for s in found} == {True, False}
    for s in found:
        assert not set(s.token_ids[:-1]) & set(stops)
        assert s.stopped == (s.token_ids[-1] in stops)
        assert len(s.token_ids) == 6 if not s.stopped else 1 <= len(s.token_ids) <= 6
    share = sum(s.token_ids[0] in stops for s in found) / len(found)
    assert 0.1 < share < 0.4, "60 of 260 ids: about 0.23 of first tokens"
