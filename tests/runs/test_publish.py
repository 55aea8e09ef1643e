"""RUN/model: the stage's own files under the run's name, with its card; the lock of a start that fails."""

import json
import os

from windvane.runs.publish import publish_model


def trained(tmp_path, base):
    source = tmp_path / "run" / "iter-1" / "model"
    source.mkdir(parents=True)
    (source / "weights").write_text("w")
    (source / "README.md").write_text("the stage's")
    (source / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 2}))
    return source


def test_files_are_the_same_and_the_card_is_its_own(tmp_path):
    (tmp_path / "base").mkdir()
    source, final = trained(tmp_path, "../../../base"), tmp_path / "run" / "model"
    publish_model(source, final, "a card")
    assert (final / "weights").samefile(source / "weights"), "linked"
    assert (final / "README.md").read_text() == "a card" and (source / "README.md").read_text() == "the stage's"
    config = json.loads((final / "adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "../../base", "r": 2}
    assert (final / config["base_model_name_or_path"]).samefile(tmp_path / "base")
    assert sorted(p.name for p in final.parent.iterdir()) == ["iter-1", "model"]


def test_a_base_of_the_hub_keeps_its_name_and_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    source, final = trained(tmp_path, "org/base"), tmp_path / "run" / "model"
    publish_model(source, final, "a card")
    assert (final / "weights").read_text() == "w" and not (final / "weights").samefile(source / "weights")
    assert json.loads((final / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/base"
