"""What people do is on disk before they are told so, whatever happens next."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from windvane.core.errors import UserError
from windvane.runs.store import read_jsonl
from windvane.serve.vote_log import Ledger, hold

WRITER = """
import sys
from windvane.serve.vote_log import Ledger
ledger = Ledger(__import__("pathlib").Path(sys.argv[1]))
n = len(ledger.rows)
while True:
    ledger.add({"n": n, "text": "word " * 200})
    print(n, flush=True)
    n += 1
"""


def test_rows_come_back(tmp_path):
    ledger = Ledger(tmp_path / "a.jsonl")
    for n in range(3):
        assert ledger.add({"n": n, "text": "é\n\u2028"}) is None
    ledger.close()
    assert [row["n"] for row in Ledger(tmp_path / "a.jsonl").rows] == [0, 1, 2]
    assert next(row for _, row in read_jsonl(tmp_path / "a.jsonl"))["text"] == "é\n\u2028"


@pytest.mark.parametrize("torn", [b'{"n": 1', b'{"n": 1}', b"\x00\x00", b'{"n": "\xc3'])
def test_a_torn_last_line_is_cut(tmp_path, torn):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 0}\n' + torn)
    ledger = Ledger(path)
    assert ledger.rows == [{"n": 0}]
    ledger.add({"n": 5})
    assert path.read_bytes() == b'{"n": 0}\n{"n":5}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 0}\n[1]\n{"n": 2}\n')
    with pytest.raises(UserError, match=r"a\.jsonl: row 2: not a JSON object"):
        Ledger(path)


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """SIGKILL in the middle of writing, three times on the same file: every acknowledged row is there, none twice."""
    path, told = tmp_path / "a.jsonl", -1
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(7):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        rows = [row["n"] for row in Ledger(path).rows]
        assert rows == list(range(len(rows))) and len(rows) > told


def test_a_write_that_fails_is_taken_back(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "a.jsonl")
    ledger.add({"n": 0})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ledger.add({"n": 1})
    monkeypatch.undo()
    ledger.add({"n": 2})
    assert [row["n"] for row in Ledger(ledger.path).rows] == [0, 2] == [row["n"] for row in ledger.rows]


def test_threads_do_not_mix_lines(tmp_path):
    ledger = Ledger(tmp_path / "a.jsonl")
    threads = [
        threading.Thread(target=lambda k=k: [ledger.add({"k": k, "n": n, "text": "x" * 3000}) for n in range(20)])
        for k in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = Ledger(ledger.path).rows
    assert sorted((r["k"], r["n"]) for r in rows) == [(k, n) for k in range(5) for n in range(20)]


def test_one_process_holds_the_folder(tmp_path):
    with hold(tmp_path / "data"), pytest.raises(UserError, match="another windvane serve"):
        hold(tmp_path / "data")
    with hold(tmp_path / "data"):
        pass


def test_refusing_is_decided_under_the_lock(tmp_path):
    ledger = Ledger(tmp_path / "a.jsonl")
    once = lambda rows: "there already" if rows else None  # noqa: E731
    assert ledger.add({"n": 0}, once) is None and ledger.add({"n": 1}, once) == "there already"
    assert len(ledger.rows) == 1
