"""The Janus claim end to end at a reduced size, and its rules on planted numbers."""

import json
import shutil

import pytest

from studies import page
from studies.declare import declared
from studies.janus.arm import Size, collection, settings, write_sets
from studies.janus.findings import findings, verdict_within
from studies.janus.study import choose, main, reduced, run_all, sweep_of, swept, unit_of, work
from studies.record import Contrast
from studies.units import Workshop
from tests.studies.made import run_reduced
from windvane.janus.collection_rows import read_preferences, read_samples
from windvane.toy.values import family as values
from windvane.toy.values.messages import UNIFORM, asked

SIZE = Size(20, 4, 2, 1, 8, 1, 4, 1, 1, 4)


@pytest.mark.slow
def test_one_seed_at_reduced_size(tmp_path, capsys):
    claim = run_reduced(main, "janus", 3, tmp_path / "run", capsys)
    assert set(claim.per_seed) == {"janus", "uniform", "start"} and len(claim.per_prompt["janus"][0]) == 24
    janus_run, uniform_run = (claim.figures["arms"][arm][0] for arm in ("janus", "uniform"))
    assert janus_run["adherence"]["seen"] > uniform_run["adherence"]["seen"], "even 40 steps teach something"
    assert uniform_run["shared"]["janus"] > janus_run["shared"]["janus"], "one message for all shares the whole prompt"
    (tmp_path / "docs" / "claims").mkdir(parents=True)
    shutil.copy(tmp_path / "run" / "claim.json", tmp_path / "docs" / "claims" / "janus.json")
    made = page.render(tmp_path / "docs")
    assert "claims/janus-splits.svg" in made and "unseen combinations" in made["claims.md"]


def test_arms_differ_in_their_system_messages_alone(tmp_path):
    many, uniform, shuffled = (collection(SIZE, which, 3) for which in ("many", "uniform", "shuffled"))
    assert len(many) == 60 and [(r.prompt, r.output) for r in many] == [(r.prompt, r.output) for r in uniform]
    assert [(r.prompt, r.output) for r in many] == [(r.prompt, r.output) for r in shuffled]
    assert {r.system for r in uniform} == {UNIFORM}
    assert sorted(r.system for r in many) == sorted(r.system for r in shuffled) and many != shuffled

    def follows(rows):
        return sum(values.satisfied(k, r.output) for r in rows for k in asked(r.system)) / (4 * len(rows))

    assert follows(many) == 1.0 and follows(shuffled) < 0.6
    assert collection(SIZE, "many", 4) != many == collection(SIZE, "many", 3)
    held = set(values.instructions(None, "held-out", 0))
    assert not held & {r.prompt for r in many}
    write_sets(many, tmp_path, 3)
    rows = {n: list(read_samples(tmp_path / f"sets/{n}.jsonl")) for n in ("sft", "sft-one", "sft-test")}
    pairs = list(read_preferences(tmp_path / "sets/pairs.jsonl"))
    assert [len(rows[n]) for n in rows] == [57, 19, 3] and len(pairs) == 19
    by_text = {(r.system, r.prompt): r.output for r in rows["sft"]}
    assert all(by_text[p.system, p.prompt] == p.chosen and p.rejected in by_text.values() for p in pairs)
    made = settings(SIZE, ["janus-star", "janus-dpo"], {"janus-star": 1e-3, "janus-dpo": 2e-3}, 3, tmp_path)
    assert made.train_of("janus-dpo").lr == 2e-3 and made.train_of("janus-star").lr == 1e-3 and made.seed == 3


def planted(monkeypatch, worth):
    seen = []

    def run_units(units, work, out, workers, version):
        seen.append(list(units))
        found = {}
        for u in units:
            all_four = {s: worth(u) for s in values.CASES}
            found[u.key] = {"all": all_four, "each": [1.0]}
            if u.settings["arm"]["models"][-1:] == ["reward"]:
                found[u.key]["accuracy"] = {"seen": 1 - worth(u)}
        return found

    monkeypatch.setattr("studies.units.run_units", run_units)
    return seen


