"""The benchmark scripts run, small, and their numbers mean what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(*arguments):
    command = [sys.executable, str(BENCHMARKS / "trees.py"), "--json", "--shape", "tiny", "--steps", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_beside_trl():
    found = run("--only", "branches 64/48")
    assert found["equal"]["logps_rel"] < 1e-5 and found["equal"]["grad_rel"] < 1e-5
    assert set(found["equal"]["controls"]) == {"position", "leak", "no_trunk"}
    assert min(found["equal"]["controls"].values()) > 1e-2
    (cell,) = found["cells"]
    assert 1.8 < cell["bound"] < 2.0
    assert {"case", "time_ratio", "memory_ratio", "share", "projected_32_layers"} <= cell.keys()
    assert cell["time_ratio"] > 1 and cell["memory_ratio"] > 1


@pytest.mark.slow
def test_the_gpu_script_on_the_cpu():
    found = run("--device", "cpu", "--gpu-script", "--only", "64/")
    assert found["equal"]["trees_logps"] < 1.5 * found["equal"]["rows_logps"]
    assert found["equal"]["trees_grad"] < 1.5 * found["equal"]["rows_grad"]
    assert [(c["trunk"], c["branch"]) for c in found["cells"]] == [(64, 8)]
    assert all(1 < c["bound"] < 2 and c["seconds"] > 0 for c in found["cells"])


def test_flops_by_hand(monkeypatch):
    """One layer of 2 heads of 4 over 8 wide states, MLP 3, vocabulary 10; a trunk of 2, branches of 1 and 2."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tree_flops

    from windvane.models.trees.tree import Tree

    shape = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "intermediate_size": 3, "head_dim": 4}  # fmt: skip
    projections, keys_values = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 3, 2 * 8 * 4
    trees = [Tree.of([1, 2], [[3], [4, 5]])]
    # first layer: 5 tokens; pairs: the chain of the trunk and the longer branch 4 * 5 / 2, the other branch 1, its trunk 2
    first = 5 * projections + (10 + 1 + 2) * 16
    # last: queries of the trunk's second token (2 keys) and the longer branch's first (3 keys)
    last = 5 * keys_values + 2 * (projections - keys_values) + (2 + 3) * 16
    assert tree_flops.tree_flops(trees, shape) == 6 * (first + last + 3 * 8 * 10)
    # padded: 2 rows of 4, every layer and token, whole squares as padding turns the causal kernel off
    rows = [Tree.of([1, 2], [[3]]), Tree.of([1, 2], [[4, 5]])]
    assert tree_flops.padded_flops(rows, shape) == 6 * (2 * 2 * (4 * projections + 16 * 16) + 3 * 8 * 10)


def test_controls_need_their_trees(monkeypatch):
    """Each control of the benchmark is one mistake that its comparison sees."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tree_equal
    import tree_shapes

    torch.set_num_threads(1)
    found = tree_equal.equality(tree_shapes.TINY, trunk=60)
    assert found["grad_rel"] < 1e-5 < 1e-2 < min(found["controls"].values())
