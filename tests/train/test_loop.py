"""What the loop promises: accumulation, order and packing change nothing; a resumed run is the run; NaN and a wrong reference stop it."""

import dataclasses

import pytest
import torch

from tests.tiny import model
from windvane.core.errors import UserError
from windvane.losses.batch import load_objective
from windvane.models.lora import add_lora
from windvane.models.trees.logprobs import Scorer, rows_logps
from windvane.models.trees.tree import Tree
from windvane.train import checkpoint
from windvane.train.batches import Example, micro_batches, order, set_aside, with_reference
from windvane.train.loop import Trainer
from windvane.train.loss_inputs import batch_of
from windvane.train.policy import PolicyTask
from windvane.train.reference import of_tokens, reference_logps
from windvane.train.settings import Train, learning_rate, only_warms_up

SETTINGS = Train(
    objective="sppo", objective_args={"eta": 5.0}, optimizer="adamw", lr=1e-3, epochs=2, batch=8, held_out=0.0, keep="last"
)  # fmt: skip


def make_examples(count=20, seed=0):
    g = torch.Generator().manual_seed(seed)

    def ids(n):
        return tuple(torch.randint(4, 260, (n,), generator=g).tolist())

    found = []
    for i in range(count):
        trunk, answers = ids(3 + i % 7), (ids(2 + i % 4), ids(1 + i % 5))
        tree = Tree.of(trunk, answers)
        found.append(Example(f"e{i}", tree, (f"e{i}-0", f"e{i}-1"), (0.9, 0.2), tuple(map(len, answers)), 0, 1))
    return found


def with_cached(net, found, tokens=False):
    cached = reference_logps(Scorer(net), found, tokens=tokens)
    return with_reference(found, {r.id: r.logps for r in cached}, tokens=of_tokens(cached) if tokens else None)


def fit(folder, net=None, found=None, held=(), **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    net = net or model(scale=2.0)
    found = found if found is not None else with_cached(net, make_examples())
    trainer = Trainer(
        PolicyTask(Scorer(net), load_objective(settings.objective, settings.objective_args), settings), folder, seed=7
    )
    return trainer.fit(found, held), {k: v.detach().clone() for k, v in net.state_dict().items()}


def apart(a, b):
    return max(((a[k] - b[k]).norm() / a[k].norm().clamp(min=1e-12)).item() for k in a)


def test_accumulation_8x1_is_1x8(tmp_path):
    whole, ours = fit(tmp_path / "a", micro_tokens=100_000)
    single, theirs = fit(tmp_path / "b", micro_tokens=1)
    assert [r["loss"] for r in single] == pytest.approx([r["loss"] for r in whole], rel=1e-4)
    assert apart(ours, theirs) < 1e-4
    assert apart(ours, model(scale=2.0).state_dict()) > 1e-3, "control: training moves the weights by far more"


def test_token_mean_over_the_whole_batch(tmp_path):
    """SFT divides by the tokens of the optimizer batch, so micro-batches of unequal length change nothing."""
    args = {"objective": "sft", "objective_args": {}, "epochs": 1}
    whole, ours = fit(tmp_path / "a", micro_tokens=100_000, **args)
    single, theirs = fit(tmp_path / "b", micro_tokens=1, **args)
    assert [r["loss"] for r in single] == pytest.approx([r["loss"] for r in whole], rel=1e-4)
    assert apart(ours, theirs) < 1e-4


def test_order_within_a_batch_changes_nothing():
    net = model(scale=2.0)
    found = with_cached(net, make_examples(8))
    objective = load_objective("dpo", {})
    sums = []
    for arranged in (found, found[::-1]):
        losses = objective.loss(batch_of(arranged, Scorer(net).logps([e.tree for e in arranged])))
        sums.append(losses.sum().item())
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)


def test_cached_reference_is_the_live_one():
    net = model(scale=2.0)
    found = make_examples(6)
    cached = {r.id: r.logps for r in reference_logps(Scorer(net), found)}
    with torch.no_grad():
        live = rows_logps(net, [e.tree for e in found])
    for example, nodes in zip(found, live):
        for response, logps in zip(example.response_ids, nodes[1:]):
            assert cached[response] == pytest.approx(logps.sum().item(), rel=1e-5)


