"""`windvane merge`: an adapter, or a stack of them, added into its base: one plain model that needs no PEFT.

    windvane merge RUN --out MERGED
    windvane merge ADAPTER --out MERGED --dtype bfloat16 --max-shard-size 2GB

In: a run folder (its model), an adapter's folder or hub id, or any model (saved again in another precision or in shards). Out: DIR with
safetensors, config, generation config, tokenizer and chat template, published by one rename. The weights are added in float32 and then
rounded once. Before anything is published the merged model's log-probs on a probe are compared with those of model and adapter apart.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.models.load import DTYPES, load_model, load_tokenizer, save_plain
from windvane.models.lora import merge
from windvane.models.push import check_push, push
from windvane.runs.store import published

TOLERANCE = 1e-3  # nats, in float32: between adapter beside weights and adapter in weights
PROBE = 64  # tokens


def merge_adapter(
    spec: str, out: Path, dtype: str = "bfloat16", max_shard_size: str = "5GB", device: str = "cpu"
) -> dict[str, Any]:
    """Merge and save; returns how far the merge moved the probe's log-probs (float32), and what rounding to `dtype` moved on top (nats)."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: is there already; name a new folder")
    model = load_model(spec, "float32", device)
    adapted = hasattr(model, "peft_config")
    tokenizer = load_tokenizer(spec)
    before = _probe(model)
    model = merge(model)
    merged = _probe(model)
    gap = (before - merged).abs().max().item()
    if not gap <= TOLERANCE:
        raise UserError(
            f"model {spec}: merged, its log-probs differ by {gap:.2g} nats from those with the adapter beside; "
            "nothing was written"
        )
    model.to({**DTYPES, "float16": torch.float16}[dtype])
    rounded = (merged - _probe(model)).abs().max().item()
    if not math.isfinite(rounded):
        raise UserError(
            f"--dtype {dtype}: the merged model computes no finite log-probs in it; take bfloat16 or float32"
        )
    with published(out) as aside:
        save_plain(model, tokenizer, aside, max_shard_size, spec)
    return {"model": spec, "out": str(out), "adapter": adapted, "dtype": dtype, "gap": gap, "rounding": rounded}


@torch.no_grad()
def _probe(model: Any) -> torch.Tensor:
    """[n] log-probs of fixed ids, float32."""
    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(PROBE, device=device).mul(7919).add(13).remainder(vocabulary)[None]
    logits = model(input_ids=ids).logits.float().log_softmax(-1)[0]
    return logits[:-1].gather(1, ids[0, 1:, None])[:, 0].cpu()


def main(argv: Sequence[str]) -> int:
    """`windvane merge RUN_OR_ADAPTER --out DIR`."""
    parser = Parser(
        "windvane merge", description="An adapter, or a stack of them, added into its base: one plain model."
    )
    add = parser.add_argument
    add("model", metavar="RUN_OR_ADAPTER", help="a run folder, an adapter's folder or hub id, or any model")
    add("--out", required=True, metavar="DIR", type=Path, help="the new model's folder")
    add(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        default="bfloat16",
        help="of the saved weights (bfloat16)",
    )
    add("--max-shard-size", default="5GB", metavar="SIZE", help="the largest safetensors file (5GB)")
    add("--device", default="cpu", help="where it is computed (cpu)")
    add("--push", metavar="OWNER/NAME", help="then upload it to a private repository of the hub (never by default)")
    add("--json", action="store_true", help="print one JSON object")
    o = parser.parse_args(list(argv))
    if o.push:
        check_push(o.push)
    run = Path(o.model)
    told = merge_adapter(
        str(run / "model") if (run / "recipe.toml").exists() else o.model, o.out, o.dtype, o.max_shard_size, o.device
    )
    if o.json:
        print(json.dumps(told))
    else:
        what = "merged" if told["adapter"] else "held no adapter; saved again"
        print(
            f"{o.out}: {what}; log-probs of a probe moved by {told['gap']:.1e} nats in float32, and by "
            f"{told['rounding']:.1e} when rounded to {o.dtype}"
        )
    if o.push:
        print(f"pushed: {push(o.out, o.push)} (private)", file=sys.stderr)
    return 0
