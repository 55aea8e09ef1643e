"""A file that a user named is never lost: a verb that writes a single file refuses one that is something else, and may be given again."""

import json

import pytest

from tests.datasets.test_export import write_run
from windvane.cli.main import main
from windvane.core.errors import UserError
from windvane.runs.store import write_new

TALK = "Examiner: Where do you live?\nCandidate: I live in a small town by the sea and I like it a lot, because it is quiet.\n"


@pytest.fixture
def room(tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    (tmp_path / "talk.txt").write_text(TALK)
    (tmp_path / "dear.jsonl").write_text('{"years": "of work"}\n')
    (tmp_path / "lone.csv").write_text("years,of,work\n")
    (tmp_path / "dear.parquet").write_bytes(b"years of work")
    (tmp_path / "dear.toml").write_text("years = 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


VERBS = {  # a command, whose --out is OUT; what stands there already
    "export run --format trl --out OUT": "dear.jsonl",
    "export run --format trl --iteration 1 --out OUT": "dear.parquet",
    "data transcripts talk.txt --part 1 --out OUT": "dear.jsonl",
    "data transcripts talk.txt --part 1 --quarantine OUT": "dear.jsonl",
    "score talk.txt --part 1 --out OUT": "lone.csv",
}


@pytest.mark.parametrize("command", VERBS)
def test_what_stands_there_is_not_lost(room, capsys, command):
    held = VERBS[command]
    before = {p: p.read_bytes() for p in room.rglob("*") if p.is_file()}
    assert main([held if w == "OUT" else w for w in command.split()]) == 2
    line = capsys.readouterr().err.strip()
    assert len(line.splitlines()) == 1 and held in line and "is there already" in line and "name a new file" in line
    assert {p: p.read_bytes() for p in room.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("command", [c for c in VERBS if "import" not in c])
def test_the_same_command_may_be_given_again(room, command):
    argv = [f"new{VERBS[command][4:]}" if w == "OUT" else w for w in command.split()]
    assert main(argv) == 0 and main(argv) == 0


def test_what_is_read_is_not_written_over(room, capsys):
    (room / "talks.jsonl").write_text(json.dumps({"transcript": TALK, "part": 1}) + "\n")
    before = (room / "talks.jsonl").read_bytes()
    assert main(["score", "talks.jsonl", "--out", "talks.csv"]) == 2
    assert "would be written over talks.jsonl, which is read" in capsys.readouterr().err
    assert (room / "talks.jsonl").read_bytes() == before


def test_a_picture_is_drawn_again_and_nothing_else_is(tmp_path):
    plot = tmp_path / "plot.svg"
    write_new(plot, "<svg>1</svg>", redrawn="<svg")
    write_new(plot, "<svg>2</svg>", redrawn="<svg")
    assert plot.read_text() == "<svg>2</svg>"
    plot.write_text("a list of years")
    with pytest.raises(UserError, match="is something else"):
        write_new(plot, "<svg>2</svg>", redrawn="<svg")
    with pytest.raises(UserError, match="is something else"):
        write_new(tmp_path, "<svg>2</svg>", redrawn="<svg")
