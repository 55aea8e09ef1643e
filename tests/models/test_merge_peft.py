"""Adapters that PEFT itself made, of every kind that people bring: read, merged, and the same logits from plain transformers."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from tests.tiny import byte_tokenizer, folder, model
from windvane.core.errors import UserError
from windvane.models.load import load_model, save_model
from windvane.models.merge import merge_adapter

IDS = torch.arange(40)[None] * 3 % 260
ADDED = ["<|im_start|>", "<|im_end|>"]


def logits(net):
    with torch.no_grad():
        return net.eval()(input_ids=IDS).logits


def adapter(room, tie=False, added=False, **config):
    """(folder, the logits that PEFT gives with the adapter beside the weights)."""
    base, tokenizer = folder(room / "base", seed=1), byte_tokenizer()
    (base / "tokenizer.model").write_bytes(b"sentencepiece")
    if tie:
        net = model(seed=1)
        net.config.tie_word_embeddings = True
        net.tie_weights()
        net.save_pretrained(base)
    net = AutoModelForCausalLM.from_pretrained(base)
    assert (net.lm_head.weight is net.model.embed_tokens.weight) == tie
    if added:
        tokenizer.add_special_tokens({"additional_special_tokens": ADDED})
        net.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    net = get_peft_model(net, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **config))
    torch.manual_seed(0)
    for p in net.parameters():
        if p.requires_grad:
            p.data.add_(torch.randn_like(p) * 0.1)
    net.save_pretrained(room / "adapter")
    tokenizer.save_pretrained(room / "adapter")
    return room / "adapter", logits(net)


@pytest.mark.parametrize(
    "kind",
    [
        {"target_modules": "all-linear", "tie": True},
        {"target_modules": ["q_proj"], "use_dora": True},
        {"target_modules": ["q_proj", "lm_head"], "tie": True},
        {"target_modules": ["q_proj", "embed_tokens"], "tie": True},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"], "added": True},
        {"target_modules": ["q_proj"], "added": True},
    ],
    ids=["tied", "dora", "tied, on the head", "tied, on the embeddings", "on the embeddings", "whole", "more tokens, whole", "more tokens"],
)  # fmt: skip
def test_merged_it_gives_the_adapters_logits(kind, tmp_path):
    path, expected = adapter(tmp_path, **kind)
    assert (expected - logits(model(seed=1))[..., :]).abs().max() > 0.1 if not kind.get("added") else True
    told = merge_adapter(str(path), tmp_path / "merged", "float32")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(plain), expected, atol=1e-5, rtol=0)
    assert told["gap"] < 1e-5
    assert (tmp_path / "merged/tokenizer.model").read_bytes() == b"sentencepiece", "the base's own, for llama.cpp"


def test_added_tokens_stay_with_an_adapter_that_is_trained_on(tmp_path):
    path, expected = adapter(tmp_path, added=True, target_modules=["q_proj"])
    net = load_model(str(path), device="cpu", trainable=True)
    assert isinstance(net, PeftModel) and net.get_input_embeddings().weight.shape[0] == 262
    save_model(net, byte_tokenizer(), tmp_path / "again", str(path))
    torch.testing.assert_close(logits(load_model(str(tmp_path / "again"), device="cpu")), expected, atol=1e-5, rtol=0)


def test_more_tokens_without_a_head_for_them_are_refused(tmp_path):
    path, _ = adapter(tmp_path, added=True, target_modules=["q_proj"])
    from safetensors.torch import load_file, save_file

    weights = load_file(path / "adapter_model.safetensors")
    save_file({k: v for k, v in weights.items() if "lm_head" not in k}, path / "adapter_model.safetensors")
    with pytest.raises(UserError, match="embeddings have 262 tokens and its base 260, and it does not hold both"):
        load_model(str(path), device="cpu")


def test_a_precision_too_small_for_the_weights_is_refused(tmp_path):
    base = folder(tmp_path / "base", seed=1)
    net = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        net.model.norm.weight.mul_(1e6)
    net.save_pretrained(base)
    with pytest.raises(UserError, match="--dtype float16: the merged model computes no finite log-probs"):
        merge_adapter(str(base), tmp_path / "half", "float16")
    assert not (tmp_path / "half").exists()


def test_an_adapters_own_stop_token_is_known_without_its_weights(tmp_path):
    """Its tokenizer says another EOS than its base: what `inspect` reads from the files is what training reads from the model."""
    from windvane.engines.local import stop_ids, window
    from windvane.models.load import load_tokenizer
    from windvane.stages.tokenizer import own_tokenizer

    path, _ = adapter(tmp_path, added=True, target_modules=["q_proj"])
    tokenizer = load_tokenizer(str(path))
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.save_pretrained(path)
    net = load_model(str(path), device="cpu")
    _, stops, limit = own_tokenizer(str(path))
    assert list(stops) == stop_ids(net, load_tokenizer(str(path))) == [2, 261] and limit == window(net)
