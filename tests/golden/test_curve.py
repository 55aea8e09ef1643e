"""A seeded 50-step loss curve, kept as a file: a change that computes nothing new leaves it where it is, to 1e-4.

`python -m tests.golden.test_curve` writes it again, which a commit must explain.
"""

import json
import tempfile
from pathlib import Path

import pytest

from tests.tiny import model
from tests.train.test_loop import fit, make_examples, with_cached

FILE = Path(__file__).parent / "sppo_curve.json"


def curve():
    net = model(scale=2.0)
    found = with_cached(net, make_examples(40))
    with tempfile.TemporaryDirectory() as folder:
        metrics, _ = fit(Path(folder), net, found, (), epochs=10, batch=8, micro_tokens=64)
    return [{k: r[k] for k in ("loss", "grad_norm", "chosen_logratio", "rejected_logratio")} for r in metrics]


def test_the_curve_is_where_it_was():
    expected = json.loads(FILE.read_text())
    found = curve()
    assert len(found) == len(expected) == 50
    for step, (ours, kept) in enumerate(zip(found, expected), 1):
        for name, value in kept.items():
            assert ours[name] == pytest.approx(value, rel=1e-4, abs=1e-5), f"step {step}: {name}"


if __name__ == "__main__":
    FILE.write_text(json.dumps(curve(), indent=0) + "\n")
