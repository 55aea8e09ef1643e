"""The tree attention alone: every kernel against scaled_dot_product_attention with the mask that a tree means, outputs and gradients."""

import pytest
import torch

from tests.models import tiny
from windvane.core.errors import UserError
from windvane.models.trees import attention
from windvane.models.trees.attention import attend
from windvane.models.trees.backends import VARIABLE, backend, candidates, measure
from windvane.models.trees.flex import Flex
from windvane.models.trees.kernels import Blocks, FlashCpu
from windvane.models.trees.logprobs import Scorer, rows_logps
from windvane.models.trees.merged_attention import Pieces
from windvane.models.trees.packing import pack
from windvane.models.trees.tree import Tree

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
    monkeypatch.setattr("windvane.models.trees.packing.BLOCK", 4)
    packing = pack(trees())
    q, _, v = tensors(packing, heads, key_heads)
    assert backend(q, v[0], softcap) == Pieces(FlashCpu() if softcap is None else Blocks(softcap))
    assert compare(packing, heads, key_heads, window, softcap)[0] < 2e-6
    if softcap is None:  # the blocked kernel is the second implementation of every piece
        monkeypatch.setattr(attention, "backend", lambda *_: Pieces(Blocks(rows=5)))
        assert compare(packing, heads, key_heads, window, softcap)[0] < 2e-6


@pytest.mark.parametrize("window", [None, 7])
def test_bfloat16_cpu(window):
    mine, plain = compare(pack(trees()), 4, 2, window, None, dtype=torch.bfloat16)
    assert mine < 1.5 * plain


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_forward(window, softcap, kept):
    """FlexAttention's mask of the whole row is the tree's, also for some of the queries; its backward needs a GPU."""
    packing = pack(trees())
    plan = packing.plan.kept([(3, 20), (60, 71), (90, 110)]) if kept else packing.plan
    q, k, v = (x.detach() for x in tensors(packing, 4, 2))
    whole = attend(q, k, v, packing.plan, 0.3, window, softcap)
    grouped = q[0, :, plan.asked()].unflatten(0, (2, 2))
    out = Flex(softcap)(grouped, k[0], v[0], plan, 0.3, window).flatten(0, 1).transpose(0, 1)
    assert tiny.gap(out, whole[0, plan.asked()]) < 2e-6
    assert len(plan.masks) == 1  # made once


def test_candidates_and_the_users_word(monkeypatch):
    q, v = torch.zeros(2, 2, 5, 16), torch.zeros(2, 5, 16)
    assert list(candidates(q, v, None)) == ["flash", "blocks"]
    assert list(candidates(q, v, 30.0)) == ["blocks"]
    monkeypatch.setenv(VARIABLE, "blocks")
    assert backend(q, v, None) == Pieces(Blocks())
    monkeypatch.setenv(VARIABLE, "flex")
    with pytest.raises(UserError, match=r"=flex: on cpu in .* there are: flash, blocks"):
        backend(q, v, None)


def test_a_backend_that_fails_or_errs_is_named_and_left_out():
    q, v = torch.zeros(1, 2, 5, 16), torch.zeros(1, 5, 16)
    right = Pieces(FlashCpu())

    def fails(*_):
        raise RuntimeError("no such kernel")

    def errs(*given):
        return right(*given) * 1.01

    found = {"fails": fails, "errs": errs, "flash": right, "blocks": Pieces(Blocks())}
    with pytest.warns(UserWarning) as told:
        seconds = measure(found, q, v)
    assert list(seconds) == ["flash", "blocks"] and min(seconds.values()) > 0
    assert "fails does not work here (RuntimeError: no such kernel)" in str(told[0].message)
    assert "errs is off by 2.0e-02" in str(told[1].message)


@pytest.mark.gpu
@no_gpu
@pytest.mark.parametrize("name", ["flash", "flex"])
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("heads, key_heads", [(4, 4), (4, 1)])
def test_cuda(name, heads, key_heads, window, monkeypatch):
    monkeypatch.setenv(VARIABLE, name)
    packing = pack(trees(), "cuda")
    mine, plain = compare(packing, heads, key_heads, window, None, "cuda", torch.bfloat16)
    assert mine < 1.5 * plain
    monkeypatch.setenv(VARIABLE, "blocks")
    assert compare(packing, heads, key_heads, window, None, "cuda")[0] < 1e-5


@pytest.mark.gpu
@no_gpu
def test_every_cuda_backend_is_measured():
    q = torch.zeros(2, 4, 5, 64, dtype=torch.bfloat16, device="cuda")
    found = candidates(q, q[:, 0], None)
    assert list(found) == ["flash", "flex", "blocks"] == list(measure(found, q, q[:, 0]))


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
