"""SPPO's variants run whole on the embedded world, small: each leaves in the run folder what it says."""

import dataclasses
import math
import shutil

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Group, Reference, Response, Verdict, seed_of
from windvane.runs.run import Run
from windvane.runs.store import read_jsonl, read_records
from windvane.sppo.loss_targets import with_loss_defaults
from windvane.sppo.recipe import run
from windvane.sppo.stages import SppoStages
from windvane.toy.demo import recipe
from windvane.train.batches import set_aside

pytestmark = pytest.mark.slow


def settings(iterations=1, objective="sppo", arguments=None, **changes):
    demo = recipe()
    arguments = {"eta": 10.0} if arguments is None else arguments
    train = dataclasses.replace(demo.train, objective=objective, objective_args=arguments, batch=8, epochs=1)
    evaluate = dataclasses.replace(demo.evaluate, count=8, answers=1)
    base = {"iterations": iterations, "prompts_per_iteration": 24, "train": train, "evaluate": evaluate}
    return dataclasses.replace(demo, **(base | changes))


def metrics(out, t=1):
    return [row for _, row in read_jsonl(out / f"iter-{t}" / "train" / "metrics.jsonl")]


def opened(out, made):
    """A finished run's stages, to look at what they read."""
    return SppoStages(Run(dataclasses.replace(made, threads=1), out, quiet=True, prepare=with_loss_defaults))


def groups(out, t=1):
    return read_records(out / f"iter-{t}" / "groups.jsonl", Group)


