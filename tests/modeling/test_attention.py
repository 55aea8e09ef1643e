"""The tree attention alone: every kernel against scaled_dot_product_attention with the mask that a tree means, outputs and gradients."""

import pytest
import torch

from tests.modeling import tiny
from windvane.modeling import attention
from windvane.modeling.attention import attend
from windvane.modeling.kernels import Blocks, FlashCpu, FlashCuda, choose
from windvane.modeling.logprobs import Scorer, rows_logps
from windvane.modeling.packing import pack
from windvane.modeling.tree import Tree

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: the CUDA kernel is unproven here")


def trees():
    r = tiny.tokens(0)
    document, one, two = r(33), r(5), r(8)
    answers = [(document + q + r(n), 0) for q, n in ((one, 7), (one, 2), (two, 6), (two, 1))]
    return [Tree.of(r(40), [r(12), r(5), r(20)]), Tree.of_rows(answers)]


def meant(packing, window):
    """[S, S]: who sees whom, from the pieces of the plan (held to brute force in test_tree.py)."""
    seen = torch.zeros(packing.plan.size, packing.plan.size, dtype=torch.bool)
    for p in packing.plan.pieces(window):
        i, j = torch.arange(p.q1 - p.q0)[:, None], torch.arange(p.k1 - p.k0)[None]
        seen[p.q0 : p.q1, p.k0 : p.k1] |= {"causal": j <= i, "full": j >= 0, "window": j >= i - p.shift}[p.kind]
    return seen


def tensors(packing, heads, key_heads, device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, h, packing.plan.size, 16, generator=generator).mul(1.5).to(device, dtype).requires_grad_()
        for h in (heads, key_heads, key_heads)
    ]


def compare(packing, heads, key_heads, window, softcap, device="cpu", dtype=torch.float32):
    """(worst gap of output and gradients to float32, the same for scaled_dot_product_attention in `dtype`)."""
    mask = meant(packing, window).to(device)
    weights = torch.randn(1, packing.plan.size, heads, 16, generator=torch.Generator().manual_seed(2)).to(device)

    def dense(q, k, v):
        k, v = (x.repeat_interleave(heads // key_heads, 1) for x in (k, v))
        scores = q @ k.mT * 0.3
        scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
        return (scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v).transpose(1, 2)

    def run(function, dtype):
        given = tensors(packing, heads, key_heads, device, dtype)
        out = function(*given)
        return [out.detach().float(), *(g.float() for g in torch.autograd.grad((out * weights.to(dtype)).sum(), given))]

    exact = run(dense, torch.float32)
    mine = run(lambda q, k, v: attend(q, k, v, packing.plan, 0.3, window, softcap), dtype)
    plain = run(dense, dtype)
    return max(map(tiny.gap, mine, exact)), max(map(tiny.gap, plain, exact))


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("heads, key_heads", [(4, 4), (4, 1)])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_cpu(heads, key_heads, window, softcap, monkeypatch):
    monkeypatch.setattr("windvane.modeling.packing.BLOCK", 4)
    packing = pack(trees())
    kernel = choose(*tensors(packing, heads, key_heads)[::2], softcap)
    assert kernel == (FlashCpu() if softcap is None else Blocks(softcap))
    assert compare(packing, heads, key_heads, window, softcap)[0] < 2e-6
    if softcap is None:  # the blocked kernel is the second implementation of every piece
        monkeypatch.setattr(attention, "choose", lambda *_: Blocks(rows=5))
        assert compare(packing, heads, key_heads, window, softcap)[0] < 2e-6


@pytest.mark.parametrize("window", [None, 7])
def test_bfloat16_cpu(window):
    mine, plain = compare(pack(trees()), 4, 2, window, None, dtype=torch.bfloat16)
    assert mine < 1.5 * plain


@pytest.mark.gpu
@no_gpu
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("heads, key_heads", [(4, 4), (4, 1)])
def test_cuda(heads, key_heads, window):
    packing = pack(trees(), "cuda")
    assert choose(*tensors(packing, 4, 4, "cuda", torch.bfloat16)[::2], None) == FlashCuda()
    mine, plain = compare(packing, heads, key_heads, window, None, "cuda", torch.bfloat16)
    assert mine < 1.5 * plain
    assert compare(packing, heads, key_heads, window, None, "cuda")[0] < 1e-5


@pytest.mark.gpu
@no_gpu
def test_model_on_cuda():
    model = tiny.model("mistral", scale=3.0).cuda()
    values = rows_logps(model, trees())
    truth = tiny.flat(values).detach()
    with torch.autocast("cuda", torch.bfloat16):
        scorer = Scorer(model)
        mine, plain = (tiny.flat(v).detach() for v in (scorer.logps(trees()), rows_logps(model, trees())))
    assert scorer.mode == "trees", scorer.reason
    assert tiny.gap(mine, truth) < 1.5 * tiny.gap(plain, truth)
