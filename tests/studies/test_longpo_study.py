"""The LongPO claim end to end at a reduced size, and its rules on planted numbers."""

import shutil

import pytest
import torch

from studies import page
from studies.declare import declared
from studies.longpo import arm as longpo_run
from studies.longpo.findings import _rate, _weight, best_within, findings, matched
from studies.longpo.measure import Probe, Sizes
from studies.longpo.study import (
    choose,
    fixed,
    main,
    reduced,
    run_all,
    source_key,
    sweep_of,
    swept,
    unit_of,
    weight,
    work,
)
from studies.units import Unit, Workshop
from tests.studies.made import run_reduced
from windvane.longpo.recipe import toy_recipe
from windvane.models.load import load_model
from windvane.toy.facts.skill import nats_per_token


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "name"), [(main, "longpo"), (weight, "longpo-weight")])
def test_one_seed_at_reduced_size(verb, name, tmp_path, capsys):
    claim = run_reduced(verb, name, 2, tmp_path / "run", capsys)
    assert set(claim.per_seed) == {"longpo", "sft", "theta"} and len(claim.per_prompt["longpo"][0]) == 12
    recipe = (tmp_path / "run/data/longpo-0.0001-1/recipe.toml").read_text()
    assert f"\nlam = {5.12 if verb is weight else 0.1}\n" in recipe, "the weight that the data were made with"
    start = claim.figures["start"][0]
    assert start["kl"] == pytest.approx(0, abs=1e-6) and start["right"][0] > 0.9 and start["reversed"] > 0.9
    ends = claim.figures["arms"]
    assert ends["longpo"]["end"][0]["kl"] > 0 and ends["sft"]["end"][0]["kl"] != ends["longpo"]["end"][0]["kl"]
    # one epoch of 16 documents, one held out: 2 steps a round, each looked at, and each round's start
    assert [(p["round"], p["step"]) for p in ends["sft"]["points"][0]] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
    ]
    assert [(p["round"], p["step"]) for p in ends["theta"]["points"][0]] == [(1, 0), (2, 0)]
    first, last = ends["sft"]["points"][0][0], ends["theta"]["points"][0][0]
    assert first == last, "before the first step every arm is the start with theta raised"
    rounds = claim.figures["data"]["longpo"][0]
    assert len(rounds) == 2 and all(0 < r["asked"] <= r["yield"] <= 1 and r["right_chosen"] > 0.5 for r in rounds)
    (tmp_path / "docs" / "claims").mkdir(parents=True)
    shutil.copy(tmp_path / "run" / "claim.json", tmp_path / "docs" / "claims" / f"{name}.json")
    made = page.render(tmp_path / "docs")
    assert {f"claims/{name}-lengths.svg", f"claims/{name}-along.svg"} < set(made) and "`theta`" in made["claims.md"]


def end(right, back=1.0, kl=1.0, nats=2.0, each=(1.0, 0.0)):
    return {"right": right, "reversed": back, "kl": kl, "kl_token": kl / 4, "nats": nats, "each": list(each)}


def planted(monkeypatch, d, ends):
    """Every unit's result: `ends(unit)`; (units in the order run, results, chosen)."""
    seen = []

    def run_units(units, work, out, workers, version):
        seen.append(list(units))
        return {u.key: {"end": ends(u)} for u in units}

    monkeypatch.setattr("studies.units.run_units", run_units)
    return seen


def test_the_data_come_before_those_who_take_them(tmp_path, monkeypatch, capsys):
    d = declared("longpo")
    best = {"longpo": 2e-4, "sft": 5e-5}

    def ends(unit):
        good = best.get(unit.settings["arm"]) == unit.settings["lr"]
        return end([1.0, 1.0, 0.8, 0.9 if good else 0.3, 0.1])

    waves = planted(monkeypatch, d, ends)
    seeds = d.seeds[:3]
    _, chosen, development = run_all(d, seeds, Workshop(tmp_path, work, 1, "v"))
    assert development == source_key(2e-4, 900) == "longpo-0.0002-900"
    assert list(chosen) == list(d.arms)
    assert chosen["longpo"]["learning_rate"] == 2e-4 and chosen["sft"]["learning_rate"] == 5e-5
    assert chosen["dpo"] == {"learning_rate": 5e-5, "sweep": {"5e-05": 0.65, "0.0001": 0.65, "0.0002": 0.65}}
    assert chosen["theta"] == {"learning_rate": 0.0, "sweep": {}}
    assert chosen["sft-hot"]["learning_rate"] == chosen["longpo-hot"]["learning_rate"] == pytest.approx(8e-3)
    made: set[str] = set()
    for wave in waves:
        assert all(u.settings["data"] is None or u.settings["data"] in made for u in wave)
        made |= {u.key for u in wave}
    every = [u for wave in waves for u in wave]
    assert len(every) == len({u.key for u in every}) == 3 + 3 + 3 * 7 + 3 * 3 + 2 * 7
    hot = next(u for u in every if u.key.startswith("longpo-hot"))
    assert hot.settings["data"] == source_key(2e-4, 601) and hot.settings["arm"] == "longpo"
    assert {u.settings["data"] for u in every if u.settings["arm"] == "theta"} == {None}


