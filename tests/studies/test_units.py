"""Units of a claim: done once, kept, taken up again, refused under other settings."""

import os
import signal
import subprocess
import sys
import time

import pytest

from studies.units import Unit, run_units
from windvane.core.errors import UserError


def work(unit, folder):
    if "waits" in unit.settings:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(unit.settings["waits"])
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
    first = run_units(units[:2], work, tmp_path, 1, "v1")
    assert [first[u.key]["twice"] for u in units[:2]] == [0, 2] and first["u1"]["seconds"] >= 0
    both = run_units(units, work, tmp_path, 1, "v2")
    assert [both[u.key]["code_version"] for u in units] == ["v1", "v1", "v2"], "who made what is known"
    assert both["u0"] == first["u0"] and both["u2"]["twice"] == 4
    assert calls(tmp_path) == ["u0", "u1", "u2"], "each was done once"
    told = capsys.readouterr().err
    assert "[1/2] u0, x 0" in told and "2 of 3 units stand already" in told and "[3/3] u2, x 2" in told
    assert not any((tmp_path / "work").iterdir())


def test_a_unit_that_stopped_goes_on_in_its_folder(tmp_path):
    units = [Unit("a", {"x": 1}), Unit("b", {"x": 2, "breaks": True})]
    with pytest.raises(UserError, match="killed here"):
        run_units(units, work, tmp_path, 1, "v1")
    found = run_units(units, work, tmp_path, 1, "v1")
    assert found["b"]["resumed"] and calls(tmp_path) == ["a", "b", "b"]


def test_other_settings_under_the_same_key_are_refused(tmp_path):
    run_units([Unit("a", {"x": 1})], work, tmp_path, 1, "v1")
    with pytest.raises(UserError, match=r"a\.json: was made with other settings"):
        run_units([Unit("a", {"x": 2})], work, tmp_path, 1, "v1")


@pytest.mark.slow
def test_in_processes_of_their_own(tmp_path):
    units = [Unit(f"u{x}", {"x": x}) for x in range(4)] + [Unit("b", {"x": 9, "breaks": True})]
    with pytest.raises(UserError, match="killed here"):
        run_units(units, work, tmp_path, 2, "v1")
    pids = {line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()}
    assert str(os.getpid()) not in pids
    found = run_units(units, work, tmp_path, 1, "v1")
    assert [found[f"u{x}"]["twice"] for x in range(4)] == [0, 2, 4, 6] and found["b"]["resumed"]


@pytest.mark.slow
def test_workers_leave_when_the_run_is_killed(tmp_path):
    code = (
        "from pathlib import Path\nfrom tests.studies.test_units import Unit, run_units, work\n"
        "if __name__ == '__main__':\n"
        f"    run_units([Unit(k, {{'x': 1, 'waits': 300}}) for k in 'ab'], work, Path({str(tmp_path)!r}), 2, 'v1')\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code])
    pids, start = [], time.monotonic()
    while len(pids) < 2 and time.monotonic() - start < 300:
        time.sleep(0.5)
        pids = [int(p.read_text()) for p in tmp_path.glob("work/*/pid") if p.read_text()]
    run.send_signal(signal.SIGKILL)
    run.wait()
    for _ in range(60):
        time.sleep(0.5)
        if not any(_alive(pid) for pid in pids):
            break
    assert len(pids) == 2 and not any(_alive(pid) for pid in pids)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
