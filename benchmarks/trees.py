"""Windvane's trees beside TRL's DPOTrainer: `python benchmarks/trees.py --json [--quick]`.

Equality first; then, per cell, fresh processes that take steps in turn, medians of CPU time, peak memory over base (MiB), and
the share of the FLOP bound that sharing reaches in our own code. `bound` = FLOPs of a row per response / FLOPs of the tree;
`share` = (CPU time of the same rows as one-branch trees / CPU time of the tree) / bound. TRL's ratios stand beside it and are
never used for the share. `projected_32_layers` is what the same shape would give at 32 layers: the FLOPs of TRL's rows over the
tree's there, times the share reached here (TRL taken at our rate, so that a small model's large head flatters nobody).
`--device cuda --shape mistral-7b` runs benchmarks/tree_gpu.py instead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import tree_shapes as shapes
from tree_flops import padded_flops, tree_flops
from tree_sides import build

HERE = Path(__file__).parent
# name, kind, size, TRL's side, targets (time, memory, share)
CASES: list[tuple[str, str, list[int], str, dict[str, float]]] = [
    ("2 branches of 64, trunk 2,048", "flat", [2048, 64, 64], "trl", {"time": 2.0, "memory": 1.8, "share": 0.92}),
    ("branches 64/48, trunk 2,048", "flat", [2048, 64, 48], "trl", {"time": 3.0, "memory": 1.8, "share": 0.92}),
    ("5 branches of 300-500, trunk 200", "flat", [200, 300, 350, 400, 450, 500], "trl-rows", {"memory": 1.0, "share": 0.95}),
    ("2 branches of 64, trunk 8,192", "flat", [8192, 64, 64], "trl", {"time": 2.1, "memory": 1.9, "share": 0.92}),
    ("5 branches of 64, trunk 2,048", "flat", [2048, *[64] * 5], "trl-rows", {"time": 3.9, "memory": 3.2, "share": 0.92}),
    ("LongPO: 2 conversations of 4 questions on 8,192 tokens, NLL over the chosen one", "conversations", [8192], "trl-rows",
     {"time": 1.9, "memory": 2.5, "share": 0.92}),
    ("4 questions x 2 answers on 8,192 tokens", "questions", [8192], "trl", {"time": 6.0, "memory": 3.5, "share": 0.92}),
]  # fmt: skip
PEAKS = [(d, bf16) for d in (32, 128) for bf16 in (False, True)]
GROWTH = [512, 1024, 2048, 4096, 8192, 16384, 32768]


def gemm(bf16: bool = False) -> float:
    """This core's GFLOP per CPU-second in a 2048 x 2048 product, now."""
    x = torch.randn(2048, 2048).to(torch.bfloat16 if bf16 else torch.float32)
    found = []
    for _ in range(3):
        start = time.process_time()
        x @ x
        found.append(2 * 2048**3 / 1e9 / (time.process_time() - start))
    return statistics.median(found)


