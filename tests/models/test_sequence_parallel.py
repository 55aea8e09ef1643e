"""A row split over processes is the row: attention and whole models, forward and gradients, heads that do not divide."""

import pytest
import torch

from tests.models.split_job import HEADS, MODELS, attention, scored
from tests.models.tiny import gap, worst
from tests.processes import torchrun
from windvane.models.trees.sequence_parallel import even_parts, key_run, runs


def test_runs():
    assert runs(28, 8) == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 19), (19, 22), (22, 25), (25, 28)]
    assert runs(2, 3) == [(0, 1), (1, 2), (2, 2)]


def test_28_heads_on_4_keys_over_8_processes():
    """Seven queries to a key: the second process has heads 4..7, three of key 0 and one of key 1."""
    shares = runs(28, 8)
    assert [key_run(s, 7) for s in shares] == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (3, 4)]
    assert even_parts(shares[1], 7) == [(0, 1, 3), (1, 2, 1)]
    assert even_parts((0, 28), 7) == [(0, 4, 7)]
    assert even_parts((5, 5), 7) == []
    for share in shares:
        assert sum((b - a) * each for a, b, each in even_parts(share, 7)) == share[1] - share[0]


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_split_rows_are_rows(tmp_path, world):
    code, errors = torchrun(world, "tests.models.split_job", tmp_path, world)
    assert code == 0, errors[-3000:]
    found = torch.load(tmp_path / "split.pt", weights_only=False)
    for case in HEADS:
        (out, grads), (ours, our_grads) = found[case], attention(case)
        assert gap(out, ours) < 1e-6, case
        for mine, theirs in zip(grads, our_grads):
            assert gap(mine, theirs) < 1e-6, case
    for name in MODELS:
        (values, grads), (ours, our_grads) = found[name], scored(name)
        assert gap(values, ours) < 1e-6, name
        assert worst(grads, our_grads) < 2e-6, name
