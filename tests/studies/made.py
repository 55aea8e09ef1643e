"""A small claim with planted numbers, and the run of a claim at its reduced size."""

import pytest

from studies.declare import declared
from studies.record import Claim, Contrast, Finding, read_claim


def run_reduced(main, name, units, out, capsys) -> Claim:
    """One seed at the reduced size, what is true of every claim's, and again: nothing is done twice. `units`: of its last wave."""
    words = ["--seeds", "1", "--reduced", "--out", str(out), "--workers", "1"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "undecided" in told.out and f"[{units}/{units}]" in told.err and str(out / "claim.json") in told.out
    claim, d = read_claim(out / "claim.json"), declared(name)
    assert claim.claim == name and claim.seeds == (1,) and claim.reduced and claim.code_version.startswith("0.")
    assert claim.verdict == "undecided" and claim.interval.low is None, "one seed decides nothing"
    assert claim.primary == d.primary and claim.world_sha256 == d.world_sha256
    assert set(d.primary) == set(claim.per_prompt) <= set(claim.per_seed)
    assert all(len(values) == 1 for values in claim.per_seed.values())
    for arm, (values,) in claim.per_prompt.items():
        assert sum(values) / len(values) == pytest.approx(claim.per_seed[arm][0], abs=1e-5)
    before = (out / "claim.json").read_text()
    assert main(words) == 0
    assert f"{units} of {units} units stand already" in capsys.readouterr().err
    assert (out / "claim.json").read_text() == before
    return claim


def course(steps, last, average):
    return {
        "steps": steps,
        "last": last,
        "average": average,
        "last_per_seed": [last[-1]] * 3,
        "average_per_seed": [average[-1]] * 3,
    }


def game():
    names = ("sppo", "ipo", "dpo", "dpo-beta01", "dpo-fixed", "inpo-slow")
    rate = {"horizons": [16, 64], "gaps": [0.2, 0.1], "bounds": [0.5, 0.25], "slopes": [-0.5, -0.5, -0.5], "beyond": 0}
    courses = {name: course([1, 2], [0.3, 0.4], [0.3, 0.1]) for name in names}
    return {"start": 0.3, "exact": courses, "sampled": courses, "rate": rate}


def run(final):
    return {
        "win_rate": [0.5, 0.6, final],
        "proxy": [0.5, 0.65, 0.7],
        "length": [20.0, 22.0, 25.0],
        "kl": [0.0, 0.5, 1.0],
        "malformed": [0.02, 0.03, 0.04],
        "chosen": [0.2, 0.1],
        "rejected": [-0.5, -0.6],
    }


def made_claim() -> Claim:
    finals = {"sppo": [0.7, 0.71, 0.72], "dpo": [0.6, 0.61, 0.62], "other": [0.5, 0.55]}
    arms = {
        name: {
            "what": f"the arm {name}",
            "secondary": name == "other",
            "seeds": [1, 2, 3][: len(values)],
            "settings": {},
            "learning_rate": 5e-4,
            "sweep": {"0.0005": 0.7, "0.001": 0.6},
        }
        for name, values in finals.items()
    }
    cycle = {
        "kinds": [[0.2] * 5] * 3,
        "gap_last": [0.3, 0.2, 0.4],
        "gap_average": [0.3, 0.2, 0.1],
        "malformed": [0.0, 0.1, 0.2],
    }
    return Claim(
        claim="sppo",
        statement="SPPO beats DPO",
        metric="win rate",
        primary=("sppo", "dpo"),
        seeds=(1, 2, 3),
        per_seed=finals,
        mean={"sppo": 0.71, "dpo": 0.61, "other": 0.525},
        spread={"sppo": 0.01, "dpo": 0.01, "other": None},
        interval=Contrast(0.1, 0.05, 0.15, 3),
        verdict="holds",
        findings=[Finding("it rises", "undecided", "+0.1 [-0.1, +0.3]")],
        arms=arms,
        settings={
            "games": {
                "seeds": 3,
                "exact_steps": 2,
                "sampled_steps": 2,
                "budget": {"prompts": 8, "k": 5},
                "horizons": [16, 64],
            },
            "cycle": {"size": {"iterations": 2, "prompts": 8, "k": 5}, "seeds": 1},
        },
        world="world:styles",
        world_sha256="ab" * 32,
        declaration_sha256="cd" * 32,
        code_version="0.1.0+abc",
        reduced=False,
        seconds=600.0,
        cpu_seconds=900.0,
        figures={
            "styles": {arm: {k: [run(v)[k] for v in values] for k in run(0)} for arm, values in finals.items()},
            "games": {"cycle": game(), "transitive": game()},
            "cycle": {"sppo": [cycle]},
        },
        per_prompt={"sppo": [[0.7, 0.7]] * 3, "dpo": [[0.6, 0.6]] * 3},
    )