class Side:
    """A process that takes a step when told."""

    def __init__(self, side: str, case: dict[str, Any], **env: str) -> None:
        command = [sys.executable, str(HERE / "tree_sides.py"), json.dumps(case | {"side": side})]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=os.environ | env, **pipes)
        self.steps: list[dict[str, float]] = []
        self.profiled = case.get("profile", False)

    def _read(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a side of the benchmark died:\n{self.process.stderr.read()[-3000:]}")
        return json.loads(line)

    def ready(self) -> Side:
        """Wait until it asks for the next step."""
        self._read()
        return self

    def start(self) -> None:
        self.process.stdin.write("step\n")
        self.process.stdin.flush()

    def finish(self) -> None:
        self.steps.append(self._read())

    def close(self) -> dict[str, Any]:
        found = {"profile": self._read()} if self.profiled else {}
        self.process.stdin.close()
        self.process.wait()
        warm = self.steps[1:] or self.steps
        cost = {k: statistics.median(s[k] for s in warm) for k in ("cpu", "wall")}
        return cost | found | {"memory": max(s["peak"] for s in self.steps) - self.steps[0]["base"], "steps": len(warm)}


def alternate(case: dict[str, Any], sides: list[str]) -> tuple[dict[str, dict[str, float]], float]:
    """Costs per side, steps taken in turn; and the median GEMM rate between them."""
    running = {side: Side(side, case) for side in sides}  # they start together and wait
    rates = []
    for i in range(case["steps"]):
        if i == 0:
            for side in running.values():
                side.ready()
        for side in running.values():
            rates.append(gemm(case["bf16"]))
            side.start()
            side.finish()
            if i + 1 < case["steps"]:
                side.ready()
    return {name: side.close() for name, side in running.items()}, statistics.median(rates)


def live_memory(case: dict[str, Any], sides: list[str]) -> list[float]:
    """Peak over base with an allocator that gives back at once what is freed (glibc's threshold fixed at 1 MiB): what tensors
    need, without what fragments of a small process's heap add on either side. Slow, hence a pass of its own, untimed, all at once."""
    running = [Side(side, case | {"steps": 2}, MALLOC_MMAP_THRESHOLD_=str(1 << 20)) for side in sides]
    for _ in range(2):
        for part in (Side.ready, Side.start, Side.finish):
            for side in running:
                part(side)
    return [side.close()["memory"] for side in running]


def compare(name: str, kind: str, size: list[int], trl: str, targets: dict[str, float], args: Any) -> dict[str, Any]:
    case = {
        "kind": kind,
        "size": size,
        "steps": args.steps + 1,
        "threads": args.threads,
        "bf16": False,
        "shape": args.model,
    }
    batch = build(case)[0]
    costs, rate = alternate(case, ["windvane", "rows", *([trl] if args.trl else [])])
    shape, mine = case["shape"], costs["windvane"]
    work = tree_flops(batch.trees, shape)
    by_rows = sum(tree_flops([row], shape) for row in batch.rows)
    cell = {
        "case": name,
        "bound": by_rows / work,
        "share": costs["rows"]["cpu"] / mine["cpu"] / (by_rows / work),
        "peak_share": work / 1e9 / mine["cpu"] / rate,
        "gemm_gflops": rate,
        "targets": targets,
        "windvane": mine,
        "rows": costs["rows"],
    }
    if args.trl:
        theirs = costs[trl]
        ratio = theirs["cpu"] / mine["cpu"]
        bounds = {n: padded_flops(batch.rows, shape, n) / tree_flops(batch.trees, shape, n) for n in (None, 32)}
        if size[0] <= 4096:  # beyond, a step takes minutes in that pass and fragments weigh little
            mine["live_memory"], theirs["live_memory"] = live_memory(case, ["windvane", trl])
        cell |= {
            "time_ratio": ratio,
            "memory_ratio": theirs.get("live_memory", theirs["memory"]) / mine.get("live_memory", mine["memory"]),
            "resident_ratio": theirs["memory"] / mine["memory"],
            "flops_ratio": bounds[None],
            "projected_32_layers": bounds[32] * min(1.0, cell["share"]),
            "trl": theirs | {"side": trl},
        }
    return cell


def mixed(args: Any) -> dict[str, Any]:
    """Rows of mixed lengths: padded batches (TRL's forward), packed rows, packed trees."""
    case = {
        "kind": "mixed",
        "size": [args.rows // 2],
        "steps": 1,
        "threads": args.threads,
        "bf16": False,
        "shape": args.model,
    }
    costs, _ = alternate(case, ["windvane", "rows", *(["trl-rows"] if args.trl else [])])
    batches = build(case)
    work = sum(tree_flops(b.trees, args.model) for b in batches)
    apart = sum(tree_flops([row], args.model) for b in batches for row in b.rows)
    bound, gain = apart / work, costs["rows"]["cpu"] / costs["windvane"]["cpu"]
    cell = {
        "case": f"{args.rows} rows of mixed lengths",
        "bound": bound,
        "share": gain / bound,
        "sharing_gain": gain,
        "costs": costs,
    }
    if args.trl:
        theirs = costs["trl-rows"]
        cell |= {
            "packing_gain": theirs["cpu"] / costs["rows"]["cpu"],
            "time_ratio": theirs["cpu"] / costs["windvane"]["cpu"],
            "memory_ratio": theirs["memory"] / costs["windvane"]["memory"],
        }
    return cell


def own(trunk: int, shape: dict[str, int], bf16: bool, steps: int, args: Any, profile: bool = False) -> dict[str, Any]:
    """Our own step alone: its FLOPs per CPU-second beside this core's float32 GEMM rate, and where its time goes."""
    case = {
        "kind": "flat",
        "size": [trunk, 64, 64],
        "steps": steps,
        "threads": args.threads,
        "bf16": bf16,
        "shape": shape,
        "profile": profile,
    }
    costs, _ = alternate(case, ["windvane"])
    rate, work = gemm(), tree_flops(build(case)[0].trees, shape) / 1e9
    cpu = costs["windvane"]["cpu"]
    return {
        "trunk": trunk, "head": shape["head_dim"], "bf16": bf16, "cpu": cpu, "gflop": work,
        "peak_share": work / cpu / rate, "memory": costs["windvane"]["memory"],
        **({"profile": costs["windvane"]["profile"]} if profile else {}),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--quick", action="store_true", help="equality and the first three cases")
    parser.add_argument(
        "--steps", type=int, help="timed steps a side, after one to warm up (3, heavy cases 1; 2 with --quick)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1000, help="rows of the mixed-lengths case")
    parser.add_argument(
        "--only",
        help="cases whose name begins with this; 'mixed', 'peaks' and 'growth' name the other parts; on a GPU trunk/branch, as 8192/1024",
    )
    parser.add_argument("--no-trl", dest="trl", action="store_false", help="our own sides alone")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--gpu-script", action="store_true", help="benchmarks/tree_gpu.py whatever the device")
    parser.add_argument("--shape", default="small", choices=["small", "tiny", "mistral-7b"])
    args = parser.parse_args()
    if args.device == "cuda" or args.shape == "mistral-7b" or args.gpu_script:
        import tree_gpu

        return tree_gpu.main(args)
    from tree_equal import equality

    torch.set_num_threads(args.threads)
    args.model = {"small": shapes.SMALL, "tiny": shapes.TINY}[args.shape]
    say = (lambda *_: None) if args.json else (lambda text: print(text, flush=True))
    found: dict[str, Any] = {
        "equal": equality(args.model),
        "threads": args.threads,
        "torch": torch.__version__,
        "cells": [],
    }
    say(f"equal: {found['equal']}")
    chosen, only = CASES[:3] if args.quick else CASES, args.only
    steps = args.steps
    for name, kind, size, trl, targets in chosen:
        if only and not name.startswith(only):
            continue
        args.steps = steps or (1 if size[0] > 4096 else 2 if args.quick else 3)
        found["cells"].append(compare(name, kind, size, trl, targets, args))
        say(json.dumps(found["cells"][-1]))
    if not args.quick and only in (None, "mixed"):
        found["cells"].append(mixed(args))
        say(json.dumps(found["cells"][-1]))
    if not args.quick and only in (None, "peaks"):
        wide = {32: args.model, 128: shapes.WIDE_HEADS} if args.shape == "small" else {32: args.model, 128: args.model}
        found["peaks"] = [own(4096, wide[d], bf16, (steps or 3) + 1, args, profile=True) for d, bf16 in PEAKS]
        say(json.dumps(found["peaks"]))
    if not args.quick and only in (None, "growth"):
        found["growth"] = [own(n, args.model, False, 2 if n <= 8192 else 1, args) for n in GROWTH]
        say(json.dumps(found["growth"]))
    if args.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
