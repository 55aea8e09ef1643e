"""--track: what a tracker gets, resumed runs count on, a tracker that fails does not end the run, what is missing is one line."""

import sys
import types
import warnings
from importlib.machinery import ModuleSpec

import pytest

from windvane.core.errors import UserError
from windvane.runs.store import LISTENERS, RunFolder
from windvane.runs.tracking import tracking


def test_tensorboard_holds_every_step_of_both_starts(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    for losses in ([3.0, 2.0], [1.5]):  # killed after two steps, then resumed
        with tracking("tensorboard", run), RunFolder(run) as held:
            for step, loss in enumerate(losses, 1):
                held.event("step", stage="iter-1/train", step=step, loss=loss)
            held.event("something else", loss=99.0)
    assert not LISTENERS, "nobody listens after the run"
    found = EventAccumulator(str(run / "logs" / "run"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 3.0), (2, 2.0), (3, 1.5)]
    assert found.Tags()["scalars"] == ["train/loss"]
    with RunFolder(run) as held:
        assert not any(name.startswith("logs/") for name in held.write_manifest())


def fake(monkeypatch, log):
    module = types.ModuleType("trackio")
    module.__spec__ = ModuleSpec("trackio", None)
    module.inits, module.finish = [], lambda: None
    module.init = lambda **given: module.inits.append(given) or types.SimpleNamespace(log=log)
    monkeypatch.setitem(sys.modules, "trackio", module)
    return module


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path, monkeypatch):
    def log(values, step):
        raise ConnectionError("gone")

    fake(monkeypatch, log)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tracking("trackio", tmp_path / "run"), RunFolder(tmp_path / "run") as held:
            held.event("step", step=1, loss=1.0)
            held.event("step", step=2, loss=1.0)
    assert [str(w.message) for w in said if "--track" in str(w.message)] == [
        "--track trackio: it failed at step 1 (gone); log.jsonl goes on"
    ]
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2


def test_trackio_gets_the_numbers_alone(tmp_path, monkeypatch):
    got = []
    fake(monkeypatch, lambda values, step: got.append((step, values)))
    with tracking("trackio", tmp_path / "run"), RunFolder(tmp_path / "run") as held:
        held.event("step", stage="iter-2/train", step=1, loss=1.0, lr=1e-3)
    assert got == [(1, {"train/loss": 1.0, "train/lr": 1e-3})]


def test_a_resumed_run_is_the_same_one_to_the_tracker(tmp_path, monkeypatch, capsys):
    module = fake(monkeypatch, lambda values, step: None)
    module.finish = lambda: print("* Run finished.")
    for _ in range(2):
        with tracking("trackio", tmp_path / "run"):
            pass
    first, second = module.inits
    assert first == second and first["project"] == "windvane" and first["name"].startswith("run-")
    with tracking("trackio", tmp_path / "other/run"):
        pass
    assert module.inits[2]["name"] != first["name"], "another run of that name is another"
    assert capsys.readouterr().out == "", "what a tracker says does not stand in the verb's own output"


def test_what_is_missing_or_unknown_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("windvane.runs.tracking.find_spec", lambda name: None)
    with (
        pytest.raises(UserError, match="--track wandb: it is not installed; pip install wandb"),
        tracking("wandb", tmp_path),
    ):
        pass
    with pytest.raises(UserError, match="there are tensorboard, trackio, wandb"), tracking("mlflow", tmp_path):
        pass
