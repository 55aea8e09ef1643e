"""Trees against a row per leaf through the plain Hugging Face forward: log-probs and every gradient."""

import contextlib
import itertools
import warnings
from types import SimpleNamespace

import peft
import pytest
import torch
import transformers as hf
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.models import tiny
from windvane.models.trees import architectures, packing
from windvane.models.trees import lm_head as head
from windvane.models.trees.logprobs import Scorer, rows_logps
from windvane.models.trees.tree import Node, Tree


def batch(seed=1):
    """A flat tree of unequal branches, a nested one (document -> questions -> answers), one with a read trunk, a tiny one, and rows read
    whole that share their first token alone."""
    r = tiny.tokens(seed)
    document, q1, q2 = r(40), r(7), r(11)
    answers = [(document + q + r(n), 40 + len(q)) for q, n in ((q1, 9), (q1, 4), (q2, 6), (q2, 1))]
    whole = Tree((Node(tuple(r(20)), None, True), Node(tuple(r(5)), 0, True), Node(tuple(r(3)), 0, False)))
    return [
        Tree.of(r(30), [r(12), r(5), r(20)]),
        Tree.of_rows(answers),
        whole,
        Tree.of(r(1), [r(3)]),
        Tree.of_rows([([1, *r(n)], 0) for n in (4, 6)]),
    ]


def both(model, trees, **kwargs):
    scorer = Scorer(model)
    mine = scorer.logps(trees, **kwargs)
    mine = tiny.flat(mine).detach(), tiny.gradients(model, mine)
    assert scorer.mode == "trees", scorer.reason
    theirs = rows_logps(model, trees)
    return mine, (tiny.flat(theirs).detach(), tiny.gradients(model, theirs))


@pytest.mark.parametrize("name", [*tiny.MODELS, *tiny.MORE])
def test_equal_to_rows(name):
    (mine, grads), (theirs, oracle) = both(tiny.model(name), batch())
    assert tiny.gap(mine, theirs) < 1e-6
    assert tiny.worst(grads, oracle) < 1e-5


@pytest.mark.parametrize("trunk, branches", [(1, [5]), (1, [1, 1]), (257, [64, 37, 5]), (1000, [64, 1, 200, 3, 90])])
@pytest.mark.parametrize("name", ["mistral", "mistral-wide-window"])
def test_lengths(name, trunk, branches):
    r = tiny.tokens(trunk)
    (mine, grads), (theirs, oracle) = both(tiny.model(name), [Tree.of(r(trunk), [r(n) for n in branches])])
    assert tiny.gap(mine, theirs) < 1e-6
    assert tiny.worst(grads, oracle) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mistral", "mistral-wide-window", "llama-mha", "gemma2"])
def test_a_trunk_of_4096(name):
    r = tiny.tokens(3)
    (mine, grads), (theirs, oracle) = both(tiny.model(name), [Tree.of(r(4096), [r(64), r(300), r(1)])])
    assert tiny.gap(mine, theirs) < 1e-6
    assert tiny.worst(grads, oracle) < 1e-5


@pytest.mark.parametrize("reentrant", [False, True])
def test_lora_with_gradient_checkpointing(reentrant):
    base = tiny.model("mistral")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj", "lm_head"], lora_dropout=0.0)
    model = peft.get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.enable_input_require_grads()
    (mine, grads), (theirs, oracle) = both(model.train(), batch())
    assert len(grads) == 20
    assert tiny.gap(mine, theirs) < 1e-6
    assert tiny.worst(grads, oracle) < 1e-5
    with model.disable_adapter():
        plain = tiny.flat(Scorer(model).logps(batch()))
    assert tiny.gap(plain, mine) > 1e-3
    assert tiny.gap(plain, tiny.flat(rows_logps(tiny.model("mistral"), batch()))) < 1e-6


