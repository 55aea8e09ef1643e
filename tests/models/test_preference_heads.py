"""The heads' arithmetic by hand, and what holds to the last bit."""

import math

import pytest
import torch

from windvane.core.errors import UserError
from windvane.models.preference_heads import HeadShape, PreferenceHead, preference_losses, skew_score


def test_skew_score_by_hand():
    """k = 2: block 1 of (1, 2) and (3, 4): 1*4 - 2*3 = -2; block 2 of (5, 6) and (7, -8): 5*-8 - 6*7 = -82."""
    a, b = torch.tensor([1.0, 2.0, 5.0, 6.0]), torch.tensor([3.0, 4.0, 7.0, -8.0])
    assert skew_score(a, b).item() == -84.0
    assert skew_score(a, b, torch.tensor([0.5, 1.5])).item() == -1.0 - 123.0


def test_it_is_the_paper_s_operator():
    """<R a, b> with R = blockdiag(lambda_l [[0, -1], [1, 0]])."""
    a, b = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    scales = torch.rand(3, dtype=torch.float64)
    operator = torch.block_diag(*(s * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64) for s in scales))
    assert skew_score(a, b, scales).item() == pytest.approx((operator @ a @ b).item(), abs=1e-12)


@pytest.mark.parametrize("kind", ["bt", "gpm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_exactly_skew_symmetric(kind, dtype):
    head = PreferenceHead(HeadShape.of(kind, 16), 32, seed=1)
    states = torch.randn(500, 2, 32).to(dtype)
    a, b = head.embed(states[:, 0]), head.embed(states[:, 1])
    scales = head.scales(states[:, 0])
    forth, back = head.compare(a, b, scales), head.compare(b, a, scales)
    assert torch.equal(forth, -back) and forth.abs().max() > 0
    assert torch.equal(head.compare(a, a, scales), torch.zeros(500))


def test_embeddings_are_unit_vectors_and_scales_average_one():
    head = PreferenceHead(HeadShape.of("gpm", 8), 32, seed=0)
    states = 100 * torch.randn(50, 32)
    assert torch.allclose(head.embed(states).norm(dim=-1), torch.ones(50))
    scales = head.scales(states)
    assert scales.shape == (50, 4) and torch.allclose(scales.mean(-1), torch.ones(50)) and scales.min() > 0
    assert scales.std(0).min() > 1e-3, "they depend on the prompt"
    logits = states @ head.gate.weight.T / math.sqrt(32)
    assert torch.allclose(scales, 4 * logits.softmax(-1))
    assert head.score.weight.std().item() == pytest.approx(1 / 33, rel=0.15)


def test_a_cycle_that_three_vectors_hold():
    """Three unit vectors 120 degrees apart beat one another in a circle, each by sin 120."""
    angles = torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3
    v = torch.stack([angles.cos(), angles.sin()], -1)
    scores = [skew_score(v[i], v[(i + 1) % 3]).item() for i in range(3)]
    assert scores == pytest.approx([math.sin(2 * math.pi / 3)] * 3, abs=1e-6)


def test_losses_by_hand():
    """z = (0.3 - 0.1)/0.1 = 2: -log sigmoid(2) = log(1 + e^-2) = 0.126928; with p = 0.75: 0.75*0.126928 + 0.25*2.126928 = 0.626928."""
    scores, margin = torch.tensor([0.3, 0.2]), torch.tensor([0.1, 0.0])
    losses = preference_losses(scores, torch.tensor([1.0, 0.75]), margin, temperature=0.1)
    assert losses.tolist() == pytest.approx([0.126928, 0.626928], abs=1e-6)


def test_shapes():
    assert HeadShape.of("bt") == HeadShape("bt", 1, False, 1.0)
    assert HeadShape.of("gpm", 2).gate is False, "one block has nothing to share out"
    assert HeadShape.of("gpm", 4, temperature=0.5) == HeadShape("gpm", 4, True, 0.5)
    with pytest.raises(UserError, match=r"head.dim: 5; .* even number"):
        HeadShape.of("gpm", 5)
    for bad in (-1, 0):
        with pytest.raises(UserError, match=rf"head.temperature: {bad}"):
            HeadShape.of("gpm", temperature=bad)
        with pytest.raises(UserError, match=rf"temperature: {bad}; a reward model's P\(a beats b\) is sigmoid"):
            HeadShape.of("bt", temperature=bad)
    before = torch.random.get_rng_state()
    one, two, other = (PreferenceHead(HeadShape.of("bt"), 8, seed).score.weight for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)
