"""Many clients at once: does the service answer them all, and how much longer than one?

    python benchmarks/serve.py                      # 50 clients for 60 s, one client for 10 s before
    python benchmarks/serve.py --clients 10 --seconds 5 --json

In: nothing. Out: requests, errors (any status but 200, any broken connection), requests a second, median and 95th percentile of the
time to the whole answer, CPU time a request and the service's share of a core (far below 1: other work had the machine), for one client
and for many. The service runs in a process of its own on a free port of this machine, without a rate limit, with the shipped scorer;
each client sends one of four transcripts at once after the answer to its last. Scoring is Python in one process, so many clients wait
for each other: the figure to look at is errors, and whether requests a second hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import psutil

from windvane.serve.speaking_routes import EXAMPLES


async def client(
    http: httpx2.AsyncClient, number: int, until: float, explain: bool, times: list[float], errors: list[str]
) -> None:
    """One request after another's answer, one at least, until `until`."""
    turn = number
    while True:
        turn += 1
        body = {"text": EXAMPLES[turn % 4 + 1], "part": turn % 4 + 1, "explain": explain}
        start = time.perf_counter()
        try:
            reply = await http.post("/api/v1/score", json=body)
            if reply.status_code == 200 and reply.json()["sheets"][0]["status"] == "scored":
                times.append(time.perf_counter() - start)
            else:
                errors.append(f"status {reply.status_code}: {reply.text[:100]}")
        except httpx2.HTTPError as error:
            errors.append(type(error).__name__)
        if time.perf_counter() >= until:
            return


async def load(
    base: str, clients: int, seconds: float, explain: bool = True, process: int | None = None
) -> dict[str, object]:
    """Figures of `clients` at once for `seconds`. `process`: the service's, whose CPU time is read."""
    watched = psutil.Process(process) if process else None
    before = watched.cpu_times() if watched else None
    times: list[float] = []
    errors: list[str] = []
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx2.AsyncClient(base_url=base, timeout=120, limits=limits, trust_env=False) as http:
        start = time.perf_counter()  # making it took a while
        await asyncio.gather(*(client(http, n, start + seconds, explain, times, errors) for n in range(clients)))
    took = time.perf_counter() - start
    after = watched.cpu_times() if watched else None
    spent = after.user + after.system - before.user - before.system if after and before else float("nan")
    cuts = statistics.quantiles(times, n=20) if len(times) > 1 else [float("nan")] * 19
    return {
        "clients": clients,
        "seconds": round(took, 1),
        "requests": len(times),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "per_second": round(len(times) / took, 1),
        "median_ms": round(1000 * cuts[9], 1),
        "p95_ms": round(1000 * cuts[18], 1),
        "cpu_ms": round(1000 * spent / max(1, len(times)), 1),
        "cpu_share": round(spent / took, 2),
    }


def served(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """`windvane serve` in a process of its own; its address."""
    command = [sys.executable, "-m", "windvane", "serve", "--port", "0", "--rate", "0", "--data", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.match(r"(http://\S+)", process.stdout.readline())
    assert found, "the service did not start"
    for _ in range(600):
        try:
            if httpx2.get(f"{found[1]}/health", trust_env=False).status_code == 200:
                break
        except httpx2.HTTPError:
            time.sleep(0.1)
    return process, found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Load on windvane serve.")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--plain", action="store_true", help="without weighing every sentence")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, base = served(Path(folder))
        try:
            one = asyncio.run(load(base, 1, min(10.0, options.seconds), not options.plain, process.pid))
            many = asyncio.run(load(base, options.clients, options.seconds, not options.plain, process.pid))
        finally:
            process.terminate()
            process.wait(30)
    if options.json:
        print(json.dumps({"one": one, "many": many}))
        return
    for row in (one, many):
        print("  ".join(f"{k} {v}" for k, v in row.items() if v is not None))


if __name__ == "__main__":
    main()
