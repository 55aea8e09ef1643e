"""`windvane data pairrm`: pickles only here, only as tensors; what comes out judges the same."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.judges.test_pairrm_parity import BASE, FOLDER, RECORDED, blender_layout, judge_of, matrices
from windvane.core.errors import UserError
from windvane.judges.pairrm.convert import main


def pickled(folder, content=None):
    """The folder with its weights as Blender once published them."""
    held = load_file(FOLDER / "model.safetensors")
    held["pretrained_model.embeddings.position_ids"] = torch.arange(64)[None]  # as older transformers saved it
    torch.save(held if content is None else content, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


class Harm:
    def __reduce__(self):
        return (open, ("harmed", "w"))


def test_a_pickle_is_refused_with_the_command(tmp_path):
    for folder in (pickled(blender_layout(tmp_path / "a")), pickled(shutil.copytree(FOLDER, tmp_path / "b"))):
        with pytest.raises(UserError) as error:
            judge_of(folder)
        assert f"run: windvane data pairrm {folder} DST" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", ["blender", "hf", "safetensors"])
def test_a_converted_model_judges_the_same(tmp_path, layout, capsys):
    source = tmp_path / "source"
    if layout == "hf":
        pickled(shutil.copytree(FOLDER, source))
    else:
        blender_layout(source)
    if layout == "blender":
        pickled(source)
    assert main([str(source), str(tmp_path / "DST")]) == 0
    assert f"pairrm:{tmp_path / 'DST'}" in capsys.readouterr().out
    names = sorted(p.name for p in (tmp_path / "DST").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    found = matrices(judge_of(tmp_path / "DST"))
    assert (found - torch.tensor(RECORDED["matrices"])).abs().max() < 1e-5
    config = json.loads((tmp_path / "DST" / "config.json").read_text())
    assert (config["source_maxlength"], config["vocab_size"], config["n_tasks"]) == (24, 100, 1)


def test_the_base_may_be_named(tmp_path):
    source = blender_layout(tmp_path / "source", name=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"takes config and vocabulary from .*gone.* --base FOLDER"):
        judge_of(source)
    base = shutil.copytree(BASE, tmp_path / "base")
    shutil.copy(FOLDER / "tokenizer.json", base)
    main([str(source), str(tmp_path / "DST"), "--base", str(base)])
    assert (matrices(judge_of(tmp_path / "DST")) - torch.tensor(RECORDED["matrices"])).abs().max() < 1e-5


def test_code_in_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in ({"head_layer.1.weight": Harm()}, Harm()):
        source = pickled(blender_layout(tmp_path / f"s{len(list(tmp_path.iterdir()))}"), content)
        with pytest.raises(UserError, match=r"pytorch_model.bin: holds more than tensors"):
            main([str(source), "DST"])
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "DST").exists()


def test_refusals(tmp_path):
    source = blender_layout(tmp_path / "source")
    with pytest.raises(UserError, match="is there already; name a new folder"):
        main([str(source), str(tmp_path)])
    with pytest.raises(UserError, match="windvane data pairrm --help"):
        main([str(source)])
    pickled(source, {"epoch": 3})
    with pytest.raises(UserError, match="expected a table of tensors"):
        main([str(source), str(tmp_path / "DST")])
    (source / "pytorch_model.bin").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="holds more than tensors, or is damaged"):
        main([str(source), str(tmp_path / "DST")])
    (source / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match=r"neither safetensors nor pytorch_model.bin"):
        main([str(source), str(tmp_path / "DST")])
