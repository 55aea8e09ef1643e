"""Ctrl-C, SIGTERM and kill -9 in the middle of a stage, of real processes: one line that holds the very command which goes on, the exit
code a shell expects, no traceback, and with that command an undisturbed run's bytes."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import tiny
from tests.finetune.rows import pairs, write
from windvane.cli.main import main
from windvane.core.interrupts import Interrupts

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", 9)

JUDGE = "import time\n\n\ndef f(prompt, a, b):\n    time.sleep(0.02)\n    return 0.9 if len(a) > len(b) else 0.2\n"
SHORT = "--iterations 1 --prompts-per-iteration 24 --batch-prompts 1 --sampling.k 3 --sampling.max-new-tokens 24 --train.warmup 0"
SEEN = "--evaluate.count 12 --evaluate.batch-prompts 1 --evaluate.max-new-tokens 16 --train.batch 4 --train.evaluate-every 2"
REST = "--threads 1 --device cpu --quiet --out OUT"
COMMANDS = {
    "run sppo": f"run sppo --model world:styles --prompts world:styles --judge world:styles:proxy {SHORT} {SEEN} {REST}",
    "train": "train --objective dpo --model model --data pairs.jsonl --train.epochs 12 --train.batch 2 --train.evaluate-every 2 "
    + REST,
    "generate": "generate prompts.jsonl --model model --k 2 --max-new-tokens 24 --batch-prompts 1 --device cpu --quiet --out OUT",
    "judge": "judge answers.jsonl --judge py:slowly:f --batch-pairs 1 --quiet --out OUT",
}
STAGE = {
    "run sppo": ("iter-1/responses", "iter-1/train", "iter-1/answers"),
    "train": ("iter-1/train",),
    "generate": ("iter-1/responses",),
    "judge": ("iter-1/verdicts",),
}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    here = tmp_path_factory.mktemp("room")
    tiny.folder(here / "model", window=256)
    pairs(here / "pairs.jsonl")
    write(here / "prompts.jsonl", [{"prompt": f"Say {i}."} for i in range(24)])
    write(here / "answers.jsonl", [{"prompt": f"Say {i}.", "responses": ["a", "two", "thrice"]} for i in range(20)])
    (here / "slowly.py").write_text(JUDGE)
    return here


@dataclass(frozen=True)
class Ended:
    code: int
    err: str
    stage: str


def heeding():
    """As from a terminal: a job that a shell's script starts in the background ignores Ctrl-C, and so would what it starts."""
    signal.signal(INT, signal.SIG_DFL)


def ended_in(room: Path, words: list[str], out: Path, stage: str, signals: tuple[int, ...]) -> Ended:
    """Start the command and signal it in the middle of `stage`, after its second unit."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(room)}
    process = subprocess.Popen(
        [sys.executable, "-m", "windvane", *words],
        cwd=room,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )
    deadline, at = time.monotonic() + 240, {"stage": ""}
    while process.poll() is None and time.monotonic() < deadline:
        try:
            at = json.loads((out / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            at = {"stage": ""}
        if at["stage"] == stage and at["pid"] == process.pid and at["done"] >= at["from"] + 2:
            break
        time.sleep(0.001)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    return Ended(process.returncode, err, at["stage"])


def going_on(found: Ended, code: int) -> list[str]:
    """The words that the line tells to go on with."""
    lines = found.err.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in found.err, found.err
    assert found.code in (code, 128 - code), (
        found.code
    )  # a second signal may end the interpreter itself: shells call that 130 too
    told = lines[0].rpartition("go on with: ")[2]
    assert lines[0].startswith("windvane: interrupted") and told.startswith("windvane "), lines[0]
    return shlex.split(told)[1:]


def same(calm: Path, other: Path) -> bool:
    ours, theirs = (json.loads((p / "manifest.json").read_text()) for p in (calm, other))
    assert not list(other.rglob("*.tmp")) and not list(other.rglob("*.journal"))
    return ours == theirs


CASES = [  # command, a stage and what it is sent there, one after the other, on one folder
    ("run sppo", [(0, (INT,)), (1, (TERM,)), (2, (INT, INT))]),
    ("train", [(0, (INT,)), (0, (TERM, TERM))]),
    ("generate", [(0, (INT,)), (0, (KILL,))]),
    ("judge", [(0, (KILL,)), (0, (TERM,))]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "blows"), CASES, ids=[name for name, _ in CASES])
def test_it_goes_on_to_the_same_bytes(room, tmp_path, monkeypatch, name, blows):
    monkeypatch.chdir(room)
    monkeypatch.syspath_prepend(room)
    calm, out = tmp_path / "a/run", tmp_path / "b/run"
    words = [str(out) if w == "OUT" else w for w in COMMANDS[name].split()]
    assert main([str(calm) if w == str(out) else w for w in words]) == 0
    told = words
    for which, signals in blows:
        found = ended_in(room, told, out, STAGE[name][which], signals)
        assert found.stage == STAGE[name][which], (found, "it was over before it could be disturbed")
        assert not (out / "manifest.json").exists()
        if signals != (KILL,):
            told = going_on(found, 128 + signals[0])
            assert told == words, "the very command"
    assert main(told) == 0
    assert same(calm, out)


def test_the_first_is_an_interrupt_and_the_second_ends_at_once(capsys, monkeypatch):
    monkeypatch.setattr("windvane.core.interrupts.os._exit", sys.exit)
    found = Interrupts(lambda: "windvane: interrupted")
    before = {n: signal.signal(n, h) for n, h in ((INT, signal.default_int_handler), (TERM, signal.SIG_DFL))}
    try:
        with found.heard():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(TERM)
            with pytest.raises(SystemExit) as ended:
                signal.raise_signal(INT)
        assert ended.value.code == 143 and found.tell() == 143
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err == "windvane: interrupted\n", "said once"


def test_a_verb_without_a_signal_leaves_the_handlers_alone():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_was_not_begun_is_not_called_kept(capsys, monkeypatch):
    monkeypatch.setattr("windvane.core.interrupts.OPENED", [])

    def stopped(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("windvane.report.status.main", stopped)
    assert main(["status", "a run"]) == 130
    told = "windvane: interrupted before anything was kept; begin again with: windvane status 'a run'\n"
    assert capsys.readouterr().err == told
