"""benchmarks/generate.py at a reduced size: its equality check, its control, and that sharing the prefill pays."""

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "generate.py"


def benchmark():
    spec = importlib.util.spec_from_file_location("generate_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_more_tokens_a_cpu_second_than_transformers(capsys):
    small = ["--prompt", "600", "--new", "24", "--layers", "3", "--vocab", "4000", "--rounds", "3", "--json"]
    result = benchmark().main(small)
    assert json.loads(capsys.readouterr().out)["ratio_cpu"] == result["ratio_cpu"]
    assert result["largest_logit_gap"] < 1e-5 < 1e-3 < result["control_gap"]
    assert result["ratio_cpu"] > 1.2
