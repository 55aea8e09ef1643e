"""What the loop promises: trees are rows, accumulation changes nothing, a resumed run is the run; and the planted cycle."""

import dataclasses
import os

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.train.planted_preferences import planted, texts
from windvane.core.errors import UserError
from windvane.models.preference_heads import HeadShape
from windvane.models.preference_model import start_preference_model
from windvane.models.trees.hidden_states import Pooler
from windvane.train.loop import Trainer
from windvane.train.reward import RewardTask, hold_out, mixed, reward_example
from windvane.train.settings import RewardTrain

SETTINGS = RewardTrain(lr=1e-3, epochs=2, batch=8, warmup=0.1, keep="last")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny.folder(tmp_path_factory.mktemp("base"), scale=2.0))


def made(base, kind="gpm", seed=0, lora=0, **shape):
    model = start_preference_model(base, tiny.byte_tokenizer(), HeadShape.of(kind, **shape), "float32", "cpu", seed)
    if lora:
        model.add_lora(lora, 2 * lora, 0.1, seed)
    return model


def examples(model, pairs):
    return [reward_example(model, tiny.byte_tokenizer(), p) for p in pairs]


def fit(folder, model, pairs, held=(), report=None, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    more = {} if report is None else {"report": report}
    trainer = Trainer(RewardTask(model, settings), folder, 7, **more)
    metrics = trainer.fit(examples(model, pairs), examples(model, held))
    return metrics, {k: v.detach().clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["bt", "gpm"])
def test_gradients_are_those_of_rows(base, tmp_path, kind):
    """The loss of a batch of pairs by trees against each answer (and prompt) alone through the plain decoder."""
    model = made(base, kind)
    found = examples(model, planted("cycle", 6, 1))
    task = RewardTask(model, SETTINGS)
    losses = task.losses(found).values
    losses.sum().backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters()}
    assert task.pooler.mode == "trees"
    model.zero_grad()
    theirs = []
    for e in found:
        last = [model.decoder(torch.tensor([e.tree.row(leaf)])).last_hidden_state[0, -1] for leaf in e.tree.leaves]
        v = [model.head.score(h) for h in last[:2]]
        if kind == "bt":
            z = (v[0] - v[1])[0]
        else:
            a, b = (x / x.norm() for x in v)
            scale = 4 * (model.head.gate(last[2]) / 32**0.5).softmax(-1)
            z = sum(scale[i] * (a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i]) for i in range(4)) / 0.1
        theirs.append(-torch.nn.functional.logsigmoid(z))
    torch.stack(theirs).sum().backward()
    assert losses.tolist() == pytest.approx([x.item() for x in theirs], rel=1e-4)
    whole = torch.stack([g.norm() for g in ours.values()]).norm()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert (ours[name] - parameter.grad).norm() < 1e-4 * parameter.grad.norm() + 1e-7 * whole, name


def test_accumulation_8x1_is_1x8(base, tmp_path):
    pairs = planted("cycle", 20, 2)
    whole, ours = fit(tmp_path / "a", made(base), pairs, micro_tokens=100_000)
    single, theirs = fit(tmp_path / "b", made(base), pairs, micro_tokens=1)
    assert [r["loss"] for r in single] == pytest.approx([r["loss"] for r in whole], rel=1e-3)
    assert [r["grad_norm"] for r in single] == pytest.approx([r["grad_norm"] for r in whole], rel=1e-2)
    assert [r["accuracy"] for r in single] == [r["accuracy"] for r in whole]
    moved = made(base).state_dict()
    for k in ours:
        assert (ours[k] - theirs[k]).norm() <= 1e-2 * (ours[k] - moved[k]).norm() + 1e-6, k


class Killed(Exception):
    pass


@pytest.mark.parametrize("lora", [0, 2])
def test_resume_is_bit_identical(base, tmp_path, lora):
    pairs = planted("cycle", 30, 3)
    held = planted("cycle", 6, 4, texts(pairs))
    changes = {"evaluate_every": 2, "keep": "best"}
    straight, ours = fit(tmp_path / "a", made(base, lora=lora), pairs, held, **changes)

    def kill(step, total, row):
        if step == 5:  # a step after the checkpoint of step 4
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "b", made(base, lora=lora), pairs, held, kill, **changes)
    resumed, theirs = fit(tmp_path / "b", made(base, lora=lora), pairs, held, **changes)
    assert resumed == straight and len(straight) == 8 + 5
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    stored = load_file(next((tmp_path / "a").glob("step-*")) / "model.safetensors")
    assert all("lora_" in k or k.startswith("head.") for k in stored) == bool(lora)


def test_gradient_checkpointing_changes_nothing(base, tmp_path):
    pairs = planted("cycle", 8, 5)
    plain, _ = fit(tmp_path / "a", made(base), pairs, epochs=1)
    again, _ = fit(tmp_path / "b", made(base), pairs, epochs=1, gradient_checkpointing=True)
    assert again[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-5)
    assert again[0]["grad_norm"] == pytest.approx(plain[0]["grad_norm"], rel=1e-4)


