"""One side of a cell in a process of its own: a line on standard input is a step, a JSON line on standard output its cost.

Sides: "windvane" (trees), "rows" (the same rows as one-branch trees, in the same code), "trl" (the real DPOTrainer: fused head on its GPU
path, cached reference, no gradient checkpointing) and "trl-rows" (TRL's patched model on padded rows, for batches that are not pairs).
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")

import torch
import tree_shapes as shapes

from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree


def memory(name: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at its highest."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1024


class Meter:
    """Waits for a line, measures what happens until `stop`."""

    def __init__(self, out: Any, base: float | None = None) -> None:
        self.out = out
        gc.collect()
        self.base = memory("VmRSS") if base is None else base
        with contextlib.suppress(OSError):  # the high-water mark starts anew
            Path("/proc/self/clear_refs").write_text("5")

    def start(self) -> None:
        print(json.dumps({"ready": True}), file=self.out, flush=True)
        if not sys.stdin.readline():
            sys.exit(0)
        self.at = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        wall, cpu = time.perf_counter() - self.at[0], time.process_time() - self.at[1]
        cost = {"wall": wall, "cpu": cpu, "base": self.base, "peak": memory("VmHWM")}
        print(json.dumps(cost), file=self.out, flush=True)


def build(case: dict[str, Any]) -> list[shapes.Batch]:
    vocabulary = case["shape"]["vocab_size"]
    kind, size = case["kind"], case["size"]
    if kind == "flat":
        return [shapes.flat(size[0], size[1:], vocabulary)]
    if kind == "mixed":
        return shapes.mixed(size[0], vocabulary)
    return [getattr(shapes, kind)(size[0], vocabulary)]


def loss_of(values: list[list[torch.Tensor | None]]) -> torch.Tensor:
    """Any loss that is linear in every read log-prob costs the same; DPO's is."""
    parts = [v.sum() for tree in values for v in tree if v is not None]
    signs = torch.tensor([0.1 if i % 2 else -0.1 for i in range(len(parts))])
    return torch.nn.functional.softplus((torch.stack(parts) * signs).sum())


def windvane(case: dict[str, Any], out: Any) -> None:
    model = shapes.make_model(case["shape"])
    if case.get("pure_bf16"):
        model = model.to(torch.bfloat16)
    scorer, batches, base = Scorer(model), build(case), memory("VmRSS")
    scorer.logps(batches[0].trees if case["side"] == "windvane" else batches[0].rows[:1])  # the self-check, once
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def compute(trees: list[Tree]) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=case["bf16"]):
            loss = loss_of(scorer.logps(trees))
        loss.backward()

    def step() -> None:
        for batch in batches:
            if case["side"] == "windvane":
                compute(batch.trees)
            elif case["kind"] == "mixed":
                compute(batch.rows)  # packed without padding, nothing shared
            else:
                for row in batch.rows:
                    compute([row])
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    meter = Meter(out, base)  # what the self-check left behind counts
    for _ in range(case["steps"]):
        meter.start()
        step()
        meter.stop()
    if case.get("profile"):
        print(json.dumps(profile(step)), file=out, flush=True)
    assert scorer.mode == "trees", scorer.reason


def profile(step: Any) -> dict[str, float]:
    """Where one more step's time goes, as fractions: the flash operators, matrix products, everything else."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    found = {"attention": 0.0, "gemm": 0.0, "rest": 0.0}
    for event in seen.key_averages():
        kind = (
            "attention"
            if "flash_attention" in event.key
            else "gemm"
            if event.key in ("aten::mm", "aten::addmm_")
            else "rest"
        )
        found[kind] += event.self_cpu_time_total
    return {kind: time / sum(found.values()) for kind, time in found.items()}


def trainer(case: dict[str, Any], pairs: list[tuple[list[int], list[int], list[int]]], callbacks: list[Any]) -> Any:
    """TRL's DPOTrainer on its GPU path, on token ids; the cached reference is a constant."""
    import tempfile

    import trl.trainer.utils
    from datasets import Dataset, disable_progress_bars
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    disable_progress_bars()
    trl.trainer.utils._use_triton = lambda device: True  # score completion positions only, as it does on CUDA
    size = case["shape"]["vocab_size"]
    names = {f"w{i}": i for i in range(4, size)} | {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3}
    words = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)

    def text(ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids)

    # the trainer appends the end token, hence the missing last one
    table = [{"prompt": text(p), "chosen": " " + text(c[:-1]), "rejected": " " + text(r[:-1])} for p, c, r in pairs]
    cached = -600.0
    DPOTrainer._precompute_ref_logps = lambda self, data, *_: data.add_column(
        "ref_chosen_logps", [cached] * len(data)
    ).add_column("ref_rejected_logps", [cached] * len(data))
    args = DPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=len(pairs), max_steps=case["steps"], max_length=None,
        precompute_ref_log_probs=True, gradient_checkpointing=False, bf16=case["bf16"], use_cpu=True, report_to=[],
        save_strategy="no", logging_steps=1000, learning_rate=1e-6, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    made = DPOTrainer(
        model=shapes.make_model(case["shape"]), args=args, train_dataset=Dataset.from_list(table),
        processing_class=tokenizer, callbacks=callbacks,
    )  # fmt: skip
    lengths = [tuple(len(row[k]) for k in ("prompt_ids", "chosen_ids", "rejected_ids")) for row in made.train_dataset]
    assert lengths == [tuple(map(len, pair)) for pair in pairs], lengths
    return made


def trl_pairs(case: dict[str, Any], out: Any) -> None:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.meter = Meter(out)

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.meter.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.meter.stop()

    parts = [[list(n.token_ids) for n in row.nodes] for row in build(case)[0].rows]
    pairs = [(a[0], a[1], b[1]) for a, b in zip(parts[::2], parts[1::2])]
    trainer(case, pairs, [Steps()]).train()


def trl_rows(case: dict[str, Any], out: Any) -> None:
    r = shapes.tokens(case["shape"]["vocab_size"], 9)
    model = trainer(case, [(r(8), r(8), r(8))], []).model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    batches = build(case)
    model.train()
    meter = Meter(out)
    for _ in range(case["steps"]):
        meter.start()
        for batch in batches:
            longest = max(row.tokens for row in batch.rows)
            ids = torch.full((len(batch.rows), longest), 3)
            labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
            for i, row in enumerate(batch.rows):
                read = [t if n.read else -100 for n in row.nodes for t in n.token_ids]
                ids[i, : row.tokens], mask[i, : row.tokens] = torch.tensor(row.row(row.leaves[0])), 1
                labels[i, : row.tokens] = torch.tensor(read)
            with torch.autocast("cpu", torch.bfloat16, enabled=case["bf16"]):
                logps = model(
                    input_ids=ids, attention_mask=mask, labels=labels, use_cache=False, fused_lm_head=True
                ).log_probs
            loss_of([list(logps.sum(1).unbind())]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        meter.stop()


def main() -> None:
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case["threads"])
    sides = {"windvane": windvane, "rows": windvane, "trl": trl_pairs, "trl-rows": trl_rows}
    out = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()):
        sides[case["side"]](case, out)


if __name__ == "__main__":
    main()