def test_inpo_with_a_slow_reference(tmp_path):
    """Three iterations, renewed every two: slow is pi_1 (the start), pi_1 again, then pi_3, which is the reference there."""
    made = settings(3, "inpo", {"eta": 0.1, "tau": 0.03}, answers="drawn", slow_every=2)
    run(made, str(tmp_path / "run"), quiet=True)
    slow, reference = (
        {
            t: {r.id: r.logps for r in read_records(tmp_path / f"run/iter-{t}/{name}.jsonl", Reference)}
            for t in (1, 2, 3)
        }
        for name in ("slow", "reference")
    )
    assert slow[1] == reference[1] and slow[3] == reference[3]
    assert set(slow[2]) == set(reference[2]) and slow[2] != reference[2]
    stages = opened(tmp_path / "run", made)
    trees = stages._examples(2)[:3]
    start = stages.policy(0).scorer(training=False)
    for e, nodes in zip(trees, start.logps([e.tree for e in trees])):
        for response, node in zip(e.response_ids, [n for n in nodes if n is not None][-2:]):
            assert slow[2][response] == pytest.approx(node.double().sum().item(), abs=1e-3), "the start's log-probs"
    # before the first step pi = pi_t: h = (tau/eta) (margin of pi_t - margin of slow), loss (h - 1/(2 eta))^2
    first = metrics(tmp_path / "run", 2)[0]
    assert first["split"] == "held-out" and first["step"] == 0
    _, held = set_aside(stages._examples(2), made.train.held_out, seed_of(made.seed, "train", 2))
    want = []
    for e in held:
        w, lost = e.response_ids
        margins = [table[w] - table[lost] for table in (reference[2], slow[2])]
        want.append((0.3 * (margins[0] - margins[1]) - 5.0) ** 2)
    assert first["loss"] == pytest.approx(math.fsum(want) / len(want), rel=1e-3)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    (tmp_path / "run/iter-2/slow.jsonl").unlink()
    run(made, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before, "the stage is made again, alone"


def test_drawn_pairs_are_the_judges(tmp_path):
    run(settings(answers="drawn"), str(tmp_path / "run"), quiet=True)
    found = [g for g in groups(tmp_path / "run") if g.status == "pair"]
    best = [max(g.members, key=lambda m: m.p_loo).index for g in found]
    assert len(found) > 15 and any(g.chosen != b for g, b in zip(found, best)), "not the best and worst"


def test_cross_fit(tmp_path):
    run(settings(answers="cross-fit"), str(tmp_path / "run"), quiet=True)
    found = groups(tmp_path / "run")
    assert {len(g.members) for g in found} == {3} and sum(g.status == "pair" for g in found) > 15


@pytest.mark.parametrize("ordered", [True, False])
def test_the_released_estimate(tmp_path, ordered):
    """Recomputed from verdicts.jsonl by hand: scores over K, then sigmoids of their differences."""
    estimate = "released" if ordered else "released-symmetrised"
    run(settings(estimate=estimate), str(tmp_path / "run"), quiet=True)
    told = read_records(tmp_path / "run/iter-1/verdicts.jsonl", Verdict)

    def logit(p):
        return math.log(p / (1 - p))

    for g in groups(tmp_path / "run")[:5]:
        s = [0.0] * 5
        for v in told:
            if v.prompt_id == g.id:
                gap = (logit(v.p_ab) - logit(v.p_ba)) if ordered else 2 * logit(v.p)
                s[v.a] += gap / 5
                s[v.b] -= gap / 5
        for m in g.members:
            wanted = sum(1 / (1 + math.exp(s[j] - s[m.index])) for j in range(5)) / 5
            assert m.p_incl == pytest.approx(wanted, rel=1e-6)
        assert g.chosen == max(range(5), key=lambda i: s[i]) and g.rejected == min(range(5), key=lambda i: s[i])


def test_equal_eta_gives_the_same_targets(tmp_path):
    run(settings(), str(tmp_path / "with"), quiet=True)
    run(settings(self_term=False, equal_eta=True), str(tmp_path / "without"), quiet=True)
    run(settings(self_term=False), str(tmp_path / "steeper"), quiet=True)
    ours, other, steeper = (metrics(tmp_path / n)[-1] for n in ("with", "without", "steeper"))
    assert other["chosen_target"] == pytest.approx(ours["chosen_target"], rel=1e-5)
    assert other["chosen_logratio"] == pytest.approx(ours["chosen_logratio"], rel=1e-3)
    assert steeper["chosen_target"] == pytest.approx(1.25 * ours["chosen_target"], rel=1e-5), (
        "5/4 without the self term"
    )


@pytest.mark.parametrize("targets", ["hard", "pair"])
def test_other_targets(tmp_path, targets):
    run(settings(targets=targets), str(tmp_path / "run"), quiet=True)
    row = metrics(tmp_path / "run")[0]
    if targets == "hard":
        assert (row["chosen_target"], row["rejected_target"]) == pytest.approx((5.0, -5.0)), "eta (1 - 1/2)"
    else:
        assert row["chosen_target"] == pytest.approx(-row["rejected_target"]), "P(w > l) and its complement"


@pytest.mark.parametrize(
    ("objective", "arguments"), [("dpo", {"beta": 0.1}), ("ipo", {"beta": 0.1}), ("sppo_hard", {})]
)
def test_other_losses_on_the_same_data(tmp_path, objective, arguments):
    """One flag: everything before training is byte for byte what SPPO's run has."""
    run(settings(), str(tmp_path / "sppo"), quiet=True)
    run(settings(objective=objective, arguments=arguments), str(tmp_path / objective), quiet=True)
    for name in ("prompts", "responses", "verdicts", "groups", "reference"):
        path = f"iter-1/{name}.jsonl"
        assert (tmp_path / "sppo" / path).read_bytes() == (tmp_path / objective / path).read_bytes()
    assert metrics(tmp_path / "sppo")[-1]["loss"] != metrics(tmp_path / objective)[-1]["loss"]


def test_two_answers_and_all(tmp_path):
    sampling = dataclasses.replace(recipe().sampling, k=2)
    run(settings(sampling=sampling), str(tmp_path / "two"), quiet=True)
    for g in groups(tmp_path / "two"):
        assert all(m.p_incl == pytest.approx((0.5 + m.p_loo) / 2) for m in g.members) and len(g.members) == 2
    run(settings(answers="all"), str(tmp_path / "all"), quiet=True)
    told = read_records(tmp_path / "all/iter-1/reference.jsonl", Reference)
    assert len(told) == 24 * 5, "every judged answer is trained on"


def test_stale_files_are_not_reused(tmp_path):
    """The released scripts go on with what generated/ and ranking/ hold. Here another prompt file, model or sampling on the same folder is
    refused, and answers that were cut short or lost are made again."""
    made = settings()
    run(made, str(tmp_path / "run"), quiet=True)
    with pytest.raises(UserError, match=r"started with other settings \(seed: 42 -> 43\)"):
        run(dataclasses.replace(made, seed=43), str(tmp_path / "run"), quiet=True)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    (tmp_path / "run/iter-1/responses.jsonl").unlink()
    shutil.copy(tmp_path / "run/iter-0/answers.jsonl", tmp_path / "run/iter-1/responses.journal")
    run(made, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_no_answer_is_cut_in_silence(tmp_path):
    """The released trainer keeps 512 tokens of an answer. Here the sampled ids are the trained ids, to the last."""
    run(settings(), str(tmp_path / "run"), quiet=True)
    stages = opened(tmp_path / "run", settings())
    sampled = {r.id: r.token_ids for r in read_records(tmp_path / "run/iter-1/responses.jsonl", Response)}
    found = stages._examples(1)
    for e in found:
        for leaf, response in zip(e.tree.leaves, e.response_ids):
            row = [i for n in e.tree.path(leaf) for i in e.tree.nodes[n].token_ids]
            assert tuple(row[-len(sampled[response]) :]) == sampled[response]