def test_probability_and_margin_reach_the_loss(base, tmp_path):
    model = made(base, "bt")
    (plain,) = examples(model, planted("cycle", 1, 6))
    task = RewardTask(model, SETTINGS)
    s = task.scores([plain]).item()
    told = [plain, dataclasses.replace(plain, margin=2.0), dataclasses.replace(plain, probability=0.3)]
    losses = task.losses(told).values.tolist()
    soft = [torch.nn.functional.softplus(torch.tensor(x)).item() for x in (-s, 2 - s, s)]
    assert losses == pytest.approx([soft[0], soft[1], 0.3 * soft[0] + 0.7 * soft[2]], rel=1e-6)
    sure = Trainer(task, tmp_path, 7).measure([dataclasses.replace(plain, probability=p) for p in (0.3, 0.5)])[
        "accuracy"
    ]
    assert sure == float(s < 0), "the likelier answer is the rejected one; one half does not count"


def test_refusals(base, tmp_path):
    model = made(base)
    with pytest.raises(UserError, match="nothing to train on"):
        Trainer(RewardTask(model, SETTINGS), tmp_path, 7).fit([], [])
    with pytest.raises(UserError, match=r"train.batch: 0; must be at least 1"):
        RewardTrain(batch=0)
    bad = [dataclasses.replace(e, margin=float("nan")) for e in examples(model, planted("cycle", 2, 7))]
    with pytest.raises(UserError, match="step 1, before its update: the loss is not finite for row 1, row 2"):
        Trainer(RewardTask(model, SETTINGS), tmp_path, 7).fit(bad, [])
    same = dataclasses.replace(planted("cycle", 1, 8)[0], chosen="a", rejected="a", place="p.jsonl: row 3")
    with pytest.raises(UserError, match=r"p.jsonl: row 3: field 'rejected': the same tokens as chosen"):
        examples(model, [same])


def test_hold_out_is_by_prompt():
    pairs = planted("cycle", 40, 9)
    twice = [dataclasses.replace(p, chosen=p.chosen + " too") for p in pairs[:20]]
    (first, second), held = hold_out([pairs, twice], 0.25, 3)
    out = {p.prompt.id for p in held}
    assert len(out) == 10 and not out & {p.prompt.id for p in (*first, *second)}
    assert len(first) + len(second) + len(held) == 60
    assert {p.prompt.id for p in hold_out([pairs[::-1]], 0.25, 3)[1]} == out, "whatever the order"
    assert hold_out([pairs[:9]], 0.25, 3)[1] == []


def test_mixture_is_that_of_datasets():
    """Shares near the weights, each source in its order and gone through, the same for the same seed."""
    sources = [[f"a{i}" for i in range(300)], [f"b{i}" for i in range(20)], [f"c{i}" for i in range(60)]]
    drawn = mixed(sources, [72, 14, 14], seed=1)
    assert drawn == mixed(sources, [0.72, 0.14, 0.14], seed=1) != mixed(sources, [72, 14, 14], seed=2)
    assert set(drawn) == {x for s in sources for x in s}, "all are exhausted"
    share = {k: sum(x[0] == k for x in drawn) / len(drawn) for k in "abc"}
    assert share["a"] == pytest.approx(0.72, abs=0.07) and share["b"] == pytest.approx(0.14, abs=0.05)
    for k, source in zip("abc", sources):
        mine = [x for x in drawn if x[0] == k]
        assert mine == [source[i % len(source)] for i in range(len(mine))]
    assert mixed(sources, [72, 14, 14], seed=1, samples=50) == drawn[:50]
    assert mixed(sources[:1], [5], seed=1) == sources[0]
    with pytest.raises(UserError, match="mixture: weights 1, 0"):
        mixed(sources[:2], [1, 0], seed=1)
    with pytest.raises(UserError, match="mixture: file 2 has no pair left"):
        mixed([sources[0], []], [1, 1], seed=1)


SEEDS = range(int(os.environ.get("WINDVANE_SEEDS", "2")))  # docs/reward_models.md has four
PLANT = {"lr": 1e-3, "batch": 16, "evaluate_every": 15, "keep": "best", "schedule": "linear"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_planted_cycle(base, tmp_path, seed):
    """A scalar can be right on two thirds of a cycle's pairs at best; an embedding on all. Where there is an order, both are."""
    found = {}
    for plant in ("cycle", "order"):
        pairs = planted(plant, 480, seed)
        held = planted(plant, 300, seed + 100, texts(pairs))
        assert not texts(pairs) & texts(held)
        for kind in ("bt", "gpm"):
            model = made(base, kind, seed)
            fit(tmp_path / f"{plant}-{kind}", model, pairs, held[:60], **PLANT, epochs={"cycle": 3, "order": 1}[plant])
            trainer = Trainer(RewardTask(model, SETTINGS), tmp_path, 7)
            found[plant, kind] = trainer.measure(examples(model, held[60:]))["accuracy"]
    print(f"seed {seed}: {found}")
    assert found["cycle", "gpm"] >= 0.95 and found["cycle", "bt"] < 0.70
    assert found["order", "gpm"] >= 0.95 and found["order", "bt"] >= 0.95


def test_a_pooler_is_made_for_the_whole_run(base, tmp_path):
    """With LoRA the layers are adapted in place: the trees go through the adapter."""
    model = made(base, lora=2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3)
    task = RewardTask(model.eval(), SETTINGS)
    found = examples(model, planted("cycle", 2, 10))
    with torch.no_grad():
        adapted = task.scores(found)
        with model.decoder.disable_adapter():
            plain = task.scores(found)
    assert (adapted - plain).abs().min() > 1e-4
    assert Pooler(model.decoder).mode == "trees"
