"""RULER and InfiniteBench asked over HTTP: the begun answer goes along, calls run at once, are kept, cost what was said before."""

import json
import time

import pytest

from tests import tiny
from tests.engines.scripted_server import Scripted, chat
from tests.evals.ruler_solvers import solve
from windvane.core.errors import UserError
from windvane.evals.infinitebench import command as infinitebench
from windvane.evals.ruler import command as ruler


@pytest.fixture
def tokenizer(tmp_path):
    tiny.byte_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def answer(body, attempt):
    time.sleep(0.05)  # so that calls under way at once are seen to be, on a busy machine too
    turns = [m["content"] for m in body["messages"]]
    if attempt == 1 and len(turns[0]) % 3 == 0:
        return 503, {"Retry-After": "0"}, {"error": "busy"}
    return 200, {}, chat(solve("".join(turns)))


def test_ruler_over_http(tmp_path, tokenizer, capsys):
    with Scripted(answer) as server:
        command = [
            *("--model", server.spec, "--tokenizer", tokenizer, "--lengths", "3k", "--samples", "3", "--json"),
            *("--tasks", "niah_single_1,vt", "--out", str(tmp_path / "out"), "--price-in", "2", "--price-out", "8"),
        ]
        assert ruler.main(command) == 0
        told = capsys.readouterr()
        result = json.loads(told.out)
        assert {t: r["score"] for t, r in result["lengths"]["3072"]["tasks"].items()} == {
            "niah_single_1": 100,
            "vt": 100,
        }
        # 3 x 3,072 tokens a task, of which 128 and 30 are kept for the answer
        assert "6 calls, about 17958 prompt tokens, at most 474 of answers, 0.04 in money" in told.err
        assert server.most > 1, "calls run at once"
        last = server.bodies[-1]
        assert last["messages"][-1]["role"] == "assistant" and last["continue_final_message"]
        assert sum(server.served.values()) == 6
        (tmp_path / "out" / "ruler" / "vt-3072.jsonl").unlink()
        assert ruler.main(command) == 0
        assert sum(server.served.values()) == 6, "what was answered is not asked again"
        with pytest.raises(UserError, match="started with other settings"):
            ruler.main([*command, "--concurrency", "2"])


def test_a_budget_holds_over_all_tasks(tmp_path, tokenizer):
    def unbilled(body, _):  # a server that reports no usage: counted at its worst
        return 200, {}, chat("x", usage=False)

    with Scripted(unbilled) as server:
        command = [
            *("--model", server.spec, "--tokenizer", tokenizer, "--lengths", "3k", "--samples", "3"),
            *("--tasks", "niah_single_1,vt", "--out", str(tmp_path / "out"), "--token-budget", "11000"),
        ]
        with pytest.raises(UserError, match="does not hold one more call"):
            ruler.main(command)
        assert 1 <= sum(server.served.values()) < 6


def test_infinitebench_over_http(tmp_path, tokenizer, capsys):
    def passkey(body, _):
        text = body["messages"][0]["content"]
        return 200, {}, chat(text.split("The pass key is ")[1].split(".")[0])

    with Scripted(passkey) as server:
        command = [
            *("--model", server.spec, "--tokenizer", tokenizer, "--task", "passkey", "--samples", "4", "--size", "40"),
            *("--length", "16k", "--out", str(tmp_path / "out"), "--json"),
        ]
        assert infinitebench.main(command) == 0
        told = capsys.readouterr()
        assert json.loads(told.out)["score"] == 100 and "4 calls" in told.err