def test_lost_data_are_made_again(tmp_path, monkeypatch, capsys):
    d = reduced(declared("longpo"))
    (tmp_path / "units").mkdir()
    keys = ["longpo-0.0001-1", "longpo-0.0001-2", "longpo-1.3-0.0001-1", "longpo-hot-0.008-1"]
    for key in keys:
        (tmp_path / "units" / f"{key}.json").write_text("{}")
    (tmp_path / "data" / keys[1]).mkdir(parents=True)
    planted(monkeypatch, d, lambda unit: end([1.0, 0.5, 0.1]))
    run_all(d, (1,), Workshop(tmp_path, work, 1, "v"))
    assert sorted(p.stem for p in (tmp_path / "units").iterdir()) == keys[1:]


def test_the_rate_is_the_best_of_long_and_short():
    d = declared("longpo")
    results = {u.key: {"end": end([1.0, 1.0, 1.0, 0.5, 0.0])} for u in sweep_of(d, swept(d), "longpo-0.0001-900")}
    higher = unit_of(d, "sft", 2e-4, 900, "longpo-0.0001-900").key
    results[higher]["end"] = end([0.6, 1.0, 1.0, 0.7, 0.0], back=0.4)  # long .7, short .5: .6 against .75
    assert choose(d, "sft", results, "longpo-0.0001-900")["learning_rate"] == 5e-5
    results[higher]["end"] = end([0.9, 1.0, 1.0, 0.7, 0.0], back=0.9)  # .8
    assert choose(d, "sft", results, "longpo-0.0001-900")["learning_rate"] == 2e-4
    assert choose(reduced(d), "sft", {}, None) == {"learning_rate": 1e-4, "sweep": {}}
    assert fixed(d, "sft-hot", 2e-4)["learning_rate"] == pytest.approx(8e-3)


def test_the_second_declaration_is_the_first_at_the_papers_ratio():
    first, second = declared("longpo"), declared("longpo-weight")
    same = ("metric", "primary", "secondary_seeds", "world", "world_sha256", "parts")
    assert all(getattr(first, name) == getattr(second, name) for name in same)
    assert not {*first.seeds, first.development_seed} & {*second.seeds, second.development_seed}
    paper = [0.01 * 0.1 / 2 * k * 1024 for k in (128, 256, 512)]  # lam beta |x_L| / 2
    lam = second.arms["longpo"].settings["lam"]
    ours = [lam * toy_recipe("world:facts").beta / 2 * int(n) for n in second.parts["size"]["lengths"].split(",")]
    assert ours == pytest.approx(paper) and paper[0] == pytest.approx(65.536)
    small = reduced(second)
    assert {a: arm.settings.get("lam") for a, arm in small.arms.items()} == {"longpo": 5.12, "sft": None, "theta": None}


