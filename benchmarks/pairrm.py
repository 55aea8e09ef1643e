"""All ordered pairs of K answers through PairRM: ours, sorted by length and batched, beside one row at a time, alternating.

    python benchmarks/pairrm.py                      # a 6-layer DeBERTa-v3 of hidden 256; --json for one line of JSON
    python benchmarks/pairrm.py --layers 24 --hidden 1024 --rounds 1 --prompts 1        # PairRM's own shape (CUDA: --device cuda)
    python benchmarks/pairrm.py --blender BLENDER/bin/python                       # LLM-Blender itself too

Both sides judge the same questions with the same random weights in float32: prompts and answers of 5 to `--longest` tokens. "one row" is
what LLM-Blender does at its batch size of 1, the one SPPO's release uses: each of a prompt's K(K-1) ordered pairs a forward of its own,
answers cut to the same budget, here by our code on today's transformers. `--blender` names an interpreter with llm-blender 0.0.2 (see
tests/parity/record_pairrm.py); it ranks the same texts from the same files in a process of its own, timed inside it, model loading left
out. Seconds are CPU seconds of the process on a CPU (the machine may be shared), wall seconds on CUDA; medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import DebertaV2Config

from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.judges.pairrm.judge import PairRMJudge, open_judge
from windvane.judges.pairrm.model import PairRM

WORDS = 2000
THEIRS = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[3]))
from llm_blender import Blender
from llm_blender.blender.config import BlenderConfig
blender = Blender(BlenderConfig(use_tqdm=False))
blender.loadranker(sys.argv[1], device=sys.argv[2], fp16=False)
told = json.load(sys.stdin)
run = lambda: blender.rank(told["prompts"], told["answers"], return_scores=True, batch_size=1)
run()
seconds = []
for _ in range(told["rounds"]):
    cpu, wall = time.process_time(), time.perf_counter()
    scores = run()
    seconds.append([time.process_time() - cpu, time.perf_counter() - wall])
print("RESULT" + json.dumps({"seconds": seconds, "scores": scores.tolist()}))
"""


def write_model(folder: Path, layers: int, hidden: int) -> None:
    """Blender's layout, its base beside it: DeBERTa-v3's settings, random weights, a vocabulary of whole words."""
    base = folder / "base"
    base.mkdir(parents=True)
    words = {t: i for i, t in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(WORDS))])}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    core.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    core.save(str(base / "tokenizer.json"))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | names))
    config = DebertaV2Config(
        vocab_size=len(words) + 4, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True,
        pos_att_type=["p2c", "c2p"], position_biased_input=False, max_relative_positions=-1, type_vocab_size=0, layer_norm_eps=1e-7,
    )  # fmt: skip
    torch.manual_seed(0)
    model = PairRM(config)
    model.pretrained_model.save_pretrained(base)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )
    own = {"ranker_type": "pairranker", "model_type": "deberta-v3", "model_name": str(base), "n_tasks": 1}
    (folder / "config.json").write_text(json.dumps(own | {"source_maxlength": 1224, "candidate_maxlength": 412}))


def groups(prompts: int, k: int, longest: int) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(0)

    def text(low: int, high: int) -> str:
        return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(rng.randint(low, high)))

    return [text(5, longest) for _ in range(prompts)], [[text(5, longest) for _ in range(k)] for _ in range(prompts)]


def ordered(prompts: list[str], answers: list[list[str]]) -> list[Question]:
    found = []
    for n, (said, texts) in enumerate(zip(prompts, answers)):
        prompt = Prompt.of((Message("user", said),))
        told = [Response(f"{n}-{i}", prompt.id, i, t, (), "stop") for i, t in enumerate(texts)]
        found += [Question(f"{n}-{a.index}-{b.index}", prompt, a, b) for a in told for b in told if a is not b]
    return found


def timed(work: Callable[[], Any], cuda: bool) -> tuple[float, Any]:
    if cuda:
        torch.cuda.synchronize()
    before = time.perf_counter() if cuda else time.process_time()
    result = work()
    if cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() if cuda else time.process_time()) - before, result


def blender_scores(logits: list[float], k: int) -> torch.Tensor:
    """Row means of M less M transposed, [prompts, k], from the ordered pairs."""
    found = torch.zeros(len(logits) // (k * (k - 1)), k, k)
    found[:, ~torch.eye(k, dtype=torch.bool)] = torch.tensor(logits).view(len(found), -1)
    return (found - found.transpose(1, 2)).mean(-1)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    prompts, answers = groups(args.prompts, args.k, args.longest)
    asked, cuda = ordered(prompts, answers), args.device == "cuda"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "PairRM"
        write_model(folder, args.layers, args.hidden)
        judge = open_judge(str(folder), args.device, "float32")
        single = PairRMJudge(judge.model, judge.maker, cells=1)
        sides: dict[str, Callable[[], Any]] = {
            "batched": lambda: judge.logits(asked),
            "one_row": lambda: single.logits(asked),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        logits: dict[str, list[float]] = {}
        for turn in range(args.rounds + 1):
            for side in list(sides)[:: 1 if turn % 2 else -1]:
                took, logits[side] = timed(sides[side], cuda)
                if turn:  # the first round warms up
                    seconds[side].append(took)
        gap = max(abs(a - b) for a, b in zip(*logits.values()))
        result: dict[str, Any] = {"comparisons": len(asked), "largest_gap": gap}
        if args.blender:
            told = json.dumps({"prompts": prompts, "answers": answers, "rounds": args.rounds})
            command = [args.blender, "-c", THEIRS, str(folder), args.device, str(args.threads)]
            out = subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout
            theirs = json.loads(out.split("RESULT")[1])
            seconds["blender"] = [pair[cuda] for pair in theirs["seconds"]]
            ours = blender_scores(logits["batched"], args.k)
            result["largest_gap_to_blender"] = (ours - torch.tensor(theirs["scores"])).abs().max().item()
    medians = {side: statistics.median(found) for side, found in seconds.items()}
    ratios = {side: medians[side] / medians["batched"] for side in medians if side != "batched"}
    versions = {"torch": torch.__version__, "device": torch.cuda.get_device_name() if cuda else "cpu"}
    return result | {"seconds": medians, "ratio": ratios, "settings": vars(args), **versions}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    defaults = {"prompts": 4, "k": 5, "layers": 6, "hidden": 256, "rounds": 3, "threads": 1, "longest": 60}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--blender", help="an interpreter with llm-blender 0.0.2")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    result = measure(args)
    if args.json:
        print(json.dumps(result))
        return result
    for side, took in result["seconds"].items():
        slower = f"  {result['ratio'][side]:.2f} times ours" if side in result["ratio"] else ""
        print(f"{side:10}{took:8.2f} s for {result['comparisons']} ordered pairs{slower}")
    print(f"largest difference of a logit: {result['largest_gap']:.1e}")
    if args.blender:
        print(f"largest difference of a score from LLM-Blender's: {result['largest_gap_to_blender']:.1e}")
    return result


if __name__ == "__main__":
    main()
