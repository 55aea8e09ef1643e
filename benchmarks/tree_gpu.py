"""Trees on a GPU at 7B shape: `python benchmarks/trees.py --device cuda --shape mistral-7b --json`.

Random weights, bfloat16, LoRA on all projections, gradient checkpointing. Equality first, on two layers of the same widths: the
tree's distance from float32 rows beside the bfloat16 rows' own. Then, each cell in a process of its own (under nine minutes),
trunk/branch 2K/64, 8K/1K, 16K/64 and 16K/1K with two branches: trees, and a row per response in the same code. `share` = (rows'
time / tree's time) / bound. MFU counts causal FLOPs, recompute not counted, LoRA's frozen weights at 4N, against 989 TFLOP/s.
`--only 8192/1024` takes the cells whose trunk/branch begins so, where a machine is lent for minutes.
`--device cpu --shape tiny --gpu-script` runs the same code small, in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import peft
import torch
import tree_equal
import tree_shapes as shapes
from tree_flops import score_pairs, tree_flops, widths

from windvane.models.trees.logprobs import Scorer, rows_logps
from windvane.models.trees.packing import pack
from windvane.models.trees.tree import Tree

CELLS = [(2048, 64), (8192, 1024), (16384, 64), (16384, 1024)]
PEAK = 989e12  # dense bfloat16 FLOP/s of an H100 or H200


def lora_model(shape: dict[str, int], device: str, rank: int = 16) -> Any:
    """Random bfloat16 weights made on the device; LoRA matrices in float32, B not zero so that all gradients exist."""
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        base = shapes.make_model(shape)
        torch.set_default_dtype(torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = peft.get_peft_model(base, peft.LoraConfig(r=rank, target_modules=targets))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    return model.train()


def lora_flops(trees: list[Tree], shape: dict[str, int]) -> float:
    """As tree_flops, but frozen weights at 4N: forward and the gradient of the input. Attention stays at 6 per pair; the LoRA
    matrices, under 1% of the work, are left out."""
    _, _, pair = widths(shape)
    plan, packing = pack(trees).plan, pack(trees)
    attention = 6 * pair * ((shape["num_hidden_layers"] - 1) * score_pairs(plan) + score_pairs(plan.kept(packing.runs)))
    return (tree_flops(trees, shape) - attention) * 4 / 6 + attention


def bf16_equality(shape: dict[str, int], device: str) -> dict[str, float]:
    """Distances from float32 rows: of trees in bfloat16 and of rows in bfloat16."""
    model = shapes.make_model(shape | {"num_hidden_layers": 2}, scale=2.0).to(device)
    vocabulary = shape["vocab_size"]
    trees = shapes.flat(700, [64, 37], vocabulary).trees
    truth, grads = tree_equal.measure(model, lambda: rows_logps(model, trees))
    model = model.to(torch.bfloat16)
    scorer = Scorer(model)
    found = {}
    for name, compute in (("trees", scorer.logps), ("rows", lambda t: rows_logps(model, t))):
        values, mine = tree_equal.measure(model, lambda compute=compute: compute(trees))
        found[f"{name}_logps"] = tree_equal.gap(values, truth)
        found[f"{name}_grad"] = max(tree_equal.gap(mine[n], grads[n]) for n in grads)
    assert scorer.mode == "trees", scorer.reason
    return found


def cell(shape: dict[str, int], trunk: int, branch: int, device: str, steps: int) -> dict[str, Any]:
    """One trunk, two branches: trees and rows in turn."""
    model = lora_model(shape, device)
    scorer = Scorer(model)
    batch = shapes.flat(trunk, [branch, branch], shape["vocab_size"])
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=device == "cuda")
    cuda = device == "cuda"

    def step(groups: list[list[Tree]], logps: Any = scorer.logps) -> tuple[float, float]:
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter() if cuda else time.process_time()
        for trees in groups:
            with torch.autocast(device, torch.bfloat16):
                values = torch.cat([v for tree in logps(trees) for v in tree if v is not None])
            (values.sum() * 0.01).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
            return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 2**30
        return time.process_time() - start, 0.0

    tree_side, rows_side = [batch.trees], [[row] for row in batch.rows]
    scorer.check(batch.trees)
    for groups in (tree_side, rows_side):
        step(groups)
    timed: list[list[tuple[float, float]]] = [[], []]
    for _ in range(steps):
        for found, groups in zip(timed, (tree_side, rows_side)):
            found.append(step(groups))
    mine, rows = (statistics.median(t for t, _ in found) for found in timed)
    work = lora_flops(batch.trees, shape)
    bound = sum(lora_flops([row], shape) for row in batch.rows) / work
    assert scorer.mode == "trees", scorer.reason
    theirs = trl_step(model, batch.rows, step, steps)
    return {
        "trl_seconds": theirs, "trl_ratio": theirs and theirs / mine,
        "trunk": trunk, "branch": branch, "bound": bound, "ratio": rows / mine, "share": rows / mine / bound,
        "seconds": mine, "rows_seconds": rows, "mfu": work / mine / PEAK if cuda else None,
        "memory_gib": max(m for _, m in timed[0]), "rows_memory_gib": max(m for _, m in timed[1]),
    }  # fmt: skip


def trl_step(model: Any, rows: list[Tree], step: Any, steps: int) -> float | None:
    """Median seconds of the same rows, padded, through TRL's fused head (what its DPOTrainer runs); None where TRL is not installed."""
    try:
        import trl.trainer.utils
    except ImportError:
        return None
    trl.trainer.utils._use_triton = lambda _: True  # its GPU path, also where this runs without one
    trl.trainer.utils.add_fused_lm_head(model.get_base_model())
    device = model.get_input_embeddings().weight.device
    longest = max(row.tokens for row in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -100)
    for i, row in enumerate(rows):
        ids[i, : row.tokens] = torch.tensor(row.row(row.leaves[0]))
        labels[i, : row.tokens] = torch.tensor([t if n.read else -100 for n in row.nodes for t in n.token_ids])
    mask = (torch.arange(longest) < torch.tensor([[row.tokens] for row in rows])).long()
    given = {k: v.to(device) for k, v in (("input_ids", ids), ("labels", labels), ("attention_mask", mask))}

    def logps(_: list[Tree]) -> list[list[torch.Tensor]]:
        return [[row] for row in model(**given, use_cache=False, fused_lm_head=True).log_probs]

    step([rows], logps)
    return statistics.median(step([rows], logps)[0] for _ in range(steps))


