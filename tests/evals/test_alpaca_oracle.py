"""The same inputs through the official package, alpaca_eval 0.6.6, and through ours.

    pip install alpaca_eval==0.6.6 'scikit-learn<1.10'

Its download from the hub is pointed at the files beside the project.
"""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.official import alpaca_eval
from windvane.evals.alpaca.annotations import read_annotations
from windvane.evals.alpaca.length_control import fit, read_gamed

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "alpaca_eval"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason=f"no published annotations at {DATA}"),
    pytest.mark.skipif(importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval 0.6.6 is not installed"),
]
NAMES = sorted(p.parent.name for p in DATA.glob("*/annotations.json"))


@pytest.fixture(scope="module")
def official():
    import sklearn

    before = sklearn.get_config()["enable_metadata_routing"]
    glm_winrate = alpaca_eval("metrics.glm_winrate")

    files = {
        "df_gamed.csv": "df_gamed_surrogate.csv",
        "instruction_difficulty.csv": "instruction_difficulty_surrogate.csv",
    }
    glm_winrate.hf_hub_download = lambda filename, **_: str(DATA / files[filename])
    yield glm_winrate
    sklearn.set_config(enable_metadata_routing=before)


def figures(official, rows, C=None):
    import pandas as pd

    kind = official.GLM_INFO["length_controlled_v1"]
    info = kind if C is None else kind | {"kwargs": {"n_splits": 0, "C": C}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return official.get_length_controlled_winrate(pd.DataFrame(rows), save_weights_dir=None, glm_info=info)


def ours(path, C=None):
    rows = read_annotations(path).rows
    shares = np.array([np.nan if r.p is None else r.p for r in rows])
    delta = np.array([len(r.output_1) - len(r.output_2) for r in rows], dtype=float)
    return fit(shares, delta, range(805), read_gamed(DATA / "df_gamed_surrogate.csv"), C)


@pytest.mark.parametrize("name", NAMES)
def test_cross_validated(name, official):
    path = DATA / name / "annotations.json"
    theirs, found = figures(official, json.loads(path.read_text())), ours(path)
    assert found.winrate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-6)
    assert found.standard_error == pytest.approx(theirs["lc_standard_error"], abs=1e-6)


@pytest.mark.parametrize("C", [0.01, 2.782559402207126, 1000.0])
def test_at_the_same_C(C, official):
    path = DATA / "FuseChat-Llama-3.1-8B-Instruct" / "annotations.json"
    theirs, found = figures(official, json.loads(path.read_text()), C), ours(path, C)
    assert found.winrate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-6)


def test_unjudged_rows_old_draws_and_whole_numbers(official, tmp_path):
    rows = json.loads((DATA / "OpenHermes-2.5-Mistral-7B" / "annotations.json").read_text())
    for i, value in ((0, None), (7, float("nan")), (11, 0), (12, 1.5), (13, 2), (14, 1)):
        rows[i]["preference"] = value
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    theirs, found = figures(official, rows), ours(path)
    judged = [row.p for row in read_annotations(path).judged]
    assert found.winrate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-6)
    assert (
        100 * np.mean(judged) == pytest.approx(theirs["win_rate"], abs=1e-9) and len(judged) == theirs["n_total"] == 803
    )
