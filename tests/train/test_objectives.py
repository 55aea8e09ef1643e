"""Every objective through the trainer: packing, accumulation, order and a kill change nothing; each learns; what is missing is refused."""

import dataclasses
import itertools

import pytest
import torch

from tests.longpo.test_examples import apart, plain, step_gradient, turns_of, with_short_reference
from tests.tiny import model
from tests.train.test_loop import Killed, make_examples
from windvane.core.errors import UserError
from windvane.core.records import Group, Member, Prompt, Response
from windvane.longpo.examples import aligned, conversation, questions
from windvane.losses.batch import BEYOND_GROUPS, Objective, load_objective, names
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.train.batches import examples, mismatched, with_reference
from windvane.train.loop import Trainer
from windvane.train.policy import PolicyTask
from windvane.train.reference import reference_logps
from windvane.train.settings import Train

NEW = ("inpo", "kto", "longpo", "orpo", "orpo_trl", "simpo", "solopo")
ARGUMENTS = {
    "sppo": {"eta": 5.0},
    "sppo_hard": {"beta": 0.2},
    "inpo": {"eta": 0.2, "tau": 0.05},
    "longpo": {"lam": 0.5},
}


def load(name):
    return load_objective(name, ARGUMENTS.get(name, {}), gives=BEYOND_GROUPS)


