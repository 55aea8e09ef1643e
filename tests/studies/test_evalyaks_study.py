"""The EvalYaks claim end to end at a reduced size, and its rules on planted numbers."""

import numpy as np
import pytest

from studies.declare import declared
from studies.evalyaks.findings import findings
from studies.evalyaks.measure import UNTRAINED, affine, measured, median_bands
from studies.evalyaks.study import (
    choose,
    fresh_units,
    gather,
    main,
    plain_unit,
    reduced,
    sweeps,
    trained,
    trained_unit,
)
from tests.studies.made import run_reduced
from windvane.evalyaks.splits import HELD, TEST
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, Turn


@pytest.mark.slow
def test_one_seed_at_reduced_size(tmp_path, capsys):
    claim = run_reduced(main, "evalyaks", 2, tmp_path / "run", capsys)
    assert set(claim.per_seed) == {"lora", *UNTRAINED} and claim.primary == ("lora", "affine")
    assert len(claim.per_prompt["lora"][0]) == len(claim.per_prompt["affine"][0]) == 40
    arms = claim.figures["arms"]
    assert arms["affine"]["dov"][0] < arms["base"]["dov"][0], "the base is lenient: a line mends that much"
    assert arms["constant"]["qwk"][0] == 0 and len(arms["lora"]["parts"][0]["dov"]) == 4
    assert {p.name for p in (tmp_path / "run").glob("*.svg")} == {"evalyaks-arms.svg", "evalyaks-parts.svg"}


def record(part, number, **scores):
    return Transcript.of(part, [Turn("candidate", f"word {number}")], scores=scores)


def whole(bands):
    """One record a part and band, the same band for every criterion."""
    return [record(part, b, **dict.fromkeys(PART_CRITERIA[part], float(b))) for part in PART_CRITERIA for b in bands]


def test_an_affine_map_and_a_median_by_hand():
    records = whole((1, 2, 3, 4))
    told = [{c: 3.0 + 0.5 * v for c, v in r.scores.items()} for r in records]
    lines = affine(records, told)
    assert lines[1, "GV"] == pytest.approx((2.0, -6.0)) and len(lines) == 10
    constant = affine(records, [dict.fromkeys(r.scores, 4.0) for r in records])
    assert constant[3, "IC"] == pytest.approx((0.0, 2.5)), "a rater who says one thing tells the mean"
    assert median_bands(records)[2, "DM"] == 3.0, "2.5, halves up"


def test_measures_by_hand():
    """Bands 1 to 4 in each part. Told: right, one up, two up on one criterion, nothing."""
    records = whole((1, 2, 3, 4))
    told = []
    for r in records:
        own = dict(r.scores)
        band = own["GV"]
        told.append(
            own if band == 1
            else {c: v + 1 for c, v in own.items()} if band == 2
            else {**own, "DM": 5.0} if band == 3
            else None
        )  # fmt: skip
    found = measured({TEST: (records, told), HELD: (records, [dict(r.scores) for r in records])})
    assert found["accurate"] == 0.25 and found["acceptable"] == 0.75 and found["strict"] == 0.5
    # parts 1, 2: (0 + 1 + 2/2 + 4)/4; parts 3, 4: (0 + 1 + 2/3 + 4)/4
    assert found["parts"]["dov"] == pytest.approx([1.5, 1.5, 17 / 12, 17 / 12])
    assert found["dov"] == pytest.approx((1.5 + 17 / 12) / 2)
    assert sum(found["per_prompt"]) == 12 and len(found["per_prompt"]) == 16
    assert found["held_out"] == {"acceptable": 1.0, "dov": 0.0}


def result(acceptable, dov, held=0.2):
    return {
        "acceptable": acceptable,
        "dov": dov,
        "strict": acceptable - 0.1,
        "held_out": {"dov": held, "acceptable": 1.0},
    }


def test_the_rate_is_the_best_of_the_sweep_and_untrained_arms_have_none():
    d = declared("evalyaks")
    assert trained(d) == ["lora", "full", "merged"] and len(sweeps(d)) == 9
    results = {u.key: result(0.8, 0.5) for u in sweeps(d)}
    results[trained_unit(d, "lora", 6e-3, d.development_seed).key] = result(0.9, 0.6)
    results[trained_unit(d, "full", 3e-3, d.development_seed).key] = result(0.8, 0.4)
    chosen = choose(d, results)
    assert [chosen[a]["learning_rate"] for a in ("lora", "full", "affine")] == [6e-3, 3e-3, 0.0]
    assert chosen["lora"]["sweep"] == {"0.001": 0.8, "0.003": 0.8, "0.006": 0.9} and not chosen["base"]["sweep"]
    units = fresh_units(d, d.seeds, chosen)
    assert len(units) == 5 + 3 * 5 and all(u.settings["seed"] in d.seeds for u in units)
    plain = {plain_unit(d, s).key: {"arms": dict.fromkeys(UNTRAINED, s)} for s in d.seeds}
    runs = gather(d, d.seeds, chosen, {**plain, **{u.key: u.settings["seed"] for u in units if u.settings["arm"]}})
    assert runs["affine"] == runs["lora"] == runs["full"] == list(d.seeds)
    assert choose(reduced(d), {})["lora"] == {"learning_rate": 3e-3, "sweep": {}}


def test_rules_of_the_findings():
    runs = {
        "lora": [result(0.9 + e, 0.4 - e) for e in (0.0, 0.01, 0.02)],
        "affine": [result(0.8 + e, 0.7) for e in (0.0, 0.01, 0.02)],
        "base": [result(0.5, 1.2 + e) for e in (0.0, 0.01, 0.02)],
        "weight-free": [result(0.9 + e, 0.3) for e in (0.02, -0.01, 0.03)],
        "constant": [result(0.6, 1.1)] * 3,
    }
    told = {f.statement: f for f in findings(declared("evalyaks"), runs)}
    verdicts = {s: f.verdict for s, f in told.items()}
    assert verdicts["LoRA's degree of variation is lower than the recalibrated base's"] == "holds"
    assert verdicts["LoRA's degree of variation is lower than the weight-free baseline's"] == "does not hold"
    assert verdicts["LoRA's acceptable accuracy is above the weight-free baseline's"] == "undecided"
    assert verdicts["an affine recalibration alone raises the base's acceptable accuracy"] == "holds"
    assert not any("all weights" in s for s in verdicts), "arms that did not run are left out"
    share = next(f for s, f in told.items() if s.startswith("how much"))
    assert share.numbers.startswith(f"{np.mean([0.3 / 0.4, 0.31 / 0.41, 0.32 / 0.42]):.2f} of")
