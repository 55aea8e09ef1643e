"""`windvane serve` on the command line: every wrong thing is one line and exit code 2, before a page is served."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from windvane.cli.main import main
from windvane.core.errors import UserError
from windvane.serve import command as verb
from windvane.serve.accounts import People, digest, read_tokens

LONG = "a-token-of-24-letters-xx"


def run(capsys, *argv):
    code = main(["serve", *argv])
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("windvane: "), said
    return code, said.err


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINDVANE_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--host", "0.0.0.0"], "tokens are needed; give --tokens FILE"),
        (["--host", "nowhere.invalid", "--tokens", "good"], "not an address of this machine"),
        (["--port", "99999"], "a port is 0 to 65535"),
        (["--port", "x"], "invalid int value"),
        (["--tokens", "missing"], "cannot be read"),
        (["--tokens", "short"], "row 1: a token needs 16 ASCII letters"),
        (["--tokens", "twice"], "row 2: 'asha' has a token already"),
        (["--tokens", "same"], "row 2: the same token as asha's"),
        (["--tokens", "words"], "row 1: expected NAME TOKEN, got 3 words"),
        (["--tokens", "empty"], "no tokens"),
        (["--certificate", "c"], "go together"),
        (["--certificate", "c", "--key", "k"], "--certificate c: no such file"),
        (["--model", "world:values"], "two models side by side, so name two"),
        (["--rate", "-1"], "must not be negative"),
        (["--body-bytes", "0"], "must be at least 1"),
        (["--max-new-tokens", "0"], "must be at least 1"),
        (["--nonsense"], "unrecognized arguments"),
        (["--data", "good"], "cannot write there"),
    ],
)
def test_flags_that_cannot_be(capsys, tmp_path, argv, told):
    files = {"good": f"asha {LONG}\n", "short": "asha abc\n", "twice": f"asha {LONG}\nasha {LONG}2\n", "same": f"asha {LONG}\nben {LONG}\n",
             "words": "asha b c\n", "empty": "# nobody\n"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    code, line = run(capsys, *argv)
    assert code == 2 and told in line
    assert LONG not in line


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--scorer", "missing.json"], "no scorer can be read"),
        (["--taxonomy", "missing.jsonl"], "no such file"),
        (["--queue", "missing.jsonl"], "cannot be read"),
        (["--levels", "missing.tsv"], "cannot be read"),
        (["--writer", "scripted:missing.jsonl"], "no such file"),
        (["--writer", "nonsense:x"], "not known"),
    ],
)
def test_files_that_are_not_there(capsys, argv, told):
    code, line = run(capsys, "--port", "0", *argv)
    assert code == 2 and told in line


def test_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, line = run(capsys, "--port", str(taken.getsockname()[1]))
    assert code == 2 and "cannot be taken on 127.0.0.1" in line and "--port" in line


def test_a_missing_extra_names_its_pip_line(capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(verb, "find_spec", lambda name: None if name == "fastapi" else real(name))
    code, line = run(capsys)
    assert code == 2 and "pip install 'windvane[serve]'" in line


def test_tokens(tmp_path, monkeypatch):
    path = tmp_path / "tokens"
    path.write_text(f"# people\n\nasha {LONG}\nben {LONG}-b\n")
    found = read_tokens(path, {"WINDVANE_TOKEN": f"{LONG}-c"})
    assert found == {digest(LONG): "asha", digest(f"{LONG}-b"): "ben", digest(f"{LONG}-c"): "owner"}
    people = People(found)
    assert people.owner_of(LONG) == "asha" and people.owner_of(LONG + "x") is None
    key = people.begin("asha")
    assert people.signed_in(key) == "asha" and key not in repr(vars(people))
    people.end(key)
    assert people.signed_in(key) is None
    with pytest.raises(UserError, match="WINDVANE_TOKEN: a token needs 16"):
        read_tokens(None, {"WINDVANE_TOKEN": "short"})


@pytest.mark.slow
def test_it_serves_until_it_is_stopped(tmp_path):
    """A real process: says where it is, answers, holds its folder against a second one, and ends with 0."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "windvane", "serve", "--data", "kept"]
    process = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        address = re.match(r"(http://127\.0\.0\.1:\d+)  \(Ctrl-C", process.stdout.readline())[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert b'"ok"' in opener.open(f"{address}/health", timeout=60).read()
        second = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, env=environment)
        assert second.returncode == 2 and "another windvane serve" in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0, process.stderr.read()
    assert process.stderr.read() == ""