def found_for(objective, net, count=12, seed=0):
    """Examples with all that `objective` reads; `net` is the reference."""
    if "short" in objective.reads:
        made = []
        for i in range(count // 2):
            turns = turns_of(f"d{seed}-{i}", history=i % 2 == 0, count=1 + i % 3, document=8 + i)
            build = conversation if i % 2 == 0 else questions
            if objective.name == "solopo":  # its reference reads what the policy reads
                example = aligned(f"d{seed}-{i}", turns_of(f"d{seed}-{i}", False, 1 + i % 3, 8 + i))
                logps = {r.id: r.logps for r in reference_logps(Scorer(net), [example])}
                made += with_reference([example], logps)
                continue
            made += with_short_reference(net, [build(f"d{seed}-{i}", turns)], turns)
        return made
    found = make_examples(count, seed)
    if objective.branches == "single":
        found = [
            dataclasses.replace(
                e, tree=Tree.of(e.tree.nodes[0].token_ids, [e.tree.nodes[1].token_ids]), response_ids=e.response_ids[:1],
                p_win=e.p_win[:1], lengths=e.lengths[:1], rejected=None,
            )
            for e in found
        ]  # fmt: skip
    if objective.branches == "unpaired":
        found = mismatched([dataclasses.replace(e, desirable=(True, False)) for e in found])
    logps, slow = ({r.id: r.logps for r in reference_logps(Scorer(n), found)} for n in (net, model(seed=4, scale=2.0)))
    return with_reference(found, logps, slow)


def settings(**changes):
    given = {"optimizer": "adamw", "lr": 2e-3, "epochs": 2, "batch": 6, "held_out": 0.0, "keep": "last", **changes}
    return Train(**given)


def fit(folder, objective, found, held=(), report=lambda *_: None, **changes):
    net = model(scale=2.0)
    metrics = Trainer(PolicyTask(Scorer(net), objective, settings(**changes)), folder, 7, report).fit(found, held)
    return metrics, {n: p.detach().clone() for n, p in net.named_parameters()}


@pytest.mark.parametrize("name", names())
def test_packing_and_order_change_nothing(name):
    """All trees in one row, one tree at a time, or in another order: the same loss, the same gradient in every parameter."""
    objective, net = load(name), model(scale=2.0)
    found = found_for(objective, model(seed=2, scale=2.0))
    packed, expected = step_gradient(net, objective, found)
    for arranged, tokens in ((found, 1), (found, 60), (found[::-1], 100_000)):
        loss, gradient = step_gradient(net, objective, arranged, tokens)
        assert loss == pytest.approx(packed, rel=1e-5)
        assert apart(gradient, expected) < 2e-5
    part = step_gradient(net, objective, found[:-1])
    assert part[0] != pytest.approx(packed, rel=1e-5) and apart(part[1], expected) > 1e-3, "control: an example less"


@pytest.mark.parametrize("name", NEW)
def test_accumulation_8x1_is_1x8(tmp_path, name):
    objective = load(name)
    found = found_for(objective, model(scale=2.0))
    whole, ours = fit(tmp_path / "a", objective, found)
    single, theirs = fit(tmp_path / "b", objective, found, micro_tokens=1)
    for key in ("loss", *(["kl_estimate"] if name == "kto" else [])):
        assert [r[key] for r in single] == pytest.approx([r[key] for r in whole], rel=1e-4, abs=1e-4)
    assert apart(theirs, ours) < 1e-4
    assert apart(ours, dict(model(scale=2.0).named_parameters())) > 1e-3, (
        "control: training moves the weights by far more"
    )


@pytest.mark.parametrize("name", NEW)
def test_each_learns(tmp_path, name):
    objective = load(name)
    found = found_for(objective, model(scale=2.0))
    metrics, _ = fit(tmp_path, objective, found, found, epochs=8, evaluate_every=8)
    measured = [r["loss"] for r in metrics if r["split"] == "held-out"]
    assert measured[-1] < 0.9 * measured[0]


@pytest.mark.parametrize("name", ["kto", "longpo", "inpo"])
def test_resume_is_bit_identical(tmp_path, name):
    objective = load(name)
    found, held = (found_for(objective, model(scale=2.0), seed=s) for s in (0, 1))
    straight, ours = fit(tmp_path / "a", objective, found, held, evaluate_every=1, keep="best")

    def kill(step, total, row):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "b", objective, found, held, kill, evaluate_every=1, keep="best")
    resumed, theirs = fit(tmp_path / "b", objective, found, held, evaluate_every=1, keep="best")
    assert resumed == straight
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_ktos_reference_point_is_the_batchs_by_the_plain_forward():
    """The mean over all answers of log pi/pi_ref of each put after another prompt, whatever the micro-batches."""
    net, reference = model(scale=2.0), model(seed=2, scale=2.0)
    objective = load("kto")
    found = found_for(objective, reference)
    gaps = []
    for e, other in zip(found, [found[-1], *found[:-1]]):
        prompt = e.tree.nodes[0].token_ids
        for node in other.tree.nodes[1:]:
            with torch.no_grad():
                ours, theirs = (plain(n, prompt + node.token_ids)[len(prompt) - 1 :].sum() for n in (net, reference))
            gaps.append((ours - theirs).item())
    for tokens in (1, 50, 100_000):
        trainer = Trainer(PolicyTask(Scorer(net), objective, Train(micro_tokens=tokens)), None, 0)
        assert trainer.measure(found)["kl_estimate"] == pytest.approx(sum(gaps) / len(gaps), rel=1e-4)
    assert all(e.tree.nodes[0] != other.tree.nodes[0] for e, other in itertools.pairwise(found)), "prompts differ"


def test_kto_takes_truly_unpaired_answers(tmp_path):
    """One answer a prompt, with its flag; weights and the mean are over answers, so unequal numbers are no matter."""
    net = model(scale=2.0)
    made = []
    for i, e in enumerate(make_examples(9)):
        tree = Tree.of(e.tree.nodes[0].token_ids, [e.tree.nodes[1 + i % 2].token_ids])
        made.append(
            dataclasses.replace(
                e, tree=tree, response_ids=(f"{e.id}-y",), p_win=(0.0,), lengths=(len(tree.nodes[1].token_ids),), chosen=None,
                rejected=None, desirable=(i % 3 == 0,),
            )
        )  # fmt: skip
    found = mismatched(made)
    found = with_reference(found, {r.id: r.logps for r in reference_logps(Scorer(net), found)})
    metrics, _ = fit(tmp_path, load("kto"), found, epochs=6)
    # at the start the policy is the reference: every term is 1/2
    assert metrics[0]["loss"] == pytest.approx(0.5, abs=1e-4) and metrics[-1]["loss"] < 0.47