def test_two_models_in_flight_and_plain_use_between():
    """Checkpointed layers are recomputed after another model, other trees and a plain forward have been through."""
    one, two = tiny.model("mistral"), tiny.model("qwen2")
    trees, others = batch(1), batch(2)
    oracle = tiny.gradients(one, rows_logps(one, trees)), tiny.gradients(two, rows_logps(two, others))
    for model in (one, two):
        model.gradient_checkpointing_enable()
    a = Scorer(one).logps(trees)
    b = Scorer(two).logps(others)
    plain = one(
        input_ids=torch.tensor([[5, 6, 7], [8, 9, 10]]), attention_mask=torch.tensor([[0, 1, 1], [1, 1, 1]])
    ).logits
    assert tiny.worst(tiny.gradients(two, b), oracle[1]) < 1e-5
    assert tiny.worst(tiny.gradients(one, a), oracle[0]) < 1e-5
    fresh = tiny.model("mistral")
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    assert torch.equal(plain, fresh(input_ids=ids, attention_mask=torch.tensor([[0, 1, 1], [1, 1, 1]])).logits)
    one.eval()
    assert one.generate(ids[1:], max_new_tokens=4, do_sample=False).tolist() == (
        fresh.eval().generate(ids[1:], max_new_tokens=4, do_sample=False).tolist()
    )


@pytest.mark.parametrize("autocast", [True, False])
def test_bfloat16_is_no_further_from_float32_than_rows_are(autocast):
    trees = batch()
    exact = tiny.model("mistral", scale=3.0)
    values = rows_logps(exact, trees)
    truth = tiny.flat(values).detach(), tiny.gradients(exact, values)
    model = tiny.model("mistral", scale=3.0)
    if not autocast:
        model = model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
        (mine, grads), (theirs, oracle) = both(model, trees)
    assert tiny.gap(mine, truth[0]) < 1.5 * tiny.gap(theirs, truth[0])
    for name in grads:
        assert tiny.gap(grads[name].float(), truth[1][name]) < 1.5 * tiny.gap(oracle[name].float(), truth[1][name])


def broken(kind):
    """`_place` with one mistake."""
    place = packing._place

    def placed(tree, base, chains, forks, ids, positions):
        first = len(forks)
        found = place(tree, base, chains, forks, ids, positions)
        if kind == "no trunk":  # later branches do not see the trunk
            del forks[first:]
        if kind == "leak":  # they see the first branch as well
            forks[first:] = [(q0, q1, k0, q0) for q0, q1, k0, k1 in forks[first:]]
        if kind == "position":  # the last branch continues after the first one
            positions[-1] += 20
        return found

    return placed


@pytest.mark.parametrize("kind", ["no trunk", "leak", "position"])
def test_controls(kind, monkeypatch):
    """The comparison sees each mistake by orders of magnitude, and so does the self-check."""
    r = tiny.tokens(5)
    trees = [Tree.of(r(60), [r(20), r(15)])]
    model = tiny.model("mistral")
    oracle = rows_logps(model, trees)
    values, grads = tiny.flat(oracle).detach(), tiny.gradients(model, oracle)
    scorer = Scorer(model)
    scorer._checked = True
    monkeypatch.setattr(packing, "_place", broken(kind))
    wrong = scorer.logps(trees)
    assert tiny.gap(tiny.flat(wrong).detach(), values) > 1e-3
    assert tiny.worst(tiny.gradients(model, wrong), grads) > 1e-2
    for scale in (6.0, 1.0):  # at Hugging Face's initialisation too
        with pytest.warns(UserWarning, match="computing rows instead of trees: trees and rows differ"):
            careful = Scorer(tiny.model("mistral", scale=scale))
            mine = careful.logps(trees)
        assert careful.mode == "rows"
    assert tiny.gap(tiny.flat(mine), tiny.flat(rows_logps(careful.model, trees))) == 0.0


