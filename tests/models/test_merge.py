"""`windvane merge`, adapters on adapters, shards, precisions, and what QLoRA says where it cannot run."""

import json

import pytest
import torch

from tests.tiny import byte_tokenizer, folder, model
from windvane.core.errors import UserError
from windvane.models.load import load_model, save_model
from windvane.models.lora import add_lora, merge
from windvane.models.merge import main, merge_adapter
from windvane.models.quantize import arguments

IDS = torch.arange(3, 40)[None]


def logits(net):
    with torch.no_grad():
        return net(input_ids=IDS).logits


def noisy(net, seed):
    """The adapter's B drawn, so that it is no identity."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 0.05)
    return net


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """base <- first (rank 4) <- second (rank 2), and the logits of each as PEFT and plain arithmetic have them."""
    room = tmp_path_factory.mktemp("stack")
    base = folder(room / "base", seed=1)
    first = noisy(add_lora(model(seed=1), 4, 8), 1)
    save_model(first, byte_tokenizer(), room / "first", str(base))
    second = noisy(add_lora(merge(first), 2, 4), 2)
    second.stacked = True
    save_model(second, byte_tokenizer(), room / "second", str(room / "first"))
    return room, logits(second)


def test_a_stack_is_loaded_merged_and_plain(stack, tmp_path, capsys):
    room, expected = stack
    assert json.loads((room / "second/adapter_config.json").read_text())["base_model_name_or_path"] == "../first"
    torch.testing.assert_close(logits(load_model(str(room / "second"), device="cpu")), expected, atol=1e-4, rtol=1e-4)
    assert main([str(room / "second"), "--out", str(tmp_path / "merged"), "--dtype", "float32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["adapter"] and told["gap"] < 1e-4 and told["rounding"] == 0.0
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(logits(plain), expected, atol=1e-4, rtol=1e-4)
    assert (logits(plain) - logits(model(seed=1))).abs().max() > 0.1, "an adapter left out would show"
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template == byte_tokenizer().chat_template
    assert (tmp_path / "merged/generation_config.json").exists() and not list(tmp_path.glob("*.tmp"))
    with pytest.raises(UserError, match="is there already; name a new folder"):
        merge_adapter(str(room / "second"), tmp_path / "merged")


def test_shards_out_and_in_and_a_missing_one(stack, tmp_path):
    room, expected = stack
    out = tmp_path / "sharded"
    assert main([str(room / "second"), "--out", str(out), "--dtype", "float32", "--max-shard-size", "40KB"]) == 0
    shards = sorted(out.glob("model-*.safetensors"))
    assert len(shards) > 2 and (out / "model.safetensors.index.json").exists()
    torch.testing.assert_close(logits(load_model(str(out), device="cpu")), expected, atol=1e-4, rtol=1e-4)
    shards[1].unlink()
    with pytest.raises(UserError, match=f"model {out}: .*{shards[1].name}"):
        load_model(str(out), device="cpu")
    with pytest.raises(UserError, match=r"--max-shard-size many: .*write it like 5GB"):
        merge_adapter(str(room / "first"), tmp_path / "x", "float32", "many")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_precisions(stack, tmp_path, dtype):
    room, _ = stack
    told = merge_adapter(str(room / "first"), tmp_path / dtype, dtype)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / dtype / "model.safetensors")
    assert {v.dtype for v in weights.values()} == {getattr(torch, dtype)} and told["rounding"] > told["gap"]


def test_train_on_top_of_an_adapter(stack, tmp_path):
    from tests.finetune.rows import pairs
    from windvane.finetune.recipe import main as train

    room, _ = stack
    argv = [
        "--objective",
        "dpo",
        "--model",
        str(room / "first"),
        "--data",
        str(pairs(tmp_path / "p.jsonl", 3)),
        "--quiet",
        "--device",
        "cpu",
    ]
    argv += ["--out", str(tmp_path / "run"), "--train.lora-rank", "2", "--train.lr", "0.01", "--train.batch", "1"]
    with pytest.raises(UserError, match=r"holds a LoRA adapter of rank 4; .*or merge it first \(windvane merge\)"):
        train(argv)
    assert train([*argv, "--stack"]) == 0
    config = json.loads((tmp_path / "run/model/adapter_config.json").read_text())
    assert (
        config["r"] == 2
        and (tmp_path / "run/model" / config["base_model_name_or_path"]).resolve() == (room / "first").resolve()
    )
    made = logits(load_model(str(tmp_path / "run/model"), device="cpu"))
    assert (made - logits(load_model(str(room / "first"), device="cpu"))).abs().max() > 1e-3
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "plain"), "--dtype", "float32"]) == 0
    torch.testing.assert_close(logits(load_model(str(tmp_path / "plain"), device="cpu")), made, atol=1e-4, rtol=1e-4)


def test_4_bit_weights_on_a_cpu_are_refused(tmp_path):
    from windvane.train.settings import Train

    base = folder(tmp_path / "base")
    with pytest.raises(
        UserError, match=r"train\.quantize nf4: needs CUDA, and this runs on cpu; leave it out: --train"
    ):
        load_model(str(base), device="cpu", quantize="nf4")
    with pytest.raises(UserError, match="4-bit weights cannot be trained, an adapter on them can"):
        Train(quantize="nf4")
    config = arguments(torch.device("cuda", 0))["quantization_config"]
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype) == (
        "nf4",
        True,
        torch.bfloat16,
    )
