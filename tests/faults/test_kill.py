"""kill -9 at any moment, the same command again: the finished run's files are byte-identical to an undisturbed run's."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

STAGES = {
    "generate": r"iter-\d/responses",
    "judge": r"iter-\d/verdicts",
    "reference": r"iter-\d/reference",
    "train": r"iter-\d/train",
    "evaluate": r"iter-\d/(answers|samples|evaluation)",
    "report": r"report",
}
REDUCED = [
    "--iterations", "2", "--prompts-per-iteration", "40", "--batch-prompts", "2", "--evaluate.count", "24", "--evaluate.batch-prompts", "2",
    "--evaluate.answers", "2", "--evaluate.temperature", "0.9", "--train.batch", "4", "--train.evaluate-every", "3", "--train.micro-tokens",
    "64", "--train.keep", "best", "--threads", "1", "--quiet",
]  # fmt: skip


def command(out):
    return [sys.executable, "-m", "windvane", "demo", "--out", str(out), *REDUCED]


def stage_of(out, pid):
    """The stage that process `pid` wrote last, or ''."""
    try:
        record = json.loads((out / "status.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return ""
    return record["stage"] if record["pid"] == pid else ""


def kill_in(out, pattern, delay):
    """Start the command, kill it `delay` seconds after it enters a stage; True if it was alive in that stage when killed."""
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if re.fullmatch(pattern, stage_of(out, process.pid)):
                time.sleep(delay)
                alive = process.poll() is None
                process.send_signal(signal.SIGKILL)
                process.wait()
                return alive and bool(re.fullmatch(pattern, stage_of(out, process.pid)))
            time.sleep(0.0005)
        assert process.poll() == 0, process.stderr.read().decode()[-2000:]
        return False
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_twenty_kills(tmp_path):
    calm, killed = tmp_path / "a" / "run", tmp_path / "b" / "run"
    subprocess.run(command(calm), check=True, stdout=subprocess.DEVNULL)
    live = dict.fromkeys(STAGES, 0)
    total = 0
    for name, pattern in STAGES.items():
        for attempt in range(9):
            if live[name] >= (4 if name in ("generate", "train", "evaluate") else 3):
                break
            live[name] += kill_in(killed, pattern, 0.0 if name in ("judge", "reference", "report") else 0.013 * attempt)
            total += 1
    assert all(count >= 2 for count in live.values()), live
    assert sum(live.values()) >= 20, live
    subprocess.run(command(killed), check=True, stdout=subprocess.DEVNULL)
    ours, theirs = ((p / "manifest.json").read_text() for p in (calm, killed))
    assert json.loads(ours) == json.loads(theirs)
    assert set(json.loads(ours)) == files_of(killed)
    no_trace(killed)


def files_of(run):
    left_out = {"manifest.json", "run.lock", "status.json", "timings.jsonl", "log.jsonl"}
    return {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()} - left_out


def no_trace(run):
    """Nothing that the manifest lists names the run folder, this machine or a date."""
    machine = os.uname().nodename
    for name in files_of(run):
        data = (run / name).read_bytes()
        assert str(run).encode() not in data, f"{name} names the run folder"
        if name.endswith(".safetensors"):
            continue
        text = data.decode()
        assert len(machine) < 4 or not re.search(rf"\b{re.escape(machine)}\b", text), f"{name} names this machine"
        assert not re.search(r"20[2-9]\d-[01]\d-[0-3]\d[T ]", text), f"{name} holds a date"
