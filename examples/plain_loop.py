"""DPO in a plain PyTorch loop, the prompt computed once for both answers: `python examples/plain_loop.py`.

The loop is what you would write anyway; `Scorer` and `Tree` are the two names to learn.
"""

import torch
from torch.nn.functional import logsigmoid
from transformers import MistralConfig, MistralForCausalLM

from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree


def train(model, data, beta=0.1, lr=1e-3):
    """`data`: (prompt ids, chosen ids, rejected ids) triples. Yields the loss of each step."""
    scorer, optimizer = Scorer(model), torch.optim.AdamW(model.parameters(), lr=lr)
    trees = [Tree.of(prompt, [chosen, rejected]) for prompt, chosen, rejected in data]
    with torch.no_grad():
        reference = [[b.sum() for b in scorer.logps([tree])[0][1:]] for tree in trees]
    for tree, (ref_chosen, ref_rejected) in zip(trees, reference):
        _, chosen, rejected = scorer.logps([tree])[0]
        loss = -logsigmoid(beta * ((chosen.sum() - ref_chosen) - (rejected.sum() - ref_rejected)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


def main():
    torch.manual_seed(0)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = MistralConfig(vocab_size=100, hidden_size=64, num_hidden_layers=2, intermediate_size=96, **heads)
    prompt, chosen, rejected = (torch.randint(3, 100, (n,)).tolist() for n in (200, 12, 9))
    for loss in train(MistralForCausalLM(config), [(prompt, chosen, rejected)] * 5):
        print(f"{loss:.4f}")


if __name__ == "__main__":
    main()
