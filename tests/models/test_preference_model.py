"""Folders: what transformers reads from them is what was trained; what cannot be one is refused in a line."""

import json

import pytest
import torch
import transformers as hf

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.models.load import load_tokenizer
from windvane.models.preference_heads import HeadShape
from windvane.models.preference_model import (
    chat_tree,
    open_gpm,
    save_preference_model,
    start_preference_model,
)
from windvane.models.trees.hidden_states import Pooler

CHAT = (Message("system", "Be kind."), Message("user", "Say something."))
ANSWERS = ["short", "a longer answer", "the longest of these three answers"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny.folder(tmp_path_factory.mktemp("base")))


def started(base, kind="gpm", dim=8, tokenizer=None):
    tokenizer = tokenizer or tiny.byte_tokenizer()
    return start_preference_model(base, tokenizer, HeadShape.of(kind, dim), "float32", "cpu", seed=0), tokenizer


def embedded(model, tokenizer):
    with torch.no_grad():
        return model.embed(Pooler(model.decoder), [chat_tree(model, tokenizer, CHAT, ANSWERS, "x")])[0]


def logits(folder, tokenizer, answers=ANSWERS):
    """What plain transformers says, all answers in one padded batch."""
    classifier = hf.AutoModelForSequenceClassification.from_pretrained(folder)
    chats = [
        [{"role": m.role, "content": m.content} for m in CHAT] + [{"role": "assistant", "content": a}] for a in answers
    ]
    texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in chats]
    with torch.no_grad():
        return classifier(**tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")).logits


@pytest.mark.parametrize("pad", ["<pad>", "</s>"])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", ["bt", "gpm"])
def test_transformers_reads_the_same_numbers(base, tmp_path, kind, lora, pad):
    """Also where EOS pads: transformers then reads the token before it, and so does the tree."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.pad_token = pad
    model, _ = started(base, kind, tokenizer=tokenizer)
    if lora:
        before = embedded(model, tokenizer)[0]
        model.add_lora(2, 4, 0.0, seed=0)
        assert torch.allclose(embedded(model, tokenizer)[0], before), "the adapter starts as the identity"
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_B" in name:
                    p.normal_(std=0.3)
        assert not torch.allclose(embedded(model, tokenizer)[0], before, atol=1e-3)
        names = [n for n, p in model.named_parameters() if p.requires_grad]
        assert all("lora_" in n or n.startswith("head.") for n in names) and any("down_proj" in n for n in names)
    rows, scales = embedded(model, tokenizer)
    save_preference_model(model, tokenizer, tmp_path / "m", base)
    assert {p.suffix for p in (tmp_path / "m").iterdir()} <= {".json", ".safetensors", ".jinja"}
    plain = logits(tmp_path / "m", tokenizer)
    plain = torch.nn.functional.normalize(plain, dim=-1) if kind == "gpm" else plain
    assert torch.allclose(rows, plain, atol=1e-5 * float(plain.abs().max()) + 1e-6)
    assert rows.std(0).max() > 1e-4, "the answers differ"
    if kind == "gpm":
        again, same = embedded(open_gpm(str(tmp_path / "m")), load_tokenizer(str(tmp_path / "m")))
        assert torch.allclose(again, rows, atol=1e-6) and torch.allclose(same, scales)
        assert scales.std() > 0


def test_training_on_a_reward_model_keeps_its_head(base, tmp_path):
    model, tokenizer = started(base, "bt")
    save_preference_model(model, tokenizer, tmp_path / "bt", base)
    again, _ = started(str(tmp_path / "bt"), "bt")
    assert torch.equal(again.head.score.weight, model.head.score.weight)
    fresh, _ = started(str(tmp_path / "bt"), "gpm")
    assert fresh.head.score.weight.shape == (8, 32)
    save_preference_model(fresh, tokenizer, tmp_path / "gpm", base)
    on, _ = started(str(tmp_path / "gpm"), "gpm")
    assert torch.equal(on.head.gate.weight, fresh.head.gate.weight)
    other, _ = started(str(tmp_path / "gpm"), "gpm", dim=4)
    assert other.head.score.weight.shape == (4, 32)


def test_one_block_needs_no_gate(base, tmp_path):
    model, tokenizer = started(base, "gpm", dim=2)
    save_preference_model(model, tokenizer, tmp_path / "m", base)
    assert not (tmp_path / "m/preference_gate.safetensors").exists()
    rows, scales = embedded(open_gpm(str(tmp_path / "m")), tokenizer)
    assert scales is None and torch.allclose(rows, embedded(model, tokenizer)[0], atol=1e-6)


def test_the_gate_depends_on_the_prompt_alone(base):
    model, tokenizer = started(base)
    pooler = Pooler(model.decoder)
    with torch.no_grad():
        of = [
            model.embed(pooler, [chat_tree(model, tokenizer, CHAT, a, "x")])[0][1] for a in (["one"], ["two", "three"])
        ]
    assert torch.allclose(*of, atol=1e-6)


def test_refusals(base, tmp_path):
    model, tokenizer = started(base, "bt")
    save_preference_model(model, tokenizer, tmp_path / "bt", base)
    with pytest.raises(UserError, match=r"holds a reward model; name it reward:"):
        open_gpm(str(tmp_path / "bt"))
    with pytest.raises(
        UserError, match=r"gpm:.*: no preference.json there; give a folder made by windvane train reward"
    ):
        open_gpm(base)
    with pytest.raises(UserError, match=r"row 7: 41\d\d tokens exceed the window of 4096"):
        chat_tree(model, tokenizer, CHAT, ["x" * 4100], "pairs.jsonl: row 7")
    bare = tiny.byte_tokenizer()
    bare.chat_template = None
    with pytest.raises(UserError, match="its tokenizer has no chat template"):
        started(base, tokenizer=bare)
    (tmp_path / "bt" / "preference.json").write_text(
        json.dumps({"kind": "gpm", "dim": 6, "gate": False, "temperature": 0.1})
    )
    with pytest.raises(UserError, match=r"field 'dim': 6, but the weights have 1 labels"):
        open_gpm(str(tmp_path / "bt"))
    config = hf.BertConfig(vocab_size=260, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_labels=1)
    hf.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="its classifier has no plain `score` head"):
        started(str(tmp_path / "bert"), "bt")