def adapters_around_attention():
    """LLaMA-Adapter: the last layers' attention is another module with prompts of its own, which trees would have to know."""
    config = peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2, task_type="CAUSAL_LM")
    model = peft.get_peft_model(tiny.model("llama-mha"), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adaption" in name:
                parameter.add_(0.5)
    return model


def test_what_the_list_does_not_know_is_found_by_the_self_check():
    model, trees = adapters_around_attention().eval(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = Scorer(model)
        mine = scorer.logps(trees)
    theirs = tiny.flat(rows_logps(model, trees))
    assert tiny.gap(theirs, tiny.flat(rows_logps(tiny.model("llama-mha").eval(), trees))) > 1e-2, "the adapters matter"
    assert tiny.gap(tiny.flat(mine), theirs) < (1e-6 if scorer.mode == "trees" else 1e-12)


DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 2048,
        "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}  # fmt: skip
LINEAR = tiny.SHAPE | {"num_experts": 2, "num_experts_per_tok": 1, "layer_types": ["linear_attention"] * 2 + ["full_attention"],
          "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}  # fmt: skip
PROMPT_TUNING = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: hf.CohereForCausalLM(hf.CohereConfig(**tiny.SHAPE | tiny.TOKENS)), "CohereDecoderLayer"),
        (lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**tiny.SHAPE, num_local_experts=2)), "MixtralDecoderLayer"),
        (lambda: tiny.model("llama-mha", rope_parameters=DYNAMIC), "RoPE of type dynamic"),
        (lambda: tiny.model("llama-mha", rope_parameters=LONG), "RoPE of type longrope"),
        (lambda: hf.Qwen3NextForCausalLM(hf.Qwen3NextConfig(**LINEAR)), "Qwen3NextDecoderLayer"),
        (lambda: tiny.model("mistral", attention_dropout=0.1), "attention_dropout is 0.1"),
        (lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=97)), "not a plain decoder"),
        (lambda: peft.get_peft_model(tiny.model("mistral"), PROMPT_TUNING), "virtual"),
    ],
)  # fmt: skip
def test_others_fall_back_to_rows_with_a_line(make, reason):
    with pytest.warns(UserWarning, match=f"computing rows instead of trees: .*{reason}"):
        scorer = Scorer(make())
    assert scorer.mode == "rows" and reason in scorer.reason
    if "virtual" not in reason:
        trees = batch()
        scorer.model.eval()
        assert tiny.gap(tiny.flat(scorer.logps(trees)), tiny.flat(rows_logps(scorer.model, trees))) == 0.0


def test_a_head_that_scales_its_logits_is_found_by_the_self_check(monkeypatch):
    """Cohere's layers are tree layers in all but their model's scaling after the head: listed by mistake, they would be caught."""
    monkeypatch.setattr(architectures, "LAYERS", ("CohereDecoderLayer",))
    model, trees = hf.CohereForCausalLM(hf.CohereConfig(**tiny.SHAPE | tiny.TOKENS)).eval(), batch()
    with pytest.warns(UserWarning, match="trees and rows differ by"):
        mine = Scorer(model).logps(trees)
    assert tiny.gap(tiny.flat(mine), tiny.flat(rows_logps(model, trees))) == 0.0


def test_listed_models_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Scorer(tiny.model("mistral")).logps(batch())[0][0] is None


def test_rows_oracle_by_hand():
    """log p of each token from the model's logits on the bare row."""
    model = tiny.model("mistral").eval()
    row = tiny.tokens(9)(12)
    logp = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
    want = torch.stack([logp[i - 1, row[i]] for i in range(1, 12)])
    ((first, second, third),) = rows_logps(model, [Tree.of_rows([(row, 0), ([*row[:7], 1], 0)])])
    assert first[0] == 0.0  # nothing comes before the row's first token
    assert torch.allclose(torch.cat([first[1:], second]), want, atol=1e-5)
    assert len(third) == 1


def test_kl():
    model, other = tiny.model("mistral").eval(), tiny.model("qwen2").eval()
    row, trees = tiny.tokens(9)(12), batch()
    tree = Tree.of(row[:8], [row[8:]])
    p, q = (m(input_ids=torch.tensor([row])).logits[0, 7:-1].log_softmax(-1) for m in (model, other))
    ((_, found),) = Scorer(model).token_kl(Scorer(other), [tree])
    assert torch.allclose(found, (p.exp() * (p - q)).sum(-1), rtol=1e-4)
    assert not found.requires_grad
    by_rows = Scorer(other)
    by_rows.reason = "so that one side is computed by rows"
    mixed, whole = (tiny.flat(Scorer(model).token_kl(s, trees)) for s in (by_rows, Scorer(other)))
    assert tiny.gap(mixed, whole) < 1e-5
    assert all(k.abs().max() < 1e-6 for t in Scorer(model).token_kl(Scorer(model), trees) for k in t if k is not None)


