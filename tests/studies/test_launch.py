"""How every claim is started: one command line, one check of the world, and what is chosen and told in the same way."""

import hashlib
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from studies import plot
from studies.assemble import Outcome
from studies.declare import declared
from studies.launch import Study, best_rate, launch, run_claim, told, world_digest
from studies.record import contrast, read_claim
from studies.units import Unit
from tests.studies.made import made_claim
from windvane.core.errors import UserError
from windvane.runs.store import file_sha256

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "studies" / "declarations").glob("*.toml"))


def verb_of(name):
    """What `python -m studies.NAME` runs: its __main__ hands it to `start`."""
    with pytest.MonkeyPatch.context() as patch:
        calls = []
        patch.setattr("studies.launch.start", lambda module, main: calls.append((module, main)))
        module = f"studies.{name.replace('-', '_')}"
        runpy.run_module(module, run_name="__main__")
    ((named, main),) = calls
    assert named == module
    return main


def test_python_m_runs_a_study_and_refuses_in_one_line():
    """In a process of its own: --help ends with 0, a wrong argument with one line and 2."""
    run = partial(subprocess.run, capture_output=True, text=True, cwd=ROOT)
    shown = run([sys.executable, "-m", "studies.longpo_weight", "--help"])
    assert shown.returncode == 0 and "usage: python -m studies.longpo_weight" in shown.stdout
    wrong = run([sys.executable, "-m", "studies.sppo", "--workers", "0"])
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "windvane: --workers: 0; must be at least 1\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_reads_its_own_declaration_and_checks_its_world(name, tmp_path, monkeypatch):
    found = {}

    def run_claim(d, seeds, study, out, workers, is_reduced):
        found[is_reduced] = d, seeds, str(out), study
        return made_claim()

    monkeypatch.setattr("studies.launch.run_claim", run_claim)
    verb = verb_of(name)
    assert verb(["--workers", "1"]) == verb(["--reduced", "--seeds", "2", "--workers", "1"]) == 0
    d, seeds, out, study = found[False]
    assert d == declared(name) and seeds == d.seeds and out == f"runs/claim-{name}"
    assert study.world_sha256() == d.world_sha256, "the world is the declared one"
    small, few, _, _ = found[True]
    assert few == small.seeds[:2] and not {*d.seeds, d.development_seed} & set(small.seeds)
    assert small.primary == d.primary and set(small.arms) < set(d.arms) and len(small.learning_rates) == 1
    with pytest.raises(UserError, match="--workers: 0"):
        verb(["--workers", "0"])
    with pytest.raises(UserError, match=r"--seeds: 9; .* declares 5"):
        verb(["--seeds", "9"])


@pytest.mark.parametrize("name", NAMES)
def test_another_world_is_refused(name, tmp_path, monkeypatch):
    def opened(path):
        raise AssertionError("the claim started")

    monkeypatch.setattr("studies.launch.RunFolder", opened)
    monkeypatch.setattr("studies.launch.declared", lambda name: replace(declared(name), world_sha256="0" * 64))
    with pytest.raises(UserError, match=rf"{name}: .* is not the world that was declared .*declarations/{name}\.toml"):
        verb_of(name)(["--out", str(tmp_path / "run")])


def work(unit, folder):
    return {"right": unit.settings["right"]}


def test_a_study_from_its_units_to_its_files(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(plot.FIGURES, "sppo")
    d = replace(declared("sppo"), world_sha256="ab", arms={a: declared("sppo").arms[a] for a in ("sppo", "dpo")})

    def outcome(d, seeds, shop):
        units = [Unit(f"{a}-{s}", {"right": [x, x, 0.5]}) for a, x in (("sppo", 0.8), ("dpo", 0.6)) for s in seeds]
        results = shop.run(units)
        right = {a: [results[f"{a}-{s}"]["right"] for s in seeds] for a in d.arms}
        chosen = {a: {"learning_rate": 1e-3, "sweep": {}} for a in d.arms}
        per_seed = {a: [sum(r) / 3 for r in found] for a, found in right.items()}
        return Outcome(chosen, results, per_seed, right, [], {})

    study = Study("", work, lambda d: d, lambda: "ab", outcome)
    claim = run_claim(d, (1, 2), study, tmp_path / "run", 1, True)
    kept = read_claim(tmp_path / "run" / "claim.json")
    assert kept.arms == claim.arms and kept.per_seed["sppo"] == [0.7, 0.7]
    assert claim.interval == contrast([[0.8, 0.8, 0.5]] * 2, [[0.6, 0.6, 0.5]] * 2) and claim.reduced
    assert claim.per_seed["sppo"] == pytest.approx([0.7, 0.7]) and claim.spread["dpo"] == pytest.approx(0)
    assert claim.arms["dpo"]["seeds"] == [1, 2] and claim.code_version and (tmp_path / "run/sppo-arms.svg").exists()
    before = (tmp_path / "run/claim.json").read_text()
    run_claim(d, (1, 2), study, tmp_path / "run", 1, True)
    assert "4 of 4 units stand already" in capsys.readouterr().err
    assert (tmp_path / "run/claim.json").read_text() == before
    with pytest.raises(UserError, match="is not the world"):
        run_claim(d, (1, 2), replace(study, world_sha256=lambda: "cd"), tmp_path / "other", 1, True)


def test_the_rate_is_the_best_then_the_tie_then_the_lowest():
    d = replace(declared("sppo"), learning_rates=(1e-3, 2e-4, 5e-4))
    worth = {2e-4: 0.6, 5e-4: 0.7, 1e-3: 0.7}
    assert best_rate(d, worth.get) == {"learning_rate": 5e-4, "sweep": {"0.0002": 0.6, "0.0005": 0.7, "0.001": 0.7}}
    assert best_rate(d, worth.get, lambda lr: lr)["learning_rate"] == 1e-3
    assert best_rate(d, lambda lr: 0.5)["learning_rate"] == 2e-4
    assert best_rate(replace(d, learning_rates=(1e-3,)), worth.get) == {"learning_rate": 1e-3, "sweep": {}}


def test_a_world_is_hashed_by_its_files_and_what_it_says(tmp_path):
    (tmp_path / "a").write_text("weights")
    expected = hashlib.sha256((file_sha256(tmp_path / "a") + '["x"]' + '[1,"é"]').encode()).hexdigest()
    assert world_digest(tmp_path, ("a",), [["x"], [1, "é"]]) == expected
    assert world_digest(tmp_path, ("a",), [["x"], [2, "é"]]) != expected
    (tmp_path / "a").write_text("other weights")
    assert world_digest(tmp_path, ("a",), [["x"], [1, "é"]]) != expected


def test_what_the_terminal_shows():
    lines = told(made_claim()).splitlines()
    assert lines[1].split() == ["sppo", "0.710", "0.010", "0.700", "0.710", "0.720"]
    assert lines[3].split() == ["other", "0.525", "-", "0.500", "0.550"]
    assert lines[4] == "sppo - dpo: +0.100 [+0.050, +0.150]: holds"
    assert lines[5].split(None, 1) == ["undecided", "it rises (+0.1 [-0.1, +0.3])"]
    assert json.dumps(lines)
    one = replace(made_claim(), interval=replace(made_claim().interval, low=None))
    assert "no interval from one seed" in told(one)


def test_help_names_the_claim_and_its_flags(capsys):
    with pytest.raises(SystemExit):
        launch("sppo", ["--help"], Study("About it.", work, None, None, None))
    shown = capsys.readouterr().out
    assert "python -m studies.sppo" in shown and "About it." in shown
    assert all(flag in shown for flag in ("--seeds", "--out", "--workers", "--reduced"))