def test_arms_of_another_weight_take_longpos_data(tmp_path, monkeypatch, capsys):
    d = declared("longpo-weight")
    waves = planted(monkeypatch, d, lambda unit: end([1.0, 1.0, 0.8, 0.9 if unit.settings["lr"] == 4e-4 else 0.3, 0.1]))
    _, chosen, development = run_all(d, d.seeds, Workshop(tmp_path, work, 1, "v"))
    assert development == "longpo-0.0004-910" and chosen["longpo-1.3"]["learning_rate"] == 4e-4
    every = {u.key: u.settings for wave in waves for u in wave}
    assert len(every) == 5 * 4 + 4 * 5 + 2 * 2
    assert [every[f"{a}-0.0004-621"].get("lam") for a in ("longpo", "longpo-1.3", "longpo-0.1", "sft")] == [
        5.12,
        1.3,
        0.1,
        None,
    ]
    assert every["longpo-0.0004-621"]["data"] is None
    assert all(every[f"{a}-0.0004-622"]["data"] == "longpo-0.0004-622" for a in ("longpo-1.3", "longpo-0.1", "sft"))
    told = []
    monkeypatch.setattr(longpo_run, "unit", lambda made, size, folder, keep: told.append((made, keep)) or {})
    folder = tmp_path / "work" / "any"
    for key in ("longpo-0.0004-621", "longpo-1.3-0.0004-621", "sft-0.0004-621"):
        work(Unit(key, every[key]), folder)
    assert [(m.lam, m.train.lr, m.seed) for m, _ in told] == [(lam, 4e-4, 621) for lam in (5.12, 1.3, 0.1)]
    made = tmp_path / "data" / "longpo-0.0004-621"
    assert [k for _, k in told] == [made, None, None] and [m.data for m, _ in told] == [None, str(made), str(made)]


def point(t, kl, long, short, step=0):
    return {"round": t, "step": step, "kl": kl, "long": long, "short": short}


def test_runs_are_read_within_the_same_drift():
    ours = [point(1, 0.2, 0.1, 1.0), point(1, 0.6, 0.5, 0.8), point(2, 0.7, 0.4, 0.8), point(2, 0.8, 0.5, 0.7)]
    other = [point(1, 0.2, 0.1, 1.0), point(1, 0.4, 0.2, 0.9), point(2, 2.0, 0.2, 0.9), point(2, 0.4, 0.9, 0.5)]
    level, a, b = matched(ours, other)
    assert level == 0.8, "ours drifts no further"
    assert a == ours[1], "the least drift of equally right points"
    assert b == other[3], "drift may shrink again"
    level, _, b = matched([point(1, 0.2, 0.1, 1.0), point(1, 1.2, 0.3, 0.9)], other)
    assert level == 1.2 and b == other[3]
    rising = [point(1, 0.2, 0.1, 1.0), point(1, 1.0, 0.9, 0.6)]
    assert best_within(rising, 0.6) == pytest.approx({"kl": 0.6, "long": 0.5, "short": 0.8}), "half of the way"
    apart = [point(1, 0.2, 0.1, 1.0), point(2, 1.0, 0.9, 0.6)]
    assert best_within(apart, 0.6) == apart[0], "no line between two rounds: theta jumps there"


def runs_of(**ends):
    points = [point(1, 0.0, 0.0, 1.0), point(1, 1.0, 0.5, 0.9)]
    return {arm.replace("_", "-"): [{"end": e, "points": points} for e in found] for arm, found in ends.items()}


def figures(runs):
    data = [[{"asked": 0.9, "yield": 1.0, "right_chosen": 0.9 + e, "right_rejected": 0.5}] for e in (0.0, 0.01)]
    start = [end([1.0, 0.0, 0.0], kl=0.0)] * 2
    return {"lengths": [128, 1024, 2048], "target": 1024, "start": start, "data": {"longpo": data}}


def test_rules_of_the_findings():
    near = [end([0.99, 0.6, 0.1], each=(1, 1, 0, 1)), end([0.99, 0.61, 0.11], each=(1, 1, 0, 1))]
    lost = [end([0.8, 0.3, 0.3], nats=2.1, each=(0, 0, 0, 0)), end([0.8, 0.31, 0.31], nats=2.1, each=(0, 0, 0, 0))]
    runs = runs_of(longpo=near, sft=lost, dpo=lost, theta=lost, sft_hot=lost, longpo_hot=[lost[0], near[0]])
    told = {f.statement: f.verdict for f in findings(runs, figures(runs))}
    assert told["LongPO's right answers at the longest trained length are above the start's"] == "holds"
    assert told["... above dpo's (seeds first, questions within)"] == "undecided", "three of four questions, two seeds"
    assert told["At 2048 tokens, never trained on, LongPO's right answers are above sft's"] == "does not hold"
    assert told["longpo keeps the short skills: it loses less than 0.05 of them"] == "holds"
    assert told["sft keeps the short skills: it loses less than 0.05 of them"] == "does not hold"
    assert told["LongPO keeps more of the short skills than dpo"] == "holds"
    assert told["LongPO's held-out nats a token on short documents rise by less than 0.02"] == "holds"
    assert told["Round 1: chosen answers are right more often than rejected ones"] == "holds"
    assert (
        told["Self-made questions are about their chunk at least 80% of the time, in every round and seed"] == "holds"
    )
    assert "(the best point of each run within it) LongPO keeps" in " ".join(told)
    # short: start 1, lost (0.8 + 1) / 2 = 0.9: a loss of 0.1 is not more than 0.1
    assert [f.verdict for f in _rate(runs, figures(runs))] == ["does not hold", "does not hold"]
    more = runs_of(sft_hot=[end([0.7, 0, 0]), end([0.6, 0, 0])], longpo_hot=[end([0.7, 0, 0]), end([1.0, 0, 0])])
    assert [f.verdict for f in _rate(more, figures(more))] == ["holds", "undecided"]