@pytest.mark.parametrize("name", ["simpo", "orpo", "dpo"])
def test_accuracy_follows_the_reward_of_the_loss(name):
    """Without a reference it is the mean log-prob; with one the log-ratio."""
    net, reference = model(scale=2.0), model(seed=2, scale=2.0)
    found = found_for(load(name), reference)
    right = []
    for e in found:
        prompt, ours = e.tree.nodes[0].token_ids, []
        for node, base in zip(e.tree.nodes[1:], e.reference):
            with torch.no_grad():
                logps = plain(net, prompt + node.token_ids)[len(prompt) - 1 :]
            ours.append(logps.sum() - base if name == "dpo" else logps.mean())
        right.append(float(ours[0] > ours[1]))
    measured = Trainer(PolicyTask(Scorer(net), load(name), Train()), None, 0).measure(found)
    assert measured["accuracy"] == pytest.approx(sum(right) / len(right)) and 0 < sum(right) < len(right)


def groups():
    prompts = {p: Prompt(p, (), (7, 8, 9 + i)) for i, p in enumerate("ab")}
    responses = {f"{p}{i}": Response(f"{p}{i}", p, i, "", (20 + i, 30, 40 + i), "stop") for p in "ab" for i in range(3)}
    members = [Member(0, "{}0", 0.7, 0.6), Member(1, "{}1", 0.5, 0.5), Member(2, "{}2", 0.3, 0.4)]
    made = [
        Group(p, tuple(dataclasses.replace(m, response_id=m.response_id.format(p)) for m in members), 0, 2, "pair", 3, 0, 0, 0.0, 0, 1)
        for p in "ab"
    ]  # fmt: skip
    return prompts, responses, made


def test_judged_groups_unpaired():
    """The best is desirable, the worst is not; of all answers, those that win more often than not; one that wins half is neither."""
    two = examples(*groups(), "unpaired")
    assert [(e.response_ids, e.desirable) for e in two] == [
        (("a0", "a2"), (True, False)),
        (("b0", "b2"), (True, False)),
    ]
    everyone = examples(*groups(), "unpaired", "all")
    assert [(e.response_ids, e.desirable) for e in everyone] == [(e.response_ids, e.desirable) for e in two]
    assert [(e.chosen, e.rejected) for e in everyone] == [(0, 1), (0, 1)]
    assert two[0].mismatch.response_ids == ("b0@a", "b2@a") and two[0].mismatch.tree.row(1) == (7, 8, 9, 20, 30, 40)
    assert examples(*groups(), "pair")[0].mismatch is None


def test_what_is_missing_is_refused_in_one_line(tmp_path):
    pairs = make_examples(6)
    net = model(scale=2.0)
    cached = {r.id: r.logps for r in reference_logps(Scorer(net), pairs)}
    ready = with_reference(pairs, cached)
    for name, found, text in (
        ("dpo", pairs, "objective dpo: example e0 lacks reference log-probs"),
        ("inpo", ready, "objective inpo: example e0 lacks a slow reference's log-probs"),
        ("kto", ready, "objective kto: example e0 lacks a flag for each answer"),
        ("kto", [dataclasses.replace(e, desirable=(True, False)) for e in ready], "e0 lacks another prompt's answers"),
        (
            "orpo_trl",
            [dataclasses.replace(pairs[0], chosen=None)],
            "objective orpo_trl: example e0 lacks a chosen answer",
        ),
    ):
        with pytest.raises(UserError, match=text):
            fit(tmp_path, load(name), found)


def test_an_objective_that_does_not_say_what_it_reads(tmp_path):
    forgetful = Objective("mine:forgetful", "pair", False, "example", {}, lambda batch: batch.nll)
    with pytest.raises(UserError, match=r"mine:forgetful: its loss has shape \(0,\), not \(6,\).* READS"):
        fit(tmp_path, forgetful, make_examples(6))
