"""Several processes under torchrun give one process's training: losses, gradients, weights; and what happens when one dies.

The slow tests start 2 and 3 gloo processes (several_job.py, which asserts the world's size) and hold what they wrote to the same
job in this process.
"""

import pytest
import torch

from tests.processes import torchrun
from tests.train.several_job import gradients, made, trained
from tests.train.test_loop import apart, make_examples
from windvane.train.distributed import ALONE, Ranks, shares
from windvane.train.metrics import Means

WRAPPED = {"data": (0, False), "sequence": (0, False), "fsdp": (1, True)}  # FSDP modules in the model, shards alone


def test_shares_are_balanced_and_keep_their_order():
    found = make_examples(13)
    parts = shares(found, 3)
    assert sorted(e.id for part in parts for e in part) == sorted(e.id for e in found)
    for part in parts:
        assert [found.index(e) for e in part] == sorted(found.index(e) for e in part)
    loads = [sum(e.tokens for e in part) for part in parts]
    assert max(loads) - min(loads) <= max(e.tokens for e in found)
    assert shares(found, 1) == [found]
    assert shares(found[:1], 3) == [found[:1], [], []]


def test_turns_are_dealt_once_and_padded_where_sharded():
    found = make_examples(7)
    for sharded in (False, True):
        of = [list(Ranks(r, 3, 1, sharded).turns(found, 20)) for r in range(3)]
        assert sorted(e.id for turns in of for micro, counted in turns if counted for e in micro) == sorted(
            e.id for e in found
        )
        idle = [micro for turns in of for micro, counted in turns if not counted]
        assert all(micro == [min(found, key=lambda e: e.tokens)] for micro in idle)
        assert sharded or not idle
        assert not sharded or len({len(turns) for turns in of}) == 1, "FSDP wants equally many on each"
    neighbours = [list(Ranks(r, 4, 2).turns(found, 20)) for r in range(4)]
    assert neighbours[0] == neighbours[1] != neighbours[2] == neighbours[3], "those who share a row have the same trees"


def test_means_of_several_processes():
    one, other = Means(), Means()
    one.add({"a": [1.0, 3.0]})
    other.add({"b": [7.0], "a": [5.0], "c": []})
    assert Means.merged([one, other]).by_name() == {"a": 3.0, "b": 7.0}


def start(folder, world, *cases):
    """Run several_job under torchrun; its exit code and standard error."""
    return torchrun(world, "tests.train.several_job", folder, world, *cases)


def equal(folder, case):
    """What processes wrote for `case` is what this process gives."""
    name, _, how = case.partition(":")
    got = torch.load(folder / f"{case}.pt", weights_only=False)
    plain = "sequence" in how
    row, ours, _ = gradients(name, ALONE, plain)
    their_row, theirs, wrapped = got["step"]
    assert wrapped == WRAPPED[how.rstrip("0123456789").partition("-")[0]], case
    assert theirs.keys() == ours.keys(), case
    assert apart(ours, theirs) < 1e-6, f"{case}: gradients"
    (
        row.pop("accuracy", None),
        their_row.pop("accuracy", None),
    )  # before the first step chosen and rejected tie, but for rounding
    assert their_row == pytest.approx(row, rel=1e-6, abs=2e-5), case
    metrics, weights = trained(name, ALONE, folder / f"{case}-alone", plain=plain)
    assert [r["loss"] for r in got["metrics"]] == pytest.approx([r["loss"] for r in metrics], rel=1e-5), case
    assert [(r["step"], r["split"]) for r in got["metrics"]] == [(r["step"], r["split"]) for r in metrics], case
    assert apart(weights, got["weights"]) < 1e-6, f"{case}: weights"
    before = made(name)[0].state_dict()
    assert max(((before[k] - weights[k]).norm() / before[k].norm().clamp(min=1e-12)).item() for k in before) > 1e-3, (
        "control: they moved"
    )
    return got


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    cases = [
        f"{name}:{how}"
        for how in ("data", "fsdp")
        for name in ("sppo", "accumulated", "few", "tokens", "kto", "given", "lora")
    ]
    split = ["sppo:sequence2", "accumulated:sequence2", "lora:sequence2", "lora:fsdp-sequence2"]
    again = ["sppo:data-resume", "sppo:fsdp-resume", "sppo:data-stop", "sppo:fsdp-stop"]
    code, told = start(tmp_path, 2, *cases, *split, *again)
    assert code == 0, told[-3000:]
    got = {case: equal(tmp_path, case) for case in (*cases, *split)}
    for how in ("data", "fsdp"):
        straight, resumed = got[f"sppo:{how}"], torch.load(tmp_path / f"sppo:{how}-resume.pt", weights_only=False)
        assert resumed["metrics"] == straight["metrics"], how
        assert all(torch.equal(v, resumed["weights"][k]) for k, v in straight["weights"].items()), f"{how}: bit for bit"
        stopped = tmp_path / f"sppo:{how}-stop"
        assert [p.name for p in stopped.iterdir()] == ["step-000004"], "one checkpoint, by one process"
        metrics, weights = trained("sppo", ALONE, stopped)  # goes on alone
        assert apart(straight["weights"], weights) < 1e-6, how
        assert metrics[:4] == straight["metrics"][:4], how


@pytest.mark.slow
def test_three_processes_are_one(tmp_path):
    """Three do not divide 4 heads, 2 key heads or the batches."""
    cases = ["accumulated:data", "few:fsdp", "lora:fsdp", "accumulated:sequence3", "lora:sequence3"]
    code, told = start(tmp_path, 3, *cases)
    assert code == 0, told[-3000:]
    for case in cases:
        equal(tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "line"), [
    ("data-kill0", "another process of this training ended"),
    ("fsdp-kill1", "another process of this training ended"),
    ("data-kill-wrong", "what one process alone finds wrong"),
    ("raises:data-kill", "raises_once.py, line 12: ValueError: no such thing"),
])  # fmt: skip
def test_where_one_ends_all_do_with_one_line(tmp_path, how, line):
    """SIGKILL at step 3, or a mistake that one process alone finds; torchrun's own report follows the line."""
    code, told = start(tmp_path, 3, how if ":" in how else f"sppo:{how}")
    assert code != 0
    lines = [text for text in told.splitlines() if text.startswith("windvane:")]
    assert len(lines) == 1 and line in lines[0], told[-3000:]
    if "wrong" not in how and "raises" not in how:
        assert [p.name for p in (tmp_path / f"sppo:{how}").iterdir()] == ["step-000002"]
