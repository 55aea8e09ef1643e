"""Decoding from a shared prefill against the plain forward of each row, on every family, with controls that must fail."""

import logging

import pytest
import torch
import transformers as hf

from tests import tiny
from windvane.core.errors import UserError
from windvane.models.generate import decode
from windvane.models.generate.decode import CopyDecoder, PlainDecoder, SharedDecoder, choose_decoder, micro_batches
from windvane.models.generate.decode_attention import Trunks
from windvane.models.lora import add_lora

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
    "vocab_size": 97, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "mistral": (hf.MistralConfig, {"sliding_window": None}),
    "mistral-window": (hf.MistralConfig, {"sliding_window": 7}),
    "mistral-mha": (hf.MistralConfig, {"sliding_window": None, "num_key_value_heads": 4}),
    "llama": (hf.LlamaConfig, {}),
    "qwen2": (hf.Qwen2Config, {}),
    "qwen2-window": (hf.Qwen2Config, {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}),
    "qwen3": (hf.Qwen3Config, {"head_dim": 16}),
    "gemma": (hf.GemmaConfig, {"head_dim": 8}),
    "gemma2": (hf.Gemma2Config, {"head_dim": 8, "sliding_window": 7, "attn_logit_softcapping": 2.0}),
    "gemma3": (hf.Gemma3TextConfig, {"head_dim": 8, "sliding_window": 7, "sliding_window_pattern": 2}),
    "mixtral": (hf.MixtralConfig, {"num_local_experts": 4}),
}


def build(config):
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # attention is too flat at initialisation for a broken mask to show
        for name, parameter in model.named_parameters():
            if "proj" in name or "c_attn" in name:
                parameter.mul_(4.0)
    return model


def family(name):
    config, extra = FAMILIES[name]
    return build(config(**SHAPE | extra))


@torch.no_grad()
def largest_gap(decoder, model, lengths=(3, 40, 17, 17), copies=3, steps=10, keep_at=None):
    """Over every row and step: |logits - those of the plain forward of that row alone| / the largest logit."""
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 97, (n,), generator=generator).tolist() for n in lengths]
    rows = [list(p) for p in prompts for _ in range(copies)]
    logits = decoder.start(prompts, copies).repeat_interleave(copies, 0)
    worst = largest = 0.0
    for step in range(steps):
        for row, seen in zip(rows, logits, strict=True):
            plain = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1]
            worst, largest = max(worst, (seen - plain).abs().max().item()), max(largest, plain.abs().max().item())
        if keep_at and step in keep_at:
            living = keep_at[step]
            decoder.keep(torch.tensor(living))
            rows = [rows[i] for i in living]
        tokens = torch.randint(3, 97, (len(rows),), generator=generator)
        logits = decoder.step(tokens)
        rows = [[*row, int(token)] for row, token in zip(rows, tokens)]
    return worst / largest


# Rows end at different steps: first unequal numbers a prompt, then whole prompts, so that trunks are let go as well.
KEEP = {2: [0, 1, 2, 3, 5, 6, 7, 8, 9, 11], 5: [3, 4, 5, 6, 7], 7: [0, 2]}


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_shared_decoding_equals_the_plain_forward(name):
    model = family(name)
    decoder = choose_decoder(model)
    assert isinstance(decoder, SharedDecoder)
    assert largest_gap(decoder, model, keep_at=KEEP) < 1e-5
    assert model.config._attn_implementation in ("sdpa", "eager"), "left as it was"
    assert not [m for m in model.modules() if "forward" in vars(m)]


def test_equal_lengths_and_a_long_tail():
    model = family("mistral")  # 40 steps: past the first size of the tails' buffers
    assert largest_gap(SharedDecoder(model), model, lengths=(9, 9), copies=2, steps=40) < 1e-5


def test_prefill_in_pieces(monkeypatch):
    monkeypatch.setattr(decode, "PREFILL_TOKENS", 50)
    model = family("mistral-window")
    assert largest_gap(SharedDecoder(model), model, steps=4) < 1e-5


