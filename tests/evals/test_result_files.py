"""Where results go without --out, and that two evaluations do not overwrite each other's."""

import argparse
import json
from pathlib import Path

import pytest

from windvane.core.errors import UserError
from windvane.evals.live.flags import check_live
from windvane.evals.result_files import keep_result


def options(**given):
    defaults = {"out": None, "model": None, "judge": "J", "limit": None, "batch": 1, "max_new_tokens": 1}
    return argparse.Namespace(**{**defaults, **given})


@pytest.mark.parametrize(
    "model, folder",
    [("owner/name", "owner-name"), (["a", "./b"], "a-.-b"), (None, "given-answers")],
)
def test_a_folder_named_after_the_models(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = options(model=model)
    check_live(asked, "mt-bench", ("judge",), "mt-bench-pairs")
    assert asked.out == Path("evaluations/mt-bench-pairs") / folder
    assert str(asked.out) in capsys.readouterr().err


def test_anothers_result_is_refused_before_and_after(tmp_path):
    keep_result(tmp_path, {"name": "alpaca", "n": 1}, "")
    keep_result(tmp_path, {"name": "alpaca", "n": 2}, "")
    assert json.loads((tmp_path / "result.json").read_text())["n"] == 2
    with pytest.raises(UserError, match="not a result of windvane eval arena-hard"):
        keep_result(tmp_path, {"name": "arena-hard"}, "")
    with pytest.raises(UserError, match="not a result of windvane eval alpaca-rejudge"):
        check_live(options(out=tmp_path), "alpaca", ("judge",), "alpaca-rejudge")
    check_live(options(out=tmp_path), "alpaca", ("judge",))
