import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers as hf
from peft import PeftModel

from tests import tiny
from windvane.core.errors import UserError
from windvane.models.load import load_model, load_sequence_classifier, load_tokenizer, pick_device, save_model
from windvane.models.lora import add_lora

IDS = torch.tensor([[5, 6, 7, 8]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def adapter(seed=0):
    made = add_lora(tiny.model(), rank=2, alpha=4, seed=seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    return made


def test_saved_model_loads_here_and_with_plain_transformers(tmp_path):
    model = tiny.model()
    save_model(model, tiny.byte_tokenizer(), tmp_path / "m", "somewhere")
    assert torch.equal(logits(load_model(str(tmp_path / "m"), device="cpu")), logits(model))
    assert torch.equal(logits(hf.AutoModelForCausalLM.from_pretrained(tmp_path / "m")), logits(model))
    assert load_tokenizer(str(tmp_path / "m")).chat_template == tiny.TEMPLATE
    assert not load_model(str(tmp_path / "m"), device="cpu").training


def test_dtype(tmp_path):
    tiny.folder(tmp_path)
    assert load_model(str(tmp_path), dtype="bfloat16", device="cpu").dtype == torch.bfloat16
    with pytest.raises(UserError, match=r"dtype float8: unknown; take float32 or bfloat16"):
        load_model(str(tmp_path), dtype="float8")


def test_sharded_weights(tmp_path):
    model = tiny.model()
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(load_model(str(tmp_path), device="cpu")), logits(model))


def test_adapter_names_its_base_relatively(tmp_path):
    tiny.folder(tmp_path / "base")
    made = adapter()
    save_model(made, tiny.byte_tokenizer(), tmp_path / "run" / "model", str(tmp_path / "base"))
    config = json.loads((tmp_path / "run" / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../../base"
    (tmp_path / "moved").mkdir()
    for part in ("base", "run"):
        (tmp_path / part).rename(tmp_path / "moved" / part)
    folder = tmp_path / "moved" / "run" / "model"
    again = load_model(str(folder), device="cpu")
    assert isinstance(again, PeftModel) and torch.allclose(logits(again), logits(made), atol=1e-6)
    assert (logits(made) - logits(tiny.model())).abs().max() > 1e-3, "the adapter does something"
    assert not any(p.requires_grad for p in again.parameters())
    trainable = [
        n for n, p in load_model(str(folder), device="cpu", trainable=True).named_parameters() if p.requires_grad
    ]
    assert trainable and all("lora" in n for n in trainable)
    (folder / "tokenizer_config.json").unlink()
    assert len(load_tokenizer(str(folder))) == 260, "the base's"
    (tmp_path / "moved" / "base").rename(tmp_path / "gone")
    with pytest.raises(UserError, match=r"its base \.\./\.\./base is not there"):
        load_model(str(folder))


def test_a_base_by_hub_id_or_world_name_is_kept(tmp_path):
    for spec in ("mistralai/Mistral-7B-Instruct-v0.2", "world:styles"):
        save_model(adapter(), tiny.byte_tokenizer(), tmp_path / "m", spec)
        config = json.loads((tmp_path / "m" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == spec


def test_training_an_adapter_further_keeps_its_base(tmp_path):
    tiny.folder(tmp_path / "base")
    save_model(adapter(), tiny.byte_tokenizer(), tmp_path / "first", str(tmp_path / "base"))
    again = load_model(str(tmp_path / "first"), device="cpu", trainable=True)
    save_model(again, tiny.byte_tokenizer(), tmp_path / "runs" / "second", str(tmp_path / "first"))
    config = json.loads((tmp_path / "runs" / "second" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../../base"
    assert torch.allclose(logits(load_model(str(tmp_path / "runs" / "second"), device="cpu")), logits(again), atol=1e-6)


def test_same_weights_same_bytes_and_no_path(tmp_path):
    base = tiny.folder(tmp_path / "base")
    for kind, made in (("full", tiny.model), ("adapter", adapter)):
        for out in ("one", "two"):
            save_model(made(), tiny.byte_tokenizer(), tmp_path / kind / out, str(base))
        first, second = files(tmp_path / kind / "one"), files(tmp_path / kind / "two")
        assert first == second
        assert ("adapter_model.safetensors" in first) == (kind == "adapter")
        assert not [name for name, data in first.items() if str(tmp_path).encode() in data]
    targets = json.loads(first["adapter_config.json"])["target_modules"]
    assert targets == sorted(targets) and len(targets) == 14


@pytest.mark.slow
def test_same_bytes_whatever_the_order_of_sets(tmp_path):
    """PEFT keeps its targets in a set: their order follows Python's hashes, which differ from process to process."""
    code = (
        "import sys; from pathlib import Path; from tests import tiny; from tests.models.test_load import adapter;"
        "from windvane.models.load import save_model;"
        "save_model(adapter(), tiny.byte_tokenizer(), Path(sys.argv[1]), 'world:styles')"
    )
    root = str(Path(__file__).parents[2])
    for i in "01":
        env = os.environ | {"PYTHONHASHSEED": i, "PYTHONPATH": root}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / i)], check=True, env=env)
    assert files(tmp_path / "0") == files(tmp_path / "1")


def test_reward_model_needs_its_head(tmp_path):
    tiny.folder(tmp_path / "policy")
    with pytest.raises(
        UserError, match=r"weights lack score.weight \(1 missing\): it is not a trained sequence classifier"
    ):
        load_sequence_classifier(str(tmp_path / "policy"), device="cpu")
    config = tiny.model().config
    config.num_labels = 1
    head = hf.MistralForSequenceClassification(config)
    head.save_pretrained(tmp_path / "reward")
    assert torch.equal(load_sequence_classifier(str(tmp_path / "reward"), device="cpu").score.weight, head.score.weight)
    with pytest.raises(UserError, match=r"weights lack lm_head.weight .*: it is not a causal language model"):
        load_model(str(tmp_path / "reward"), device="cpu")


def broken(path, kind):
    """A folder with one thing wrong."""
    tiny.folder(path)
    if kind == "no config":
        (path / "config.json").unlink()
    elif kind == "no weights":
        (path / "model.safetensors").unlink()
    elif kind == "pickle":
        (path / "model.safetensors").rename(path / "pytorch_model.bin")
    elif kind == "cut weights":
        (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-100])
    elif kind == "config not json":
        (path / "config.json").write_text("{")
    elif kind == "unknown kind":
        config = json.loads((path / "config.json").read_text()) | {"model_type": "nonesuch"}
        (path / "config.json").write_text(json.dumps(config))
    elif kind == "code":
        config = json.loads((path / "config.json").read_text()) | {"model_type": "mine"}
        config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
        (path / "config.json").write_text(json.dumps(config))
        (path / "mine.py").write_text("raise SystemExit('ran foreign code')")
    elif kind == "encoder-decoder":
        small = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 50}
        hf.T5ForConditionalGeneration(hf.T5Config(**small)).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no config", "no config.json"),
        ("no weights", "no weights: it needs safetensors"),
        ("pickle", "only pytorch_model.bin, which could run code: convert it to safetensors"),
        ("cut weights", "(?i)safetensor|incomplete|header"),
        ("config not json", "(?i)json"),
        ("unknown kind", "nonesuch"),
        ("code", "needs code of its own, which windvane never runs"),
        ("encoder-decoder", "this kind of model does not fit"),
    ],
)
def test_mistakes_in_one_line(tmp_path, kind, message):
    folder = broken(tmp_path / "m", kind)
    with pytest.raises(UserError, match=message) as caught:
        load_model(str(folder), device="cpu")
    text = str(caught.value)
    assert text.startswith(f"model {folder}: ") and "\n" not in text and len(text) < len(str(folder)) + 260


@pytest.mark.parametrize("spec", ["/no/such/place", "./nowhere", "~/nowhere-at-all", "a/b/c", ""])
def test_no_such_folder(spec):
    for opened in (load_model, load_tokenizer, load_sequence_classifier):
        with pytest.raises(UserError, match=r"no such folder; give a folder with config.json or a hub id"):
            opened(spec)


def test_tokenizer_missing(tmp_path):
    tiny.model().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^tokenizer .*: no tokenizer there"):
        load_tokenizer(str(tmp_path))


def test_adapter_without_base_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"field 'base_model_name_or_path': missing"):
        load_model(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match=r"adapter_config.json: not valid JSON"):
        load_model(str(tmp_path))


def test_toy_families():
    with pytest.raises(UserError, match=r"toy:nowhere: there is no toy family 'nowhere' that offers model"):
        load_model("toy:nowhere")


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match=r"device nonesuch: not usable here"):
        pick_device("nonesuch")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"device cuda: not usable here"):
            pick_device("cuda")
