"""Against `transformers serve` on loopback with a tiny random model: text without ids, finish, usage, greedy answers equal to ours."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests import tiny
from windvane.core.records import Message, Prompt, Response
from windvane.engines.http.generator import open_generator
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.local import open_generator as open_local
from windvane.judges.names import resolve_judge
from windvane.models.load import load_tokenizer
from windvane.prompts.chat import render
from windvane.stages.judge import compare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(m) for m in ("fastapi", "uvicorn", "openai")),
        reason="transformers serve needs fastapi, uvicorn and openai",
    ),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tiny.folder(tmp_path_factory.mktemp("serve") / "model", "llama")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).parent / "transformers")
    command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (tmp_path_factory.mktemp("log") / "serve.log").open("wb+")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                time.sleep(0.3)
        else:
            log.seek(0)
            pytest.fail(f"transformers serve did not start: {log.read()[-2000:].decode()}")
        yield f"http://127.0.0.1:{port}/v1#{folder}", folder
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def test_greedy_text_equals_our_own(served):
    spec, folder = served
    tokenizer = load_tokenizer(str(folder))
    prompts = []
    for i in range(6):
        messages = (Message("system", "Be brief."), Message("user", f"Say {i} twice."))
        prompts.append(Prompt(f"p{i}", messages, render(tokenizer, messages)))
    sampling = Sampling(k=1, temperature=0.0, max_new_tokens=12)
    theirs = open_generator(spec, sampling, Server(concurrency=2)).generate(prompts, [0], seed=1)
    ours = open_local(str(folder), sampling, "cpu", "float32").generate(prompts, [0], seed=1)
    for (a,), (b,) in zip(theirs, ours):
        assert (a.id, a.text, a.finish) == (b.id, b.text, b.finish)
        assert a.token_ids == () and a.logps is None, "this server offers no ids"


def test_a_judge_without_log_probabilities_reads_the_text(served):
    """This server ignores the wish for log-probabilities; what a random model says names no label, and is kept as such."""
    spec, _ = served
    prompt = Prompt.of((Message("user", "Name a fruit."),))
    a, b = (Response(f"{prompt.id}-{i}", prompt.id, i, text, (), "stop") for i, text in enumerate(("Apple", "Stone")))
    judge = resolve_judge(spec, server=Server(concurrency=2))
    (verdict,) = compare(judge, [(prompt, a, b)])
    assert judge.account.counts.answered == 2
    no_label = ("the answer names", "cut before it named a label")  # read to its end, or stopped at the token limit
    assert (verdict.p is None) == any(why in (verdict.reason or "") for why in no_label)


def test_sampling_is_counted(served):
    spec, _ = served
    made = open_generator(spec, Sampling(k=3, max_new_tokens=8), Server(concurrency=2))
    answers = made.generate([Prompt.of((Message("user", "Hello"),))], range(3), seed=1)[0]
    assert [r.index for r in answers] == [0, 1, 2] and not made.reasons
    counts, spent = made.endpoint.account.counts, made.endpoint.account.spent
    assert (counts.answered, counts.unreported) == (3, 0) and spent.completion_tokens <= 24 and spent.prompt_tokens > 0
    assert "return_token_ids" in made.endpoint.refused
