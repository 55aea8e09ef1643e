"""LongPO on real documents: the longest modules of the standard library that fit 16K and 32K tokens, through tiny random models, killed
once in each stage; the finished run is byte-identical to an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from tests.faults.test_kill import files_of, no_trace
from tests.longpo.long_modules import LIBRARY, modules, save_model, tokenizer

ROOT = Path(__file__).parents[2]
KILLS = [
    ["documents", 2],
    *[
        [f"iter-1/{name}", 1]
        for name in ("documents", "questions", "chosen", "rejected", "turns", "reference", "train")
    ],
    ["iter-1/kl-start", 0],
    ["iter-1/kl", 0],
    ["iter-1/retention", 0],
    ["iter-2/rejected", 0],
    ["report", 0],
]
SETTINGS = [
    "--lengths", "16k,32k", "--theta", "1e6", "--chunks.lengths", "band", "--chunks.tokens", "800", "--chunks.per-document", "2",
    "--ask.prompt", "{chunk}\n\nAsk.", "--ask.count", "1", "--ask.attempts", "6", "--ask.max-new-tokens", "24", "--ask.max-tokens", "64",
    "--ask.grounding", "off", "--answer.temperature", "1", "--answer.max-new-tokens", "24", "--filters.min-words", "0",
    "--train.held-out", "0", "--train.batch", "1", "--train.lr", "1e-4", "--kl-documents", "1", "--threads", "1", "--device", "cpu",
    "--quiet",
]  # fmt: skip


def drive(points, *argv):
    done = subprocess.run(
        [sys.executable, "-m", "tests.longpo.long_modules", json.dumps(points), *argv],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])["ends"], done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("family", ["mistral", "qwen3"])
def test_killed_once_in_each_stage(tmp_path, family):
    made = tokenizer(sorted(LIBRARY.glob("*.py"))[:40])
    found = modules(made)
    room = 2 * (64 + 24)
    short = [p for n, p in found if n <= 16 * 1024 - room][:2]
    (long, *_), refused = [p for n, p in found if 16 * 1024 < n <= 32 * 1024 - room], found[0][1]
    save_model(tmp_path / "model", family, made)
    argv = ["--model", str(tmp_path / "model"), "--documents", *map(str, (*short, long, refused)), *SETTINGS]
    calm, killed = tmp_path / "a" / "run", tmp_path / "b" / "run"
    ends, told = drive([None], *argv, "--out", str(calm))
    assert ends == [0], told[-2000:]
    ends, told = drive([*KILLS, None], *argv, "--out", str(killed))
    assert ends == [-9] * len(KILLS) + [0], told[-2000:]
    ours, theirs = (json.loads((p / "manifest.json").read_text()) for p in (calm, killed))
    assert ours == theirs and set(ours) == files_of(killed)
    no_trace(killed)
    summary = json.loads((killed / "summary.json").read_text())
    assert summary["documents"] == {"kept": 3, "long": 1}, "the longest module of all is refused, not cut"
    first, second = summary["rounds"]
    assert (first["documents"], second["documents"]) == (2, 1) and second["longest"] > 16 * 1024
    assert second["start"] == 1 and second["pairs"] > 0 and first["kl_after"]["questions"] > 0
    config = AutoModelForCausalLM.from_pretrained(killed / "model").config
    assert config.rope_parameters["rope_theta"] == 1e6 and config.max_position_embeddings == 32 * 1024
