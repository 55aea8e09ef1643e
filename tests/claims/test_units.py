"""Units of a claim: done once, kept, taken up again, refused under other settings."""

import os

import pytest

from windvane.claims.units import Unit, run_units
from windvane.errors import UserError


def work(unit, folder):
    with (folder.parents[1] / "calls").open("a") as handle:
        handle.write(f"{unit.key} {os.getpid()}\n")
    if unit.settings.get("breaks") and not (folder / "tried").exists():
        (folder / "tried").touch()
        raise UserError("killed here")
    return {"twice": 2 * unit.settings["x"], "told": f"x {unit.settings['x']}", "resumed": (folder / "tried").exists()}


def calls(out):
    return [line.split()[0] for line in (out / "calls").read_text().splitlines()]


def test_kept_and_not_done_again(tmp_path, capsys):
    units = [Unit(f"u{x}", {"x": x}) for x in range(3)]
    first = run_units(units[:2], work, tmp_path, 1)
    assert [first[u.key]["twice"] for u in units[:2]] == [0, 2] and first["u1"]["seconds"] >= 0
    both = run_units(units, work, tmp_path, 1)
    assert both["u0"] == first["u0"] and both["u2"]["twice"] == 4
    assert calls(tmp_path) == ["u0", "u1", "u2"], "each was done once"
    told = capsys.readouterr().err
    assert "[1/2] u0, x 0" in told and "2 of 3 units stand already" in told and "[3/3] u2, x 2" in told
    assert not any((tmp_path / "work").iterdir())


def test_a_unit_that_stopped_goes_on_in_its_folder(tmp_path):
    units = [Unit("a", {"x": 1}), Unit("b", {"x": 2, "breaks": True})]
    with pytest.raises(UserError, match="killed here"):
        run_units(units, work, tmp_path, 1)
    found = run_units(units, work, tmp_path, 1)
    assert found["b"]["resumed"] and calls(tmp_path) == ["a", "b", "b"]


def test_other_settings_under_the_same_key_are_refused(tmp_path):
    run_units([Unit("a", {"x": 1})], work, tmp_path, 1)
    with pytest.raises(UserError, match=r"a\.json: was made with other settings"):
        run_units([Unit("a", {"x": 2})], work, tmp_path, 1)


@pytest.mark.slow
def test_in_processes_of_their_own(tmp_path):
    units = [Unit(f"u{x}", {"x": x}) for x in range(4)] + [Unit("b", {"x": 9, "breaks": True})]
    with pytest.raises(UserError, match="killed here"):
        run_units(units, work, tmp_path, 2)
    pids = {line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()}
    assert str(os.getpid()) not in pids
    found = run_units(units, work, tmp_path, 1)
    assert [found[f"u{x}"]["twice"] for x in range(4)] == [0, 2, 4, 6] and found["b"]["resumed"]