def main(args: Any) -> int:
    """Equality, then each cell in a fresh process; one JSON object."""
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/trees.py: --device cuda, but torch finds no GPU; --device cpu --shape tiny tries the code"
        )
    shape = {"mistral-7b": shapes.MISTRAL_7B, "small": shapes.SMALL, "tiny": shapes.TINY}[args.shape]
    cells = [(64, 8), (256, 32)] if args.shape == "tiny" else CELLS
    chosen = [(t, b) for t, b in cells if f"{t}/{b}".startswith(args.only or "")]
    if not chosen:
        names = ", ".join(f"{t}/{b}" for t, b in cells)
        raise SystemExit(f"benchmarks/trees.py: --only {args.only}: no such cell; there are {names}")
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    found: dict[str, Any] = {"device": device, "torch": torch.__version__, "shape": args.shape}
    found["equal"] = bf16_equality(shape, args.device)
    if args.device == "cuda":
        torch.cuda.empty_cache()
    found["cells"] = []
    for trunk, branch in chosen:
        command = [
            sys.executable,
            str(Path(__file__)),
            args.shape,
            args.device,
            str(trunk),
            str(branch),
            str(args.steps or 5),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=540)
            failed = done.stderr.strip()[-500:] if done.returncode else None
        except subprocess.TimeoutExpired:  # the other cells' figures are kept
            failed = "not done in nine minutes"
        found["cells"].append(
            json.loads(done.stdout) if failed is None else {"trunk": trunk, "branch": branch, "failed": failed}
        )
    print(json.dumps(found))
    return 1 if any("failed" in c for c in found["cells"]) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in (("shape", str), ("device", str), ("trunk", int), ("branch", int), ("steps", int)):
        parser.add_argument(name, type=kind)
    asked = parser.parse_args()
    widths_of = {"mistral-7b": shapes.MISTRAL_7B, "small": shapes.SMALL, "tiny": shapes.TINY}[asked.shape]
    print(json.dumps(cell(widths_of, asked.trunk, asked.branch, asked.device, asked.steps)))
