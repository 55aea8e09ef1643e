"""A reader that goes away (`windvane eval list | head -1`) ends any verb quietly: real pipes, with and without Python's own buffer."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.finetune.rows import pairs
from windvane.runs.store import RunFolder

FULL = Path("/dev/full")
VERBS = ["--help", "--version", "eval --help", "eval list", "run sppo --help", "status run", "inspect pairs.jsonl"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    here = tmp_path_factory.mktemp("room")
    pairs(here / "pairs.jsonl")
    with RunFolder(here / "run") as run:
        run.status("iter-1/responses", 3, 10)
    return here


def environment(buffered):
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return kept if buffered else {**kept, "PYTHONUNBUFFERED": "1"}


def unread(command, room, buffered, errors_too=False):
    """(exit code, standard error) of a command whose standard output is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "windvane", *shlex.split(command)],
            cwd=room, stdout=writer, stderr=writer if errors_too else subprocess.PIPE, env=environment(buffered), timeout=120,
        )  # fmt: skip
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", VERBS)
def test_nobody_reads(room, command, buffered):
    assert unread(command, room, buffered) == (0, b"")


@pytest.mark.parametrize("command", ["--help", "inspect pairs.jsonl"])
def test_nobody_reads_what_is_wrong_either(room, command):
    assert unread(command, room, True, errors_too=True) == (0, None)


def test_what_is_wrong_is_still_told(room):
    """A fault is no closed pipe: its line and exit code stay, and the code where not even the line can be written."""
    assert unread("status nowhere", room, True) == (2, b"windvane: nowhere: no such folder\n")
    assert unread("status nowhere", room, True, errors_too=True) == (2, None)


def test_the_first_line_alone(room):
    """As a shell has it, with the verb's own exit code."""
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m windvane --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(True), timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "usage: windvane COMMAND [options]\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_one_line(buffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "windvane", "eval", "list"],
            stdout=full, stderr=subprocess.PIPE, env=environment(buffered), timeout=120,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"No space left on device" in done.stderr


def test_a_connection_that_was_cut_is_no_closed_pipe(monkeypatch, capsys):
    """Standard output is read, so it was something else that broke off: one line, exit code 2."""
    from windvane.cli.main import main

    def broken(argv):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("windvane.evals.catalog.main", broken)
    assert main(["eval", "list"]) == 2
    assert capsys.readouterr().err == "windvane: Broken pipe\n"
