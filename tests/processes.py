"""A test's job under torchrun, in processes of its own."""

import os
import subprocess
import sys


def launcher(world):
    """The arguments of Python that start what follows in `world` processes."""
    return [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(world),
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
    ]


def torchrun(world, job, *arguments):
    """Run `python -m job arguments` in `world` processes; its exit code and standard error."""
    done = subprocess.run(
        [sys.executable, *launcher(world), "-m", job, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        timeout=300,
    )
    return done.returncode, done.stderr