class Killed(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_resume_is_bit_identical(tmp_path, optimizer):
    changes = {"optimizer": optimizer, "evaluate_every": 2, "keep": "best", "lora_dropout": 0.0}
    net = model(scale=2.0)
    found = with_cached(net, make_examples())
    held = with_cached(net, make_examples(4, seed=9))
    straight, ours = fit(tmp_path / "a", model(scale=2.0), found, held, **changes)
    settings = dataclasses.replace(SETTINGS, **changes)

    def kill(step, total, row):
        if step == 5:  # a step after the checkpoint of step 4
            raise Killed

    killed = Trainer(
        PolicyTask(Scorer(model(scale=2.0)), load_objective("sppo", {"eta": 5.0}), settings), tmp_path / "b", 7, kill
    )
    with pytest.raises(Killed):
        killed.fit(found, held)
    resumed, theirs = fit(tmp_path / "b", model(scale=2.0), found, held, **changes)
    assert resumed == straight
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_resume_draws_the_same_dropout(tmp_path):
    """Random numbers inside a step: a run that was killed goes on as if it had not been, wherever the generator stands."""

    def net(dropout=0.3):
        return add_lora(model(scale=2.0), rank=4, alpha=16, dropout=dropout, seed=1)

    found, changes = with_cached(net(), make_examples()), {"evaluate_every": 2, "lr": 1e-2, "epochs": 1, "batch": 4}
    straight, ours = fit(tmp_path / "a", net(), found, **changes)

    def kill(step, total, row):
        if step == 3:
            raise Killed

    settings = dataclasses.replace(SETTINGS, **changes)
    with pytest.raises(Killed):
        Trainer(PolicyTask(Scorer(net()), load_objective("sppo", {"eta": 5.0}), settings), tmp_path / "b", 7, kill).fit(
            found, []
        )
    torch.manual_seed(12345)
    resumed, theirs = fit(tmp_path / "b", net(), found, **changes)
    assert resumed == straight
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    _, plain = fit(tmp_path / "c", net(0.0), found, **changes)
    trained = [k for k in ours if "lora_" in k]
    assert max((ours[k] - plain[k]).abs().max() for k in trained) > 1e-4, "control: dropout is drawn"


def test_best_is_kept(tmp_path):
    """At a rate that ruins the model the best held-out step is an early one, and its weights are what comes out."""
    net = model(scale=2.0)
    found, held = with_cached(net, make_examples()), with_cached(net, make_examples(4, seed=9))
    metrics, weights = fit(
        tmp_path, net, found, held, lr=0.3, evaluate_every=1, keep="best", schedule="constant", warmup=0.0
    )
    losses = {r["step"]: r["loss"] for r in metrics if r["split"] == "held-out" and r["step"] > 0}
    again = model(scale=2.0)
    again.load_state_dict(weights)
    settings = dataclasses.replace(SETTINGS)
    measured = Trainer(PolicyTask(Scorer(again), load_objective("sppo", {"eta": 5.0}), settings), tmp_path, 7).measure(
        held
    )
    assert measured["loss"] == pytest.approx(min(losses.values()), rel=1e-5)
    assert min(losses.values()) < list(losses.values())[-1]


def test_a_reference_of_other_weights_stops_it(tmp_path):
    found = with_cached(model(seed=5, scale=2.0), make_examples())
    with pytest.raises(UserError, match=r"policy's log-probs differ from the cached reference's by .* nats a token"):
        fit(tmp_path, found=found)


def test_nan_names_its_rows(tmp_path):
    net = model(scale=2.0)
    found = with_cached(net, make_examples())
    bad = dataclasses.replace(found[11], p_win=(float("nan"), 0.2))
    found[11] = bad
    with pytest.raises(UserError, match="before its update: the loss is not finite for e11"):
        fit(tmp_path, net, found)


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(UserError, match="nothing to train on"):
        fit(tmp_path, found=[])


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedules_are_transformers_own(schedule):
    from transformers import get_scheduler

    settings = dataclasses.replace(SETTINGS, schedule=schedule, warmup=0.1, lr=2e-3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    theirs = get_scheduler(name, optimizer, num_warmup_steps=5, num_training_steps=47)
    for step in range(47):
        assert learning_rate(step, 47, settings) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9, abs=1e-12)
        optimizer.step()
        theirs.step()


def test_order_and_splits_come_from_the_seed_alone():
    found = make_examples()
    assert order(20, 1, 0) == order(20, 1, 0) != order(20, 1, 1)
    training, held = set_aside(found, 0.2, 3)
    assert len(held) == 4 and not {e.id for e in held} & {e.id for e in training}
    assert [e.id for e in set_aside(found[::-1], 0.2, 3)[1]] == [e.id for e in held][::-1]
    cut = list(micro_batches(found, 40))
    assert [e for part in cut for e in part] == found
    assert all(len(part) == 1 or sum(e.tokens for e in part) <= 40 for part in cut)


def test_checkpoints_are_pruned(tmp_path):
    fit(tmp_path, evaluate_every=2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000006"]
    assert {p.suffix for p in (tmp_path / "step-000006").iterdir()} == {".safetensors", ".json"}
    state, best = checkpoint.load(tmp_path, model(scale=2.0), torch.optim.AdamW(model(scale=2.0).parameters()))
    assert state.step == 6 and best is None


def test_one_step_that_is_warm_up_teaches_nothing():
    """A tenth of one step is rounded up to one, and the first warm-up step is at 0; of two steps the second is at the full rate."""
    settings = Train(objective="dpo", warmup=0.1, epochs=1, batch=8, schedule_epochs=None)
    assert [only_warms_up(n, settings) for n in (1, 8, 9, 100)] == [True, True, False, False]
    assert not only_warms_up(8, dataclasses.replace(settings, epochs=2)) and not only_warms_up(
        8, dataclasses.replace(settings, warmup=0.0)
    )
