"""Rubrics for a file of answers: the bench comes back through its reader and is graded; what cannot be read is kept."""

import json

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.janus.collection.rubrics import main
from windvane.judges.rubric_rows import read_bench
from windvane.runs.store import read_jsonl

WRITER = f"py:{__name__}:Writer"


class Writer:
    """A rubric by the value's first word; the first reply about "dry" is prose, every one about "blunt" is."""

    def __init__(self, sampling):
        pass

    def generate(self, prompts, indices, seed):
        return [[Response(f"{p.id}-{i}", p.id, i, self.reply(p.text, i), (), "stop") for i in indices] for p in prompts]

    def reply(self, text, index):
        word = text.split("<<< value ")[1].split("\n")[1].split(".")[0]
        if word == "blunt" or (word == "dry" and index == 0):
            return "I cannot say."
        return json.dumps(
            {"criteria": f"Is it {word}?", "score_descriptions": {str(i): f"{word} {i}" for i in range(1, 6)}}
        )


def samples(path, *words):
    rows = []
    for n, word in enumerate(words):
        items = [("style", word), ("depth", "deep")]
        values = [{"dimension": d, "subdimension": "s", "preference": p, "description": "Why."} for d, p in items]
        row = {"main_source": "koala", "original_source": "x", "preference_set": values}
        rows.append(row | {"system": f"You are {word}.", "prompt": f"Tell me {n}.", "output": "Well."})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_a_bench_of_ones_own(tmp_path, capsys):
    argv = [
        "--samples",
        str(samples(tmp_path / "s.jsonl", "warm", "dry", "blunt")),
        "--writer",
        WRITER,
        "--out",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert main(argv) == 0
    told = capsys.readouterr()
    assert "2 of 3 instances" in told.out and "6 calls, about" in told.err
    made = {i.system: i for i in read_bench(tmp_path / "out/bench.jsonl")}
    assert set(made) == {"You are warm.", "You are dry."}
    assert [r.criteria for r in made["You are dry."].rubrics] == ["Is it dry?", "Is it deep?"]
    assert made["You are warm."].reference == "Well." and made["You are warm."].source == "koala"
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["left_out"] == {"a value without a rubric": 1} and summary["rejected"] == {"not JSON": 1 + 3}
    rows = {row["reason"]: row for _, row in read_jsonl(tmp_path / "out/rubrics.jsonl") if row["reason"]}
    assert [r["text"] for r in rows["no rubric for 'blunt'"]["rejected"]] == ["I cannot say."] * 3
    assert main(argv) == 0 and "calls, about" not in capsys.readouterr().err, "a finished stage asks nothing"


def test_mistakes(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"empty\.jsonl: the file is empty"):
        main(["--samples", str(tmp_path / "empty.jsonl"), "--writer", WRITER, "--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match="attempts: 0"):
        main(["--samples", "x.jsonl", "--writer", WRITER, "--out", str(tmp_path / "out"), "--attempts", "0"])
