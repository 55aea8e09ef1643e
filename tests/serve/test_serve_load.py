"""Many clients at once for a few seconds; the long form is benchmarks/serve.py."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import SPOKEN, opened

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve.py"


@pytest.mark.slow
def test_many_clients_for_five_seconds():
    """50 clients on a socket: no error, everybody is answered, and few wait ten times longer than a fair share."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seconds", "5", "--plain", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    one, many = found["one"], found["many"]
    assert (one["errors"], many["errors"]) == (0, 0), many["first_error"]
    assert many["requests"] >= 50
    fair = 1000 * many["clients"] / many["per_second"]
    assert many["p95_ms"] < 10 * fair


def test_the_counter_of_errors_counts(tmp_path):
    """A rate limit in the way: the script's errors are what the service refused."""
    spec = importlib.util.spec_from_file_location("serve_load", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.EXAMPLES) == {1, 2, 3, 4}
    with opened(tmp_path, rate=2) as client:
        statuses = [
            client.post("/api/v1/score", json={"text": SPOKEN, "part": 1, "explain": False}).status_code
            for _ in range(4)
        ]
    assert statuses == [200, 200, 429, 429]
