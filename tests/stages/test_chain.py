"""generate, judge, pair, train, by hand and one after another, against one iteration of `run sppo` on the same prompts and seed: the same
bytes in every file, and the same weights."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.finetune.rows import WORDS, turn, write
from tests.tiny import folder
from windvane.cli.main import main

JUDGE = "py:tests.stages.test_generate_and_pair:longer"
TRAIN = [
    "--train.batch", "4", "--train.held-out", "0", "--train.lr", "1e-3", "--train.optimizer", "adamw", "--train.schedule", "constant",
    "--train.warmup", "0",
]  # fmt: skip
HERE = ["--quiet", "--device", "cpu"]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_by_hand_and_by_recipe(tmp_path, capsys):
    base = str(folder(tmp_path / "base", seed=1))
    prompts = write(tmp_path / "p.jsonl", [{"messages": [turn("user", f"tell me about {w}")]} for w in WORDS])
    run = tmp_path / "run"
    recipe = [
        "run",
        "sppo",
        "--model",
        base,
        "--prompts",
        str(prompts),
        "--judge",
        JUDGE,
        "--iterations",
        "1",
        "--out",
        str(run),
    ]
    sampled = ["--sampling.k", "3", "--sampling.max-new-tokens", "12", "--evaluate.max-new-tokens", "12"]
    assert main([*recipe, *sampled, *TRAIN, *HERE, "--threads", "1"]) == 0
    used = write(tmp_path / "used.jsonl", [{"messages": r["messages"]} for r in lines(run / "iter-1/prompts.jsonl")])

    answers, judged, pairs, trained = (str(tmp_path / n) for n in ("answers", "judged", "pairs", "trained"))
    assert (
        main(["generate", str(used), "--model", base, "--k", "3", "--max-new-tokens", "12", "--out", answers, *HERE])
        == 0
    )
    assert main(["judge", answers, "--judge", JUDGE, "--out", judged, *HERE]) == 0
    assert main(["pair", judged, "--answers", answers, "--out", pairs]) == 0
    command = ["train", "--objective", "sppo", "--model", base, "--data", pairs, "--out", trained]
    assert main([*command, *TRAIN, *HERE, "--threads", "1"]) == 0

    for folder_, names in (
        ("answers", ("prompts", "responses")), ("judged", ("verdicts",)), ("pairs", ("groups",)),
        ("trained", ("prompts", "responses", "groups", "reference", "train/metrics")),
    ):  # fmt: skip
        for name in names:
            assert lines(tmp_path / folder_ / f"iter-1/{name}.jsonl") == lines(run / f"iter-1/{name}.jsonl"), (
                folder_,
                name,
            )
    mine, theirs = (load_file(p / "model/model.safetensors") for p in (tmp_path / "trained", run))
    assert all(torch.equal(mine[k], theirs[k]) for k in theirs)
    assert not all(torch.equal(theirs[k], v) for k, v in load_file(tmp_path / "base/model.safetensors").items()), (
        "it learnt"
    )
    capsys.readouterr()
