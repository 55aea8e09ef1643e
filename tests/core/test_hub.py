"""The hub's refusals as one line with its mend, told by a small hub of our own that answers as the real one does."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import pytest
import torch
from huggingface_hub import constants as HUB

from tests import tiny
from windvane.cli.main import main
from windvane.core import hub
from windvane.core.errors import UserError
from windvane.models.load import load_model, load_tokenizer

ANSWERS = {  # the hub's own: status, X-Error-Code, X-Error-Message
    "gated": (401, "GatedRepo", "Access to model lab/gated is restricted. You must have access to it and be authenticated."),
    "granted-later": (403, "GatedRepo", "Access to model lab/granted-later is restricted and you are not in the authorized list."),
    "hidden": (401, "RepoNotFound", "Repository not found"),
    "adapter": (404, "EntryNotFound", "Entry not found"),
    "badtoken": (401, None, "Invalid credentials in Authorization header"),
    "narrow": (403, None, "your token lacks the permission to read"),
    "disabled": (403, None, "Access to this resource is disabled."),
    "broken": (503, None, "Service Unavailable"),
    "limited": (429, None, "We had to rate limit you"),
}  # fmt: skip


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        name = self.path.split("/")[2]
        if name == "slow":
            time.sleep(5)
        code, kind, text = ANSWERS.get(name, (404, "RepoNotFound", "Repository not found"))
        self.send_response(code)
        for key, value in (
            ("X-Error-Code", kind),
            ("X-Error-Message", text),
            ("Retry-After", "600" if code == 429 else None),
        ):
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(monkeypatch):
    hub.reach.cache_clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(HUB, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(HUB, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(hub, "get_token", lambda: None)
        monkeypatch.setattr(hub, "SECONDS", 3.0)
        yield HUB.ENDPOINT
        server.shutdown()
    hub.reach.cache_clear()


LINES = {
    "gated": "is gated on the hub: accept its terms at {at}/lab/gated, then run hf auth login or set HF_TOKEN; or give a local folder",
    "granted-later": "is gated on the hub: accept its terms at {at}/lab/granted-later, then run hf auth login",
    "hidden": "no such folder here and no such model on the hub; check the name; where it is private, run hf auth login or set HF_TOKEN",
    "nothing": "no such folder here and no such model on the hub; check the name",
    "badtoken": "the hub does not take this token; run hf auth login or set HF_TOKEN, with a token from {at}/settings/tokens",
    "narrow": "the hub refuses it (HTTP 403): the token may not read {at}/lab/narrow",
    "disabled": "is disabled on the hub ({at}/lab/disabled); take another",
    "broken": "no such folder, not in the local cache, and the Hugging Face hub answers with an error of its own (HTTP 503)",
    "limited": "not in the local cache, and the Hugging Face hub says that it is asked too often from here (HTTP 429)",
    "slow": "not in the local cache, and the Hugging Face hub does not answer; give a folder, or check the name and the network",
}


@pytest.mark.parametrize("name", LINES)
def test_one_line_at_once(served, name, tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n')
    start = time.monotonic()
    assert main(["generate", str(tmp_path / "p.jsonl"), "--model", f"lab/{name}", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"windvane: model lab/{name}: ") and LINES[name].format(at=served) in told, told
    assert len(told.splitlines()) == 1 and time.monotonic() - start < 20, "no minutes of retries"


def test_with_a_token_the_account_is_what_is_asked_about(served, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    for name, mend in (
        ("gated", "with the account of this token (hf auth whoami)"),
        ("hidden", "this token's account"),
    ):
        with pytest.raises(UserError) as told:
            hub.reach(f"lab/{name}")
        assert mend in str(told.value) and "login" not in str(told.value)


def test_an_adapter_has_no_config_and_is_there(served):
    assert hub.reach("lab/adapter") == "lab/adapter"


def test_what_is_cached_is_used_where_the_hub_fails(served, monkeypatch, tmp_path):
    path = tiny.folder(tmp_path / "cached")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda spec, name: str(path / name))
    for name in ("broken", "limited"):
        found = load_model(f"lab/{name}", device="cpu")
        assert all(torch.equal(a, b) for a, b in zip(found.parameters(), tiny.model().parameters()))
    with pytest.raises(UserError, match="is gated"):
        load_model("lab/gated")


def test_offline_and_no_hub_at_all(monkeypatch):
    hub.reach.cache_clear()
    monkeypatch.setattr(HUB, "HF_HUB_OFFLINE", True)
    for opened in (load_model, load_tokenizer):
        with pytest.raises(
            UserError, match=r"and HF_HUB_OFFLINE is set; give a folder, or unset it, .*: hf download lab/m$"
        ):
            opened("lab/m")
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        load_model("not a valid id!")
    monkeypatch.setattr(HUB, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HUB, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the Hugging Face hub does not answer; give a folder"):
        load_model("lab/m")
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        load_model("not a valid id!")


def test_data_sets(monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    gone = datasets.exceptions.DatasetNotFoundError("Dataset 'lab/d' doesn't exist on the Hub or cannot be accessed.")
    gated = datasets.exceptions.DatasetNotFoundError(
        "Dataset 'lab/d' is a gated dataset on the Hub. You must be authenticated."
    )
    assert hub.refusal(gone, "lab/d", "data set").startswith(
        "no such file or folder here and no such data set on the hub"
    )
    assert f"accept its terms at {HUB.ENDPOINT}/datasets/lab/d, then run hf auth login" in hub.refusal(
        gated, "lab/d", "data set"
    )
    assert hub.refusal(ValueError("unrelated"), "lab/d") is None
