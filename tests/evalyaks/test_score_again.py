"""A scorer that was made again under its old name: rows that the old one scored are scored again, never passed off as the new one's."""

import csv
import dataclasses
import json
import os

import pytest

from windvane.evalyaks.scoring.command import main
from windvane.evalyaks.scoring.open import made_of
from windvane.evalyaks.scoring.weights import save, shipped

TALK = "Part 1\nExaminer: Where are you from?\nCandidate: I come from Pune, which is a big city, and I have always lived there.\n"


def moved(scorer, logits):
    """The same scorer with every threshold lower by `logits`: higher bands, the same words about it."""
    lines = tuple(dataclasses.replace(x, intercepts=tuple(t - logits for t in x.intercepts)) for x in scorer.lines)
    return dataclasses.replace(scorer, lines=lines)


def test_a_refitted_scorer_scores_again(tmp_path, capsys):
    source, out, scorer = tmp_path / "t.txt", tmp_path / "s.csv", tmp_path / "scorer.json"
    source.write_text(TALK)
    call = [str(source), "--scorer", str(scorer), "--out", str(out), "--json"]
    found = []
    for logits, fresh in ((0.0, 1), (0.0, 0), (20.0, 1)):
        save(moved(shipped(), logits), scorer)
        assert main(call) == 0
        assert json.loads(capsys.readouterr().out)["scored_now"] == fresh, logits
        with out.open(newline="") as handle:
            found.append(float(next(csv.DictReader(handle))["expected_GV"]))
    assert found[0] == found[1] and found[2] == pytest.approx(5, abs=0.01)


def test_a_folder_is_known_by_its_weights(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"one")
    first = made_of(f"local:{folder}")
    assert first == made_of(str(folder)) == made_of(str(folder)) != []
    os.utime(weights, ns=(1, 1))
    assert made_of(str(folder)) != first
    script = tmp_path / "answers.jsonl"
    script.write_text("{}")
    before = made_of(f"scripted:{script}")
    script.write_text('{"answer": "1"}')
    assert made_of(f"scripted:{script}") != before
    assert made_of("world:grades") == made_of("http://127.0.0.1:9/v1#m") == made_of("some-hub/model") == []
