import pytest
import torch
from peft import PeftModel

from tests import tiny
from windvane.core.errors import UserError
from windvane.models.lora import add_lora, load_adapter, merge

IDS = torch.tensor([[5, 6, 7, 8]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def with_b(model, value=0.02):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(value)
    return model


def test_starts_as_its_base_and_trains_alone():
    made = add_lora(tiny.model(), rank=4, alpha=8)
    assert torch.equal(logits(made), logits(tiny.model()))
    trainable = {n for n, p in made.named_parameters() if p.requires_grad}
    assert trainable and all("lora_" in n for n in trainable)
    assert not any("lm_head" in n for n in trainable), "all-linear leaves the head alone"
    assert len(trainable) == 2 * 7 * 2, "A and B of seven projections in two layers"


def test_update_is_alpha_over_rank_b_a():
    made = with_b(add_lora(tiny.model(), rank=4, alpha=8, targets=["q_proj"]))
    layer = made.base_model.model.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
    before = layer.base_layer.weight.detach().clone()
    after = merge(made).model.layers[0].self_attn.q_proj.weight.detach()
    assert torch.allclose(after - before, 8 / 4 * b @ a, atol=1e-6)


def test_merged_equals_adapted():
    made = with_b(add_lora(tiny.model(), rank=4, alpha=8))
    adapted = logits(made)
    plain = merge(made)
    assert not isinstance(plain, PeftModel)
    assert torch.allclose(logits(plain), adapted, atol=1e-4)
    assert (adapted - logits(tiny.model())).abs().max() > 1e-2
    assert merge(plain) is plain


def test_seed_draws_the_adapter_and_nothing_else():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second, other = (add_lora(tiny.model(seed=0), 4, 8, seed=s) for s in (1, 1, 2))
    torch.manual_seed(7)
    third = add_lora(first.unload(), 4, 8, seed=1)
    assert torch.equal(torch.rand(3), expected)

    def a(m):
        return next(p for n, p in m.named_parameters() if "lora_A" in n)

    assert (
        torch.equal(a(first), a(second)) and torch.equal(a(third), a(second)) and not torch.equal(a(second), a(other))
    )


def test_training_goes_on(tmp_path):
    made = with_b(add_lora(tiny.model(), 4, 8))
    made.save_pretrained(tmp_path)
    again = load_adapter(tiny.model(), tmp_path, trainable=True)
    assert torch.allclose(logits(again), logits(made), atol=1e-6)
    again(input_ids=IDS, labels=IDS).loss.backward()
    grads = [p.grad for p in again.parameters() if p.requires_grad]
    assert grads and all(g is not None for g in grads)
    assert not any(p.requires_grad for p in load_adapter(tiny.model(), tmp_path).parameters())


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match=r"no module is named nonesuch; this model has .*q_proj"):
        add_lora(tiny.model(), targets=["q_proj", "nonesuch"])
    with pytest.raises(UserError, match=r"holds an adapter already"):
        add_lora(add_lora(tiny.model()))
    for bad in ({"rank": 0}, {"alpha": 0}, {"dropout": 1.0}):
        with pytest.raises(UserError, match=f"lora: .*{next(iter(bad))}"):
            add_lora(tiny.model(), **bad)
    with_b(add_lora(tiny.model(), 4, 8)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"does not fit its base"):
        load_adapter(tiny.model(layers=1), tmp_path)