def test_packing_order_does_not_matter():
    model = tiny.model("mistral")
    trees = batch()
    alone = [tiny.flat(Scorer(model).logps([t])) for t in trees]
    for order in itertools.islice(itertools.permutations(range(len(trees))), 0, 24, 7):
        together = Scorer(model).logps([trees[i] for i in order])
        for i, values in zip(order, together):
            assert tiny.gap(tiny.flat([values]), alone[i]) < 1e-6


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("keep", [0, 1 << 20])
def test_head_in_chunks(size, keep, monkeypatch):
    """The fused head (bare linear) and the checkpointed one (soft-capped) against one cross-entropy over all logits."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(20, 8, generator=generator, requires_grad=True)
    rows, targets = torch.randint(0, 20, (33,), generator=generator), torch.randint(0, 50, (33,), generator=generator)
    monkeypatch.setattr(head, "chunk_rows", lambda vocabulary, device: size)
    monkeypatch.setattr(head, "KEEP", keep)
    for cap in (None, 2.0):
        linear = torch.nn.Linear(8, 50, bias=False)
        config = SimpleNamespace(vocab_size=50, final_logit_softcapping=cap)
        logits = linear(hidden[rows])
        logits = logits if cap is None else torch.tanh(logits / cap) * cap
        want = logits.log_softmax(-1)[range(33), targets]
        mine = head.token_logps(linear, hidden, rows, targets, config)
        weights = torch.randn(33, generator=generator)
        assert torch.allclose(mine, want, atol=1e-6)
        for value in (mine, mine):  # twice: what was kept for the backward is not consumed
            found = torch.autograd.grad((value * weights).sum(), (hidden, linear.weight), retain_graph=True)
            oracle = torch.autograd.grad((want * weights).sum(), (hidden, linear.weight), retain_graph=True)
            assert max(tiny.gap(a, b) for a, b in zip(found, oracle)) < 1e-6


class Sizes(TorchDispatchMode):
    """The sizes of all memory that any operation takes for a tensor, whatever view of it comes out."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor):
                self.largest = max(self.largest, t.untyped_storage().nbytes() // t.element_size())
        return out


@pytest.mark.parametrize("name", ["mistral", "mistral-wide-window", "llama-tied"])
def test_the_largest_tensor(name, monkeypatch):
    """Neither [tokens, vocabulary] nor [tokens, tokens]: the largest is a weight, a chunk of logits or [tokens, widest layer]."""
    monkeypatch.setattr(head, "CHUNK", {"cpu": 16 * 4000})
    monkeypatch.setattr(head, "FEWEST", 16)
    r = tiny.tokens(0)
    model = tiny.model(name, vocab_size=4000)
    trees = [Tree.of_rows([(trunk + r(100), 0) for trunk in [r(900)] * 3])]
    scorer = Scorer(model)
    with Sizes() as sizes:
        scorer.check(trees)
    assert sizes.largest <= 1000 * 1000, "its plain rows may make a window's mask, and never all their logits"
    with Sizes() as sizes:
        tiny.gradients(model, scorer.logps(trees))
    assert scorer.mode == "trees", scorer.reason
    tokens, widest = 1200, 96
    blocks = 512 * 512  # the triangle mask of a window of 600
    assert sizes.largest <= max(4000 * 64, 16 * 4000, tokens * widest, blocks)
    with Sizes() as sizes:
        rows_logps(model, trees)
    assert sizes.largest >= 999 * 4000


@pytest.mark.parametrize("name", tiny.MODELS)
def test_trunk_work_of_the_last_layer_is_left_out(name):
    """Queries and MLP of the last layer for the 11 tokens that predict a read one; keys and values for all 72."""
    r, model, seen = tiny.tokens(0), tiny.model(name), {}
    for name, module in model.model.layers[-1].named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda m, a, out, name=name: seen.__setitem__(name, out.shape[1]))
    scorer = Scorer(model)
    scorer.logps([Tree.of(r(60), [r(5), r(7)])])
    small = {n for n, tokens in seen.items() if tokens == 1 + 4 + 6}
    assert small == {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
    assert {seen[n] for n in seen.keys() - small} == {72}
    assert type(model.model.layers[-1]).__name__ == type(model.model.layers[0]).__name__, "put back"


@pytest.mark.parametrize("name, lean", [("mistral", True), ("gemma", False)])
def test_mlps_keep_two_wide_tensors(name, lean):
    """Of [tokens, intermediate] a SwiGLU layer keeps gate and up, 2 of the plain forward's 4; others' are left alone."""
    r, model = tiny.tokens(0), tiny.model(name, num_hidden_layers=1)
    tree = Tree.of_rows([(r(50), 0)])
    scorer = Scorer(model)
    scorer.check([tree])
    wide = []
    for compute in (scorer.logps, lambda trees: rows_logps(model, trees)):
        kept = {}

        def keep(tensor, kept=kept):
            kept[tensor.data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            alive = compute([tree])
        wide.append(sum(t.numel() == 50 * 96 for t in kept.values()))
        del alive
    assert wide[1] >= 4 and wide[0] == (2 if lean else wide[1]), wide
    assert type(model.model.layers[0].mlp).__name__ == f"{name.capitalize()}MLP"
