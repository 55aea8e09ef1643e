"""Pushing to the hub: asked for by name, private, refused before the work where it cannot be."""

import pytest

from windvane.core.errors import UserError
from windvane.finetune.recipe import main as train
from windvane.models import push as module
from windvane.models.merge import main as merge


def test_what_is_sent(tmp_path, monkeypatch):
    calls = []

    class Hub:
        endpoint = "https://hub"

        def create_repo(self, repo, **how):
            calls.append((repo, how))

        def upload_folder(self, **how):
            calls.append(how)

    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    monkeypatch.setattr(module, "HfApi", Hub)
    assert module.push(tmp_path, "me/model") == "https://hub/me/model"
    assert calls[0] == ("me/model", {"private": True, "exist_ok": True})
    assert calls[1]["folder_path"] == tmp_path and calls[1]["repo_id"] == "me/model"

    def refuse(self, repo, **how):
        raise OSError("403 Forbidden\nhow sad")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    with pytest.raises(
        UserError, match=r"--push me/model: the hub did not take it \(403 Forbidden\); the model stays in"
    ):
        module.push(tmp_path, "me/model")


def test_it_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for repo, line in (
        ("me/model", "no token for the hub; set HF_TOKEN"),
        ("model", "write OWNER/NAME"),
        ("a/b/c", "write OWNER/NAME"),
    ):
        with pytest.raises(UserError, match=f"--push {repo}: .*{line}"):
            merge(["nowhere", "--out", str(tmp_path / "x"), "--push", repo])
        with pytest.raises(UserError, match=line):
            train(
                [
                    "--objective",
                    "dpo",
                    "--model",
                    "nowhere",
                    "--data",
                    "x",
                    "--out",
                    str(tmp_path / "r"),
                    "--push",
                    repo,
                ]
            )
    assert not (tmp_path / "r").exists()
