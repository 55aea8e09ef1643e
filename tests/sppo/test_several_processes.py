"""A whole run under torchrun: the same rows as one process's, training to rounding, and a run that was killed is the run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import launcher

REDUCED = [
    "--iterations", "1", "--prompts-per-iteration", "24", "--batch-prompts", "8", "--evaluate.count", "12", "--evaluate.batch-prompts", "6",
    "--train.batch", "6", "--train.evaluate-every", "1", "--train.keep", "best", "--threads", "1", "--quiet",
]  # fmt: skip


def start(out, several=True, **more):
    command = [sys.executable, *(launcher(2) if several else ()), "-m", "windvane", "demo", "--out", str(out), *REDUCED]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **more}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(out, several=True, **more):
    process = start(out, several, **more)
    _, told = process.communicate(timeout=280)
    assert process.returncode == 0, told[-3000:]
    return out


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "iter-1/train/metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_run_as_one_and_resume(tmp_path):
    alone, both = finished(tmp_path / "alone", several=False), finished(tmp_path / "both")
    for name in (
        "recipe.toml",
        "iter-1/responses.jsonl",
        "iter-1/verdicts.jsonl",
        "iter-1/groups.jsonl",
        "iter-1/reference.jsonl",
    ):
        assert (alone / name).read_text() == (both / name).read_text(), name
    assert losses(both) == pytest.approx(losses(alone), rel=1e-4)
    assert losses(both) != losses(alone), "control: the batches were shared out, or no bit would differ"
    assert losses(finished(tmp_path / "shards", WINDVANE_SHARD="1")) == pytest.approx(losses(alone), rel=1e-4)
    killed = tmp_path / "killed"
    process = start(killed)
    while process.poll() is None and not list(killed.glob("iter-1/train/checkpoints/step-*")):
        time.sleep(0.002)
    children = [int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.kill(children[0], signal.SIGKILL)
    _, told = process.communicate(timeout=100)
    lines = [line for line in told.splitlines() if line.startswith("windvane:")]
    assert process.returncode and len(lines) == 1 and "another process of this training ended" in lines[0], told[-3000:]
    assert (finished(killed) / "manifest.json").read_text() == (both / "manifest.json").read_text()


@pytest.mark.slow
def test_a_mistake_is_one_line(tmp_path):
    command = [
        sys.executable,
        *launcher(2),
        "-m",
        "windvane",
        "run",
        "sppo",
        "--model",
        "nowhere/at-all",
        "--prompts",
        str(tmp_path / "absent.jsonl"),
    ]
    done = subprocess.run(
        [*command, "--judge", "world:styles:proxy", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode and len([line for line in done.stderr.splitlines() if line.startswith("windvane:")]) == 1, (
        done.stderr[-3000:]
    )
