"""`windvane status`: finished, running, stopped, not begun; rate and time left worked out by hand; how to go on."""

import json
import os
import subprocess
import sys

import pytest

from windvane.cli.main import main
from windvane.core.errors import UserError
from windvane.report.status import clock, lines, status
from windvane.runs.store import RunFolder


def record(run, **fields):
    base = {"stage": "iter-1/verdicts", "done": 30, "total": 90, "pid": os.getpid(), "time": 1e12, "since": 1000.0}
    base |= {"from": 10, "argv": ["run", "sppo", "--out", "a b"], "folder": "/home/me"}
    (run / "status.json").write_text(json.dumps(base | fields))


@pytest.fixture
def run(tmp_path):
    with RunFolder(tmp_path / "run") as held:
        held.timing("iter-1/responses", 60.0, 30.0, 4)
        held.timing("iter-1/responses", 5.0, 2.0, 1)
    return tmp_path / "run"


def test_rate_and_time_left_of_this_start(run):
    record(run)
    found = status(run, now=1010.0)  # 20 units in 10 s, 60 to go: what stood before this start is not in the rate
    assert found["state"] == "running"
    assert found["at"] == {"stage": "iter-1/verdicts", "done": 30, "total": 90, "rate": 2.0, "seconds_left": 30.0}
    assert found["stages"] == [{"stage": "iter-1/responses", "seconds": 65.0, "cpu_seconds": 32.0, "units": 5}]
    assert "iter-1/verdicts   30 of 90, 2 a second, 30 s left" in "\n".join(lines(found))


def test_stopped_says_how_to_go_on(run):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record(run, pid=ended.pid, time=1005.0)
    found = status(run, now=5000.0)
    assert found["state"] == "stopped" and found["at"]["rate"] == 4.0, "the rate is that of the time it ran"
    assert lines(found)[-1] == "goes on with (in /home/me): windvane run sppo --out 'a b'"
    assert "left" not in lines(found)[-2]


def test_another_process_of_the_same_number_is_not_the_run(run):
    record(run, time=5.0)  # long before this process began
    assert status(run, now=10.0)["state"] == "stopped"


def test_finished_and_not_begun(run):
    assert status(run, now=0.0)["state"] == "not begun"
    record(run, stage="done", done=1, total=1)
    assert status(run, now=0.0)["state"] != "finished", "without a manifest it is not"
    (run / "manifest.json").write_text("{}")
    found = status(run, now=0.0)
    assert found["state"] == "finished" and found["at"] is None


def test_what_the_store_writes_is_read(run, capsys):
    with RunFolder(run) as held:
        held.status("iter-2/train", 0, 50)
        held.status("iter-2/train", 5, 50)
    assert main(["status", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "running" and found["at"]["done"] == 5 and found["at"]["rate"] > 0


def test_bad_input_is_one_line(tmp_path, run):
    with pytest.raises(UserError, match="not a run folder"):
        status(tmp_path, 0.0)
    (run / "status.json").write_text("{")
    with pytest.raises(UserError, match="no status record"):
        status(run, 0.0)
    assert main(["status", str(tmp_path / "none")]) == 2


def test_clock():
    assert [clock(s) for s in (3.21, 42, 65, 7800)] == ["3.2 s", "42 s", "1 min 05 s", "2 h 10 min"]