def test_adapter_is_part_of_the_model():
    model = family("llama")
    decoder = choose_decoder(adapted := add_lora(model, rank=2, alpha=64))
    bare = largest_gap(decoder, model, steps=2)
    with torch.no_grad():
        for parameter in (p for n, p in adapted.named_parameters() if "lora_B" in n):
            parameter.normal_(std=0.05)
    assert bare < 1e-5
    with torch.no_grad(), adapted.disable_adapter():
        plain = model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1]
    with torch.no_grad():
        assert (decoder.start([[5, 6, 7]], 1)[0] - plain).abs().max() > 0.1
    assert largest_gap(decoder, adapted, steps=4) < 1e-5


def test_bfloat16():
    model = family("mistral-window").to(torch.bfloat16)
    assert isinstance(choose_decoder(model), SharedDecoder)
    assert largest_gap(SharedDecoder(model), model, steps=4) < 4e-2


@pytest.mark.parametrize("broken", ["mask", "window", "position"])
def test_control_a_broken_path_is_seen_and_left(monkeypatch, caplog, broken):
    model = family("mistral-window" if broken == "window" else "llama")
    if broken == "position":
        step = SharedDecoder.step
        monkeypatch.setattr(
            SharedDecoder,
            "step",
            lambda self, t: (self.trunks.positions_R.add_(self.trunks.step == 0), step(self, t))[1],
        )
    else:
        mask = Trunks.mask
        whole = {"mask": lambda self, window: (0, None), "window": lambda self, window: mask(self, None)}[broken]
        monkeypatch.setattr(Trunks, "mask", whole)
    assert largest_gap(SharedDecoder(model), model, steps=4) > 1e-3
    with caplog.at_level(logging.WARNING):
        assert isinstance(choose_decoder(model), CopyDecoder)
    assert len(caplog.messages) == 1 and "copied for each answer (its logits were" in caplog.messages[0]


def test_attention_with_sinks_goes_by_copies(caplog):
    model = build(
        hf.GptOssConfig(**SHAPE | {"head_dim": 8, "num_local_experts": 4, "sliding_window": 7, "rope_scaling": None})
    )
    assert isinstance(choose_decoder(model), CopyDecoder)
    assert "sinks" in caplog.text
    assert largest_gap(CopyDecoder(model), model, lengths=(20,), steps=5, keep_at={2: [0, 2]}) < 1e-5


def test_state_space_model_goes_row_by_row(caplog):
    model = build(hf.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=97, state_size=4))
    assert isinstance(choose_decoder(model), PlainDecoder)
    assert "no cache" in caplog.text
    assert largest_gap(PlainDecoder(model), model, lengths=(6,), steps=4, keep_at={1: [0, 2]}) < 1e-4


def test_position_biases_go_by_copies():
    model = build(hf.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=97))
    assert isinstance(choose_decoder(model), CopyDecoder)


def test_a_model_that_fails_is_named():
    model = family("llama")
    model.model.layers[1].mlp.up_proj = torch.nn.Linear(32, 47)
    with pytest.raises(UserError, match=r"LlamaForCausalLM cannot be decoded: .*48"):
        choose_decoder(model)


def test_large_layers_through_onednn(monkeypatch):
    model = tiny.model(vocab=40_000, layers=1)
    calls = []
    from windvane.models.generate import onednn

    plain = torch.ops.mkldnn._linear_pointwise

    class Counted:
        @staticmethod
        def _linear_pointwise(*args):
            calls.append(args[1].shape)
            return plain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(onednn.torch.ops, "mkldnn", Counted)
        assert largest_gap(SharedDecoder(model), model, lengths=(20,), steps=3) < 1e-5
    assert calls == [(40_000, 32)] * 3, "the head, at each step (the first prefill has one row of it)"


def test_micro_batches():
    assert micro_batches([1, 2, 3, 10, 10, 50, 1], 20) == [[0, 1, 2], [3, 4], [5], [6]]
