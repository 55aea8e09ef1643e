"""LongPO at 7B: what the published setup and ours need, by arithmetic; and that arithmetic against memory measured at a small shape.

`python benchmarks/long_memory.py` prints the table. `--check` measures: fresh processes take one LongPO-like step (a document, a chosen
and a rejected answer of 64 tokens, the NLL over every token of the chosen row, gradient checkpointing) at two lengths and two depths, as
one tree and as two rows; what memory grows by a token, and a layer, is set beside what it should. About two minutes of CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

GIB = 2**30
LAYERS, WIDTH, PARAMETERS, WEIGHTS = 32, 4096, 7.242e9, 7.11e9  # Mistral-7B; WEIGHTS: without the input embedding
VOCABULARY = 32_000
LAYER_SET = 250e3  # bytes a token while one block is computed again and back-propagated, bfloat16 (notes on the paper)
TILE = (
    552 * 2**20
)  # bytes: a tile of logits in float32, its gradient, log-probs kept for the backward (models/trees/lm_head.py, CUDA)
FLOPS = 1.07e14  # a second and GPU: the published 4,401 tokens a second on 8 A800, both rows counted
# length: (documents, GPUs, tokens a second) as published
PUBLISHED = {131_072: (45_000, 8, 4401.0), 262_144: (16_000, 16, 4120.0), 524_288: (2_500, 16, 2744.0)}
CHUNK, QUESTIONS = 30_000, 4


def forward(tokens: float) -> float:
    """Operations to read a row: 2 a weight and token, and causal attention."""
    return 2 * WEIGHTS * tokens + 2 * LAYERS * WIDTH * tokens**2


def memory(tokens: int, gpus: int, ours: bool) -> dict[str, float]:
    """GiB on each GPU. Published: bfloat16 with fp32 master and RMSprop (12 B a weight), the reference sharded beside it, both rows in one
    forward, logits of both whole (fp32, their bfloat16, a second fp32 copy of the chosen row's). Ours: float32 weights, gradients
    and RMSprop (12 B), autocast (the residual stream is float32), one row for both answers, logits in tiles, no reference model."""
    rows = 1 if ours else 2
    share = tokens / gpus
    parts = {
        "states": 12 * PARAMETERS / gpus,
        "reference": 0.0 if ours else 2 * PARAMETERS / gpus,
        "checkpoints": rows * LAYERS * WIDTH * share * (4 if ours else 2),
        "one block": rows * LAYER_SET * share,
        "logits": TILE if ours else (2 * (4 + 2) + 4) * share * VOCABULARY,
        "gathered weights": 2 * 2 * PARAMETERS / LAYERS * (2 if ours else 1),
    }
    return {name: value / GIB for name, value in parts.items()}


def hours(tokens: int, ours: bool) -> dict[str, float]:
    """Wall hours on the published number of GPUs, each document of the full length."""
    documents, gpus, rate = PUBLISHED[tokens]
    reads = documents * forward(tokens) / (FLOPS * gpus) / 3600
    short = documents * QUESTIONS * forward(CHUNK) / (FLOPS * gpus) / 3600
    if not ours:
        return {"rejected answers": QUESTIONS * reads, "training": documents * 2 * tokens / rate / 3600}
    # forward, backward (twice), and the forward again under checkpointing; published: the same for two rows, and the reference's
    return {"rejected answers": reads, "reference": short, "training": 4 * reads}


def table() -> None:
    print("memory a GPU, GiB (arithmetic)")
    for tokens, (_, gpus, _) in PUBLISHED.items():
        for ours in (False, True):
            parts = memory(tokens, gpus, ours)
            told = ", ".join(f"{name} {value:.1f}" for name, value in parts.items() if value)
            print(
                f"{tokens // 1024}K on {gpus} GPUs, {'ours' if ours else 'published'}: {sum(parts.values()):.0f} ({told})"
            )
    print("hours on those GPUs (arithmetic)")
    for tokens, (documents, gpus, _) in PUBLISHED.items():
        for ours in (False, True):
            parts = hours(tokens, ours)
            told = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
            who = f"{tokens // 1024}K, {documents} documents, {gpus} GPUs, {'ours' if ours else 'published'}"
            print(f"{who}: {sum(parts.values()):.0f} ({told})")


def step(layers: int, tokens: int, rows: bool) -> float:
    """Bytes of one step's peak over what stood before it, resident."""
    import torch
    import tree_shapes as shapes

    from windvane.models.trees.logprobs import Scorer
    from windvane.models.trees.tree import Tree

    torch.set_num_threads(1)
    model = shapes.make_model(shapes.SMALL | {"num_hidden_layers": layers})
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    draw = shapes.tokens(32_000, 1)

    def once(size: int) -> None:
        document, chosen, rejected = draw(size), draw(64), draw(64)
        pair = [((*document, *chosen), 1), ((*document, *rejected), size)]
        trees = [Tree.of_rows([row]) for row in pair] if rows else [Tree.of_rows(pair)]
        values = scorer.logps(trees)
        torch.stack([v.sum() for nodes in values for v in nodes if v is not None]).sum().backward()

    scorer = Scorer(model)
    once(128)  # gradients, workspaces and the self-check stand before
    base = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    once(tokens)
    return _status("VmHWM") - base


def _status(name: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return 1024.0 * int(line.split()[1])


def check(short: int, long: int) -> None:
    """Growth a token, whole and a layer, tree beside rows; and what the layers' inputs are kept in under autocast."""
    print(
        f"measured: float32, width 256, 6 layers (and 2, to tell a layer's part), from {short} to {long} tokens",
        flush=True,
    )
    for rows in (False, True):
        grown = {}
        for layers in (2, 6):
            peaks = [_apart(layers, n, rows) for n in (short, long)]
            grown[layers] = (peaks[1] - peaks[0]) / (long - short)
        each = (grown[6] - grown[2]) / 4
        wanted = 256 * 4 * (2 if rows else 1)
        name = "two rows" if rows else "one tree"
        told = f"a layer {each:.0f}, reckoned {wanted} ({each / wanted:.2f} of it)"
        print(f"{name}: {grown[6]:.0f} bytes a token with 6 layers; {told}", flush=True)
    print(f"logits of every token of one row would be {4 * VOCABULARY} bytes a token in float32")
    print(f"layer inputs under bfloat16 autocast: {', '.join(sorted(kept_in()))}")


def kept_in() -> set[str]:
    """The types of what goes into the layers of float32 weights under bfloat16 autocast."""
    import torch
    import tree_shapes as shapes

    model, found = shapes.make_model(shapes.TINY), set()
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda _module, given: found.add(str(given[0].dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.arange(8)[None])
    return found


def _apart(layers: int, tokens: int, rows: bool) -> float:
    flags = ["--step", str(layers), str(tokens), str(int(rows))]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(
        [sys.executable, __file__, *flags], capture_output=True, text=True, check=True, env=environment
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--lengths", type=int, nargs=2, default=(2048, 4096), metavar="N")
    parser.add_argument("--step", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(step(given.step[0], given.step[1], bool(given.step[2])))
    elif given.check:
        check(*given.lengths)
    else:
        table()
