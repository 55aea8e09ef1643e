"""kill -9 while a server is asked, then the same command: no call whose answer was kept is made again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.engines.scripted_server import Scripted, chat
from windvane.core.records import Response
from windvane.engines.http.endpoint import open_endpoint
from windvane.runs.store import read_records

COMMAND = """
import sys
from windvane.engines.http.generator import open_generator
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.stages.generate import run_generate
from windvane.core.records import Message, Prompt
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder
prompts = [Prompt.of((Message("user", f"Say {i}."),)) for i in range(400)]
with RunFolder(sys.argv[2]) as run:
    made = open_generator(sys.argv[1], Sampling(k=1, max_new_tokens=5), Server(concurrency=8), run / "calls.jsonl")
    run_generate(LocalRunner(run, quiet=True), "responses", made, prompts, [0], 7, batch_prompts=100)
"""


def kept(path):
    """The rows whose answers stand whole in the journal."""
    rows = [
        json.loads(line.partition(b"\t")[2])["rows"][0] for line in path.read_bytes().splitlines(keepends=True)[:-1]
    ]
    return {r["row"] for r in rows if "answer" in r}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_two_kills(tmp_path):
    def slow(body, attempt):
        time.sleep(0.02)
        return (200, {}, chat(f"said {body['messages'][0]['content']} {attempt}"))

    with Scripted(slow) as scripted:
        command = [sys.executable, "-c", COMMAND, scripted.spec, str(tmp_path / "run")]
        journal, seen_at_kill = tmp_path / "run" / "calls.journal", []
        for target in (60, 200):
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                if journal.exists() and journal.read_bytes().count(b"\n") >= target:
                    break
                time.sleep(0.005)
            assert process.poll() is None, "killed alive"
            process.kill()
            process.wait()
            seen_at_kill.append(kept(journal))
        subprocess.run(command, check=True)
        done = read_records(tmp_path / "run" / "responses.jsonl", Response)
        assert len(done) == 400
        rows = {r.id: r.text for r in done}
        assert all(len(s) >= 50 for s in seen_at_kill) and seen_at_kill[0] < seen_at_kill[1]
        for id in seen_at_kill[0]:
            assert rows[id].endswith(" 1"), "kept at the first kill, so asked once"
        repeated = [key for key, n in scripted.seen.items() if n > 1]
        assert len(repeated) <= 2 * 8, "only what was under way at a kill is asked again"
        assert len(scripted.seen) == 400
        endpoint = open_endpoint(scripted.spec, calls=tmp_path / "run" / "calls.jsonl")
        assert len(endpoint.calls.used) == 400, "one kept answer a row"
        endpoint.close()
