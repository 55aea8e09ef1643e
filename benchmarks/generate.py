"""K answers to one long prompt: LocalGenerator beside transformers' generate(num_return_sequences=K), alternating.

    python benchmarks/generate.py            # the model and sizes below; --json for one line of JSON
    python benchmarks/generate.py --prompt 300 --new 48 --layers 2 --vocab 4000 --rounds 3

Both sides get the same random model, prompt, temperature 1, top-p 1, and no stop token, so that each makes exactly K x new tokens. The
figure is tokens per CPU-second of the process (the machine may be shared); medians over the rounds; wall seconds beside it. Before the
timing, the logits of every row and step are compared with the plain forward of that row, and the same with a control that must
differ (positions one too far).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import MistralConfig, MistralForCausalLM

from windvane.models.generate.decode import SharedDecoder, choose_decoder
from windvane.models.generate.sampling import sample


def build(layers: int, vocab: int) -> Any:
    """Mistral architecture: hidden 256, 8 heads on 4 key-value heads, FFN 688, no sliding window."""
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=256, num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=4, intermediate_size=688,
        vocab_size=vocab, sliding_window=None, tie_word_embeddings=False,
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    return model


@torch.no_grad()
def largest_gap(model: Any, prompt: list[int], k: int, steps: int, shift: int = 0) -> float:
    """Largest |logit difference| from the plain forward over k rows and `steps` tokens; `shift` makes positions wrong."""
    decoder = SharedDecoder(model)
    seen = decoder.start([prompt], k).repeat_interleave(k, 0)
    decoder.trunks.positions_R.add_(shift)
    tokens = torch.randint(3, model.config.vocab_size, (k, steps), generator=torch.Generator().manual_seed(1))
    rows = [seen]
    for step in range(steps):
        rows.append(decoder.step(tokens[:, step]))
    worst = 0.0
    for row in range(k):
        ids = torch.tensor([[*prompt, *tokens[row].tolist()]])
        plain = model(input_ids=ids, use_cache=False, logits_to_keep=steps + 1).logits[0]
        worst = max(worst, (torch.stack([r[row] for r in rows]) - plain).abs().max().item())
    return worst


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Tokens per CPU-second, and per wall second."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = work()
    return made / (time.process_time() - cpu), made / (time.perf_counter() - wall)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    model = build(args.layers, args.vocab)
    prompt = torch.randint(3, args.vocab, (args.prompt,), generator=torch.Generator().manual_seed(0)).tolist()
    decoder = choose_decoder(model)
    assert isinstance(decoder, SharedDecoder)

    @torch.no_grad()
    def ours() -> int:
        found = sample(decoder, [prompt], [list(range(args.k))], [], 1.0, 1.0, args.new)
        return sum(len(s.token_ids) for s in found[0])

    def theirs() -> int:
        ids = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, args.prompt, dtype=torch.long), do_sample=True, temperature=1.0,
            top_p=1.0, top_k=0, num_return_sequences=args.k, max_new_tokens=args.new, pad_token_id=0,
        )  # fmt: skip
        return (ids.shape[1] - args.prompt) * ids.shape[0]

    gap, control = (largest_gap(model, prompt, args.k, min(args.new, 16), shift) for shift in (0, 1))
    found: dict[str, list[tuple[float, float]]] = {"windvane": [], "transformers": []}
    for turn in range(args.rounds + 1):
        for name, work in (("windvane", ours), ("transformers", theirs))[:: 1 if turn % 2 else -1]:
            rate = timed(work)
            if turn:  # the first round warms up
                found[name].append(rate)
    cpu = {name: statistics.median(r[0] for r in rates) for name, rates in found.items()}
    wall = {name: statistics.median(r[1] for r in rates) for name, rates in found.items()}
    ratios = sorted(a[0] / b[0] for a, b in zip(found["windvane"], found["transformers"]))
    return {
        "tokens_per_cpu_second": cpu,
        "tokens_per_second": wall,
        "ratio_cpu": cpu["windvane"] / cpu["transformers"],
        "ratio_cpu_range": [ratios[0], ratios[-1]],
        "largest_logit_gap": gap,
        "control_gap": control,
        "settings": vars(args),
        "torch": torch.__version__,
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"prompt": 1000, "new": 128, "k": 5, "layers": 6, "vocab": 32000, "rounds": 5, "threads": 1}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    result = measure(args)
    if args.json:
        print(json.dumps(result))
        return result
    for name in ("windvane", "transformers"):
        rates = result["tokens_per_cpu_second"][name], result["tokens_per_second"][name]
        print(f"{name:14}{rates[0]:8.0f} tokens per CPU-second {rates[1]:8.0f} per second")
    low, high = result["ratio_cpu_range"]
    print(f"ratio         {result['ratio_cpu']:8.2f} ({low:.2f} to {high:.2f} over {args.rounds} rounds)")
    print(
        f"logits        {result['largest_logit_gap']:.1e} from the plain forward; with wrong positions {result['control_gap']:.1e}"
    )
    return result


if __name__ == "__main__":
    main()