@pytest.fixture(scope="module")
def probe():
    torch.set_num_threads(1)
    return Probe(Sizes((128, 512), 6, 4), 512, 77)


def test_the_start_has_not_drifted(probe):
    model = probe.start.model
    found = probe.whole(model)
    assert found["kl"] == pytest.approx(0, abs=1e-6) and found["right"][0] == 1.0 and found["reversed"] == 1.0
    assert found["each"] == probe.right_each(model, 512) and len(found["each"]) == 6
    documents = [c.document for c in probe.cases[128]]
    assert found["nats"] == pytest.approx(nats_per_token(model, probe.tokenizer, documents), abs=1e-5)


def test_drift_is_the_mean_over_replies_of_the_kl_at_their_tokens(probe):
    """Against a plain forward; the other model is the start with its head's weights made smaller."""
    other = load_model("world:facts", "float32", "cpu").eval()
    with torch.no_grad():
        other.lm_head.weight *= 0.7
    kl, token = probe.drift(other)
    from windvane.engines.local import LocalGenerator, Sampling

    told = LocalGenerator(other, probe.tokenizer, Sampling(1, 1.0, 1.0, 12)).generate(probe.short, [0], 0)
    total, tokens = 0.0, 0
    for prompt, (reply,) in zip(probe.short, told):
        ids = torch.tensor([prompt.token_ids + reply.token_ids])
        rows = slice(len(prompt.token_ids) - 1, ids.shape[1] - 1)
        p, q = (m(input_ids=ids).logits[0, rows].detach().log_softmax(-1) for m in (other, probe.start.model))
        total, tokens = total + float((p.exp() * (p - q)).sum()), tokens + len(reply.token_ids)
    assert (
        len(told) == 4 and kl == pytest.approx(total / 4, rel=1e-3) and token == pytest.approx(total / tokens, rel=1e-3)
    )
    assert kl > 0.01


def test_rules_of_the_weights():
    """Two seeds, all gaps equal: the interval is a point. Below: more right than lam .1, as often as lam 1.3, fewer nats and more drift
    than SFT."""
    ours = [end([1.0, 0.8, 0.2], nats=2.0, kl=0.2)] * 2
    runs = runs_of(
        longpo=ours,
        sft=[end([1.0, 0.7, 0.2], nats=2.1, kl=0.1)] * 2,
    )
    assert _weight(runs, figures(runs)) == [], "the first claim has no other weight"
    runs["longpo-1.3"] = [{**r, "end": end([1.0, 0.8, 0.2], nats=2.0, kl=0.3)} for r in runs["longpo"]]
    runs["longpo-0.1"] = [{**r, "end": end([1.0, 0.3, 0.0], nats=1.9, kl=0.2)} for r in runs["longpo"]]
    told = [(f.statement, f.verdict, f.numbers) for f in _weight(runs, figures(runs))]
    assert [verdict for _, verdict, _ in told] == [
        "undecided", "holds",
        "holds", "undecided", "does not hold",  # nats against sft, 1.3, 0.1
        "does not hold", "holds", "undecided",  # KL
    ]  # fmt: skip
    assert told[1][2] == "LongPO - longpo-0.1 +0.500 [+0.500, +0.500], 2 seeds"
    assert (
        told[2][0] == "At its end LongPO has fewer held-out nats a token than sft"
        and "sft - LongPO +0.100" in told[2][2]
    )
    assert sum("At matched KL" in f.statement and "longpo-" in f.statement for f in findings(runs, figures(runs))) == 4