def test_rates_are_chosen_in_their_order(tmp_path, monkeypatch, capsys):
    d = declared("janus")
    best = {"star": 5e-4, "janus": 4e-3}

    def worth(u):
        arm = u.key.split("-")[0]
        return 0.9 if best.get(arm) in u.settings["rates"].values() else 0.2

    waves = planted(monkeypatch, worth)
    _, chosen = run_all(d, d.seeds, Workshop(tmp_path, work, 1, "v"))
    assert list(chosen) == list(d.arms) and chosen["start"] == {"learning_rate": 0.0, "sweep": {}}
    assert chosen["janus"]["learning_rate"] == 4e-3 and chosen["star"]["learning_rate"] == 5e-4
    assert chosen["orpo"]["learning_rate"] == 5e-4, "the lowest of equals"
    every = {u.key: u for wave in waves for u in wave}
    assert len(every) == 9 * 3 + 3 * 5 + 7 * 3
    dpo, reward = every["dpo-0.0005-701"], every["reward-0.0005-701"]
    assert dpo.settings["rates"] == {"janus-dpo": 5e-4, "janus-star": 5e-4}
    assert reward.settings["rates"] == {"reward": 5e-4, "janus-1-epoch": 4e-3}
    assert "start-0-701" in every and not any(u.settings["seed"] == 300 and u.settings["whole"] for u in every.values())
    first = waves[0]
    assert {u.key.split("-")[0] for u in first} == {"janus", "uniform", "shuffled", "star", "orpo"}
    assert {u.key.rsplit("-", 3)[0] for u in waves[1]} == {"dpo", "dpo-low", "reward", "reward-900"}, (
        "after the arms before"
    )


def run(all_four, held=0.0, good=1.0, **more):
    return {
        "all": dict.fromkeys(values.CASES, all_four), "adherence": {"values": held}, "plain": {"good": good}, **more,
    }  # fmt: skip


def told(runs):
    return {f.statement: f for f in findings(runs)}


def test_findings_by_hand():
    two = [0.0, 0.02]
    runs = {
        "janus": [run(0.8 + e, held=0.1 + e, good=0.99 - e) for e in two],
        "uniform": [run(0.1, held=0.3) for _ in two],
        "start": [run(0.1, held=0.5 + e) for e in two],
        "shuffled": [run(0.1) for _ in two],
        "star": [run(0.5) for _ in two],
        "dpo": [run(0.4 + e) for e in two],
        "reward": [
            {"accuracy": dict.fromkeys(values.CASES, 0.9 + e),
             "best": {n: {"adherence": v, "all": 0.0} for n, v in (("1", 0.5), ("2", 0.6), ("4", 0.59))}}
            for e in two
        ],
    }  # fmt: skip
    found = told(runs)

    def verdict_of(start):
        (one,) = [f for s, f in found.items() if s.startswith(start)]
        return one.verdict

    assert verdict_of("On trained combinations in trained wordings") == "holds"
    # -0.2 and -0.18: mean -0.19, half-width 12.706 * 0.014142 / sqrt(2) = 0.127
    assert verdict_of("A value that training never shows is followed more often than by uniform") == "does not hold"
    assert "janus - uniform -0.190 [-0.317, -0.063], 2 seeds" in "".join(f.numbers for f in found.values())
    assert verdict_of("DPO on top") == "undecided"  # -0.1 and -0.08: half-width 0.127
    assert verdict_of("Shuffled messages leave something") == "undecided"
    assert verdict_of("Best-of-N rises with N") == "does not hold", "0.59 after 0.60"
    assert verdict_of("Best-of-4 shows more") == "holds"
    assert verdict_of("The reward model tells the right answer of two, unseen combinations") == "holds"
    assert verdict_within(Contrast(0.01, -0.02, 0.04, 5), 0.05) == "holds"
    assert verdict_within(Contrast(0.2, 0.1, 0.3, 5), 0.05) == "does not hold"
    assert (
        verdict_within(Contrast(0.04, 0.0, 0.08, 5), 0.05)
        == "undecided"
        == verdict_within(Contrast(0, None, None, 1), 0.05)
    )


def test_the_reduced_claim_looks_at_no_declared_seed():
    d, small = declared("janus"), reduced(declared("janus"))
    assert not {*d.seeds, d.development_seed} & set(small.seeds) and list(small.arms) == ["janus", "uniform", "start"]
    assert sweep_of(small, swept(small), {}) == [] and choose(small, "janus", {}, {})["learning_rate"] == 4e-3
    assert unit_of(small, "janus", 4e-3, 1, {}, True).key == "janus-0.004-1"
    assert json.dumps(unit_of(d, "start", 0.0, 701, {}, True).settings)
